"""Stage 1: an ensemble of language models is asked for prompts, zero-shot and few-shot (the paper's section 3.1).

Every answer is written to ``answers.jsonl`` the moment it comes, before anything is made of it; prompts, what was
screened out and the costs are functions of that file. So a stop loses no paid answer, and a second run asks only
for what is missing.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from paft.config import Generation, ScreenConfig
from paft.console import Console, Tick
from paft.errors import UserError
from paft.files import append_jsonl, read_log
from paft.llm.client import Client, ModelError
from paft.prompts.instruct import FEW_SHOT, SCHEMA, ZERO_SHOT, instruction
from paft.prompts.parse import prompts_in
from paft.prompts.screen import Screened, screen
from paft.tasks.task import Task
from paft.types import Conversation, Example, Prompt, content_hash

ANSWERS = "answers.jsonl"
"""Where answers are kept, in the folder of an ensemble."""

FAILURES = 3
"""A model that fails so many requests in a row is not asked further."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was paid for."""

    request: str
    model: str
    strategy: str
    index: int
    seed: int
    text: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the ``index``-th of a strategy to a model."""

    model: str
    strategy: str
    index: int
    conversation: Conversation
    seed: int

    @property
    def key(self) -> str:
        """Return what an answer is known by: a change of what is asked makes it another request."""
        return content_hash(self.model, self.strategy, str(self.index), str(self.seed), self.conversation.user)


@dataclass(frozen=True)
class Generated:
    """What an ensemble brought.

    Attributes:
        missing: for each ``(model, strategy)`` that brought too few, how many, and why.
    """

    prompts: list[Prompt]
    screened: list[Screened]
    answers: list[Answer]
    missing: dict[tuple[str, str], tuple[int, str]]


class Ensemble:
    """The models, what they are asked, and the answers so far.

    Args:
        clients: by the name that the config gives them.
        examples: of the task, one of which is shown in each request; none of the test.
        shots: the prompts that are shown in few-shot requests.
        folder: where ``answers.jsonl`` is.
    """

    def __init__(
        self,
        config: Generation,
        clients: Mapping[str, Client],
        task: Task,
        examples: Sequence[Example],
        shots: Sequence[Prompt],
        folder: Path,
        *,
        rules: ScreenConfig,
        seed: int,
        console: Console,
    ):
        self.config, self.clients, self.task, self.examples, self.shots = config, clients, task, examples, shots
        self.rules, self.seed, self.console = rules, seed, console
        self.file = folder / ANSWERS
        self.wanted = {
            (name, strategy): count
            for name in clients
            for strategy, count in ((ZERO_SHOT, config.zero_shot), (FEW_SHOT, config.few_shot))
            if count
        }
        if config.few_shot and not shots:
            raise UserError(
                "config key prompts.train.generate.shots: few-shot requests show some prompts; list a few there, "
                "or set prompts.user, or few_shot: 0"
            )
        self._answers = {answer.request: answer for answer in read_answers(self.file)}
        self._given_up: dict[str, str] = {}
        self._failed: dict[str, int] = {}
        self._writing = threading.Lock()

    def generate(self) -> Generated:
        """Ask until every model and strategy has brought what is wanted of it, or may not be asked further."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        while requests := self._needed():
            self._say_what_is_asked(requests)
            asked = len(self._answers)
            self._ask(requests)
            if len(self._answers) == asked:
                break
        return self.result()

    def result(self) -> Generated:
        """Return what the answers so far amount to."""
        kept, out = screen(
            self._candidates(),
            self.task,
            self.examples,
            off=self.rules.off,
            near_duplicate=self.rules.near_duplicate,
            known=self.shots,  # a prompt that a model was shown is none that it wrote
        )
        answers = [answer for request in self._asked() if (answer := self._answers.get(request.key))]
        missing = {}
        for source, wanted in self.wanted.items():
            if (lacking := wanted - sum((p.model, p.strategy) == source for p in kept)) > 0:
                why = (
                    self._given_up.get(source[0])
                    or "too few of its prompts were fit; raise 'attempts' or ask for fewer"
                )
                missing[source] = (lacking, why)
        return Generated(kept, out, answers, missing)

    def _request(self, source: tuple[str, str], index: int) -> Request:
        model, strategy = source
        seed = int(content_hash(str(self.seed), model, strategy, str(index))[:7], 16)
        example = self.examples[seed % len(self.examples)] if self.examples else None
        count = min(self.config.per_request, self.wanted[source])
        conversation = instruction(self.task, example, strategy, self.shots, count, index)
        return Request(model, strategy, index, conversation, seed)

    def _asked(self) -> list[Request]:
        """Return the requests that may be sent at all, answered or not, in the order that prompts are taken in."""
        return [self._request(source, i) for source in self.wanted for i in range(self._most(source))]

    def _most(self, source: tuple[str, str]) -> int:
        return math.ceil(math.ceil(self.wanted[source] / self.config.per_request) * self.config.attempts)

    def _candidates(self) -> list[Prompt]:
        """Return the prompts of all answers, each with where it comes from."""
        found = []
        for request in self._asked():
            if answer := self._answers.get(request.key):
                for prompt in prompts_in(answer.text, most=2 * self.config.per_request):
                    found.append(
                        replace(
                            prompt, source=f"llm:{request.key}", strategy=request.strategy, model=request.model
                        )
                    )
        return found

    def _needed(self) -> list[Request]:
        """Return the requests of the next round: of each source as many as it lacks prompts for."""
        missing = self.result().missing
        requests: list[Request] = []
        for source, (lacking, _) in missing.items():
            if source[0] in self._given_up:
                continue
            open_ = [
                request
                for i in range(self._most(source))
                if (request := self._request(source, i)).key not in self._answers
            ]
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
        pools = {name: ThreadPoolExecutor(client.parallel) for name, client in self.clients.items()}
        try:
            with self.console.progress("asking for prompts", len(requests)) as tick:
                futures: list[Future[None]] = [
                    pools[request.model].submit(self._send, request, tick) for request in requests
                ]
                for future in futures:
                    future.result()
        finally:  # also on Ctrl-C: what is under way is waited for and written, the rest is not sent
            for pool in pools.values():
                pool.shutdown(wait=False, cancel_futures=True)
            for pool in pools.values():
                pool.shutdown(wait=True)

    def _send(self, request: Request, tick: Tick) -> None:
        if request.model in self._given_up:
            return
        started = time.monotonic()
        try:
            completion = self.clients[request.model].complete(
                request.conversation,
                max_tokens=self.config.max_tokens,
                temperature=self.config.temperature,
                seed=request.seed,
                schema=SCHEMA,
            )
        except ModelError as error:
            self._note_failure(request.model, error)
            return
        seconds = round(time.monotonic() - started, 3)
        answer = Answer(
            request.key,
            request.model,
            request.strategy,
            request.index,
            request.seed,
            completion.text,
            completion.prompt_tokens,
            completion.completion_tokens,
            seconds,
        )
        with self._writing:
            append_jsonl(self.file, asdict(answer))
            self._answers[request.key] = answer
            self._failed[request.model] = 0
            tick(1, request.model)

    def _note_failure(self, model: str, error: ModelError) -> None:
        with self._writing:
            self._failed[model] = self._failed.get(model, 0) + 1
            if model not in self._given_up and (error.final or self._failed[model] >= FAILURES):
                self._given_up[model] = str(error)
                self.console.say(f"not asked further: {error}")


def read_answers(file: Path) -> list[Answer]:
    """Return the answers of a file."""
    answers = []
    for number, row in enumerate(read_log(file), start=1):
        try:
            answers.append(Answer(**row))
        except TypeError:
            raise UserError(f"{file}:{number}: not an answer; mend or remove the line") from None
    return answers
