"""Stage 1: an ensemble of language models writes prompts, zero-shot and few-shot (the paper's section 3.1).

Every answer is written to ``answers.jsonl`` as soon as it arrives. The prompts, what is screened out and the costs
are computed from that file, so an interruption loses no paid answer, and a second run requests only the rest.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from paft.config.schema import GenerateConfig, ScreenConfig
from paft.errors import UserError, nearest
from paft.models.client import Client
from paft.models.response_cache import CachedCompletion, CircuitBreaker, ResponseCache, pools
from paft.prompts.instruct import FEW_SHOT, SCHEMA, ZERO_SHOT, instruction
from paft.prompts.parse import prompts_in
from paft.prompts.screen import Screened, screen
from paft.tasks.task import Task
from paft.types import Conversation, Example, Prompt, content_hash
from paft.utils.console import Console, counted
from paft.utils.io import make_folder

ANSWERS = "answers.jsonl"
"""The file of the answers, in the folder of an ensemble."""

SURPLUS = "surplus"
"""What the file of left-out prompts calls those that fit but are more than were asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the ``index``-th of a strategy to a model."""

    model: str
    strategy: str
    index: int
    conversation: Conversation
    seed: int
    max_tokens: int
    temperature: float

    @property
    def key(self) -> str:
        """Return the key of the answer; it depends on everything that the model is sent."""
        how = (self.index, self.seed, self.max_tokens, self.temperature)
        return content_hash(self.model, self.strategy, *map(str, how), self.conversation.user)

    @property
    def origin(self) -> dict[str, str | int]:
        """Return what its row in the file records of the request."""
        return {"model": self.model, "strategy": self.strategy, "index": self.index, "seed": self.seed}


@dataclass(frozen=True)
class Generated:
    """The result of an ensemble.

    Attributes:
        missing: for each ``(model, strategy)`` with too few prompts, how many are missing and why.
    """

    prompts: list[Prompt]
    screened: list[Screened]
    answers: list[tuple[Request, CachedCompletion]]
    missing: dict[tuple[str, str], tuple[int, str]]


class Ensemble:
    """The models, the requests to them, and the answers so far.

    Args:
        clients: by their names in the config.
        examples: training examples of the task; each request shows one.
        shots: the prompts that few-shot requests show.
        known: prompts of the config that no written prompt may repeat; shots may not be repeated either.
        folder: the folder of ``answers.jsonl``.
    """

    def __init__(
        self,
        config: GenerateConfig,
        clients: Mapping[str, Client],
        task: Task,
        examples: Sequence[Example],
        shots: Sequence[Prompt],
        folder: Path,
        *,
        known: Sequence[Prompt] = (),
        rules: ScreenConfig,
        seed: int,
        console: Console,
    ):
        self.config, self.clients, self.task, self.examples, self.shots = config, clients, task, examples, shots
        self.known = (*shots, *known)
        self.rules, self.seed, self.console = rules, seed, console
        self.cache = ResponseCache(folder / ANSWERS)
        sources = [*clients, ZERO_SHOT, FEW_SHOT]
        if unknown := [name for name in config.held_out_sources if name not in sources]:
            raise UserError(
                f"config key prompts.train.generate.held_out_sources: no model and no strategy {unknown[0]!r}"
                f"{nearest(unknown[0], sources)}"
            )
        self._breakers = {name: CircuitBreaker(client, self.cache) for name, client in clients.items()}
        self.wanted = {
            (name, strategy): count
            for name in clients
            for strategy, count in ((ZERO_SHOT, config.zero_shot), (FEW_SHOT, config.few_shot))
            if count
        }
        if config.few_shot and not shots:
            raise UserError(
                "config key prompts.train.generate.few_shot_prompts: few-shot requests show some prompts; "
                "list a few there, or set prompts.user, or few_shot: 0"
            )

    def generate(self) -> Generated:
        """Send requests until every model and strategy has enough prompts or has reached its limit."""
        make_folder(self.cache.path.parent)  # else it fails before anything is paid for
        while requests := self._needed():
            self._say_what_is_asked(requests)
            before = len(self.cache.answers)
            self._ask(requests)
            if len(self.cache.answers) == before:
                break
        return self.result()

    def result(self) -> Generated:
        """Return the result of the answers so far."""
        answered = self._answered()
        kept, out = self._chosen(self._candidates(answered))
        missing = {}
        for source, wanted in self.wanted.items():
            if (lacking := wanted - sum((p.model, p.strategy) == source for p in kept)) > 0:
                breaker = self._breakers[source[0]]
                unfit = "too few of its prompts were fit; raise 'max_request_factor' or ask for fewer"
                missing[source] = (lacking, str(breaker.error) if breaker.failing else unfit)
        return Generated(kept, out, answered, missing)

    def _chosen(self, candidates: list[Prompt]) -> tuple[list[Prompt], list[Screened]]:
        """Return the prompts that fit, of each source as many as were asked for, and those that are left out."""
        surplus: list[Screened] = []
        while True:
            kept, out = screen(
                candidates,
                self.task,
                self.examples,
                off=self.rules.off,
                near_duplicate=self.rules.near_duplicate,
                known=self.known,  # a model did not write a prompt that it was shown
            )
            more = [
                prompt
                for source, wanted in self.wanted.items()
                for prompt in [p for p in kept if (p.model, p.strategy) == source][wanted:]
            ]
            if not more:
                return kept, out + surplus
            surplus += [Screened(prompt, SURPLUS, "fits, but more were written than asked for") for prompt in more]
            candidates = [p for p in candidates if p not in more]  # none is left out for being like one of them

    def _request(self, source: tuple[str, str], index: int) -> Request:
        model, strategy = source
        seed = int(content_hash(str(self.seed), model, strategy, str(index))[:7], 16)
        example = self.examples[seed % len(self.examples)] if self.examples else None
        count = min(self.config.per_request, self.wanted[source])
        conversation = instruction(self.task, example, strategy, self.shots, count, index)
        return Request(model, strategy, index, conversation, seed, self.config.max_tokens, self.config.temperature)

    def _requests(self, source: tuple[str, str]) -> list[Request]:
        """Return all requests that may be sent, answered or not."""
        most = math.ceil(math.ceil(self.wanted[source] / self.config.per_request) * self.config.max_request_factor)
        return [self._request(source, i) for i in range(most)]

    def _answered(self) -> list[tuple[Request, CachedCompletion]]:
        """Return the answers in the order of their requests, whatever order they arrived in."""
        requests = [request for source in self.wanted for request in self._requests(source)]
        known = self.cache.answers
        return [(request, known[request.key]) for request in requests if request.key in known]

    def _candidates(self, answered: Sequence[tuple[Request, CachedCompletion]]) -> list[Prompt]:
        """Return the prompts of answers, each with its source."""
        return [
            replace(prompt, source=f"llm:{request.key}", strategy=request.strategy, model=request.model)
            for request, answer in answered
            for prompt in prompts_in(answer.text, most=2 * self.config.per_request)
        ]

    def _needed(self) -> list[Request]:
        """Return the requests of the next round: for each source as many as its missing prompts need."""
        missing = self.result().missing
        requests: list[Request] = []
        for source, (lacking, _) in missing.items():
            if not self._breakers[source[0]].open:
                open_ = [request for request in self._requests(source) if request.key not in self.cache.answers]
                requests.extend(open_[: math.ceil(lacking / self.config.per_request)])
        return requests

    def _say_what_is_asked(self, requests: Sequence[Request]) -> None:
        read = sum(len(request.conversation.user) for request in requests) // 4
        written = len(requests) * self.config.per_request * 60
        models = counted(len({request.model for request in requests}), "models")
        self.console.say(
            f"asking {models} for prompts: {counted(len(requests), 'requests')}, about {read:,} tokens to read "
            f"and {written:,} to write"
        )

    def _ask(self, requests: Sequence[Request]) -> None:
        """Send requests, as many in parallel as each model takes, and wait for the answers."""
        with (
            pools(*self.clients.values()) as pool,
            self.console.progress("asking for prompts", len(requests)) as tick,
        ):
            sent = {pool[request.model].submit(self._send, request): request for request in requests}
            left = set()
            for future in as_completed(sent):
                model = sent[future].model
                if future.result():
                    tick(1, model)
                elif self._breakers[model].open and model not in left:
                    left.add(model)
                    self.console.say(f"not asked further: {self._breakers[model].error}")

    def _send(self, request: Request) -> CachedCompletion | None:
        return self._breakers[request.model].ask(
            request.key,
            request.conversation,
            about=request.origin,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            seed=request.seed,
            schema=SCHEMA,
        )
