"""Stage 1: an ensemble of language models is asked for prompts, zero-shot and few-shot (the paper's section 3.1).

Every answer is written to ``answers.jsonl`` the moment it comes, before anything is made of it; prompts, what was
screened out and the costs are functions of that file. So a stop loses no paid answer, and a second run asks only
for what is missing.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from paft.config.schema import GenerateConfig, ScreenConfig
from paft.errors import UserError, nearest
from paft.models.endpoint import Client
from paft.models.response_cache import Answer, CircuitBreaker, ResponseCache, pools
from paft.prompts.instruct import FEW_SHOT, SCHEMA, ZERO_SHOT, instruction
from paft.prompts.parse import prompts_in
from paft.prompts.screen import Screened, screen
from paft.tasks.task import Task
from paft.types import Conversation, Example, Prompt, content_hash
from paft.utils.console import Console
from paft.utils.io import make_folder

ANSWERS = "answers.jsonl"
"""Where answers are kept, in the folder of an ensemble."""


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
        """Return what an answer is known by: a change of what is asked makes it another request."""
        how = (self.index, self.seed, self.max_tokens, self.temperature)
        return content_hash(self.model, self.strategy, *map(str, how), self.conversation.user)

    @property
    def origin(self) -> dict[str, str | int]:
        """Return what its row in the file says of it."""
        return {"model": self.model, "strategy": self.strategy, "index": self.index, "seed": self.seed}


@dataclass(frozen=True)
class Generated:
    """What an ensemble brought.

    Attributes:
        missing: for each ``(model, strategy)`` that brought too few, how many, and why.
    """

    prompts: list[Prompt]
    screened: list[Screened]
    answers: list[tuple[Request, Answer]]
    missing: dict[tuple[str, str], tuple[int, str]]


class Ensemble:
    """The models, what they are asked, and the answers so far.

    Args:
        clients: by the name that the config gives them.
        examples: of the task, one of which is shown in each request; none of the test.
        shots: the prompts that are shown in few-shot requests.
        known: prompts of the config that none of the written ones may repeat; nor may they repeat a shot.
        folder: where ``answers.jsonl`` is.
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
        self.journal = ResponseCache(folder / ANSWERS)
        sources = [*clients, ZERO_SHOT, FEW_SHOT]
        if unknown := [name for name in config.held_out_sources if name not in sources]:
            raise UserError(
                f"config key prompts.train.generate.held_out_sources: no model and no strategy {unknown[0]!r}"
                f"{nearest(unknown[0], sources)}"
            )
        self._breakers = {name: CircuitBreaker(client, self.journal) for name, client in clients.items()}
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
        """Ask until every model and strategy has brought what is wanted of it, or may not be asked further."""
        make_folder(self.journal.path.parent)  # else it fails before anything is paid for
        while requests := self._needed():
            self._say_what_is_asked(requests)
            asked = len(self.journal.answers)
            self._ask(requests)
            if len(self.journal.answers) == asked:
                break
        return self.result()

    def result(self) -> Generated:
        """Return what the answers so far amount to."""
        answered = self._answered()
        kept, out = screen(
            self._candidates(answered),
            self.task,
            self.examples,
            off=self.rules.off,
            near_duplicate=self.rules.near_duplicate,
            known=self.known,  # a prompt that a model was shown is none that it wrote
        )
        missing = {}
        for source, wanted in self.wanted.items():
            if (lacking := wanted - sum((p.model, p.strategy) == source for p in kept)) > 0:
                breaker = self._breakers[source[0]]
                unfit = "too few of its prompts were fit; raise 'max_request_factor' or ask for fewer"
                missing[source] = (lacking, str(breaker.error) if breaker.failing else unfit)
        return Generated(kept, out, answered, missing)

    def _request(self, source: tuple[str, str], index: int) -> Request:
        model, strategy = source
        seed = int(content_hash(str(self.seed), model, strategy, str(index))[:7], 16)
        example = self.examples[seed % len(self.examples)] if self.examples else None
        count = min(self.config.per_request, self.wanted[source])
        conversation = instruction(self.task, example, strategy, self.shots, count, index)
        return Request(model, strategy, index, conversation, seed, self.config.max_tokens, self.config.temperature)

    def _requests(self, source: tuple[str, str]) -> list[Request]:
        """Return the requests that may be sent at all, answered or not."""
        most = math.ceil(math.ceil(self.wanted[source] / self.config.per_request) * self.config.max_request_factor)
        return [self._request(source, i) for i in range(most)]

    def _answered(self) -> list[tuple[Request, Answer]]:
        """Return the answers in the order that prompts are taken in, whatever order they came in."""
        requests = [request for source in self.wanted for request in self._requests(source)]
        known = self.journal.answers
        return [(request, known[request.key]) for request in requests if request.key in known]

    def _candidates(self, answered: Sequence[tuple[Request, Answer]]) -> list[Prompt]:
        """Return the prompts of answers, each with where it comes from."""
        return [
            replace(prompt, source=f"llm:{request.key}", strategy=request.strategy, model=request.model)
            for request, answer in answered
            for prompt in prompts_in(answer.text, most=2 * self.config.per_request)
        ]

    def _needed(self) -> list[Request]:
        """Return the requests of the next round: of each source as many as it lacks prompts for."""
        missing = self.result().missing
        requests: list[Request] = []
        for source, (lacking, _) in missing.items():
            if not self._breakers[source[0]].open:
                open_ = [request for request in self._requests(source) if request.key not in self.journal.answers]
                requests.extend(open_[: math.ceil(lacking / self.config.per_request)])
        return requests

    def _say_what_is_asked(self, requests: Sequence[Request]) -> None:
        given = sum(len(request.conversation.user) for request in requests) // 4
        taken = len(requests) * self.config.per_request * 60
        models = len({request.model for request in requests})
        self.console.say(
            f"asking {models} model(s) for prompts: {len(requests)} requests, about {given:,} tokens to read and "
            f"{taken:,} to write"
        )

    def _ask(self, requests: Sequence[Request]) -> None:
        """Send requests, so many at a time as each model takes, and wait for the answers."""
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

    def _send(self, request: Request) -> Answer | None:
        return self._breakers[request.model].ask(
            request.key,
            request.conversation,
            about=request.origin,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            seed=request.seed,
            schema=SCHEMA,
        )
