"""A model that is measured behind an endpoint: many questions at a time, and no answer asked for twice."""

import hashlib
import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from paft.errors import UserError, WorkError
from paft.files import append_jsonl, read_log
from paft.llm.client import Endpoint, ModelError
from paft.types import Conversation

FAILURES = 3
"""So many questions in a row without an answer, each after its retries, and no more are asked."""

LIKELIEST = 20
"""First tokens whose log-probabilities are asked for; more no endpoint gives."""

ON_LETTERS = (
    "config key evaluation.answers: of a model behind an endpoint only the likelihood of single letters can be "
    "known, and only where its chat completions tell top_logprobs; set evaluation.answers=generate"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation and how long its answer may be; for likelihoods, one token with those beside it."""

    conversation: Conversation
    max_tokens: int
    first_tokens: int | None = None

    @property
    def key(self) -> str:
        """Return what its answer is known by."""
        asked = (self.max_tokens, self.first_tokens, self.conversation.system, self.conversation.user)
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


def question(conversation: Conversation, answers: str, max_new_tokens: int) -> Question:
    """Return what is asked for a likelihood, or for a generated answer."""
    return Question(conversation, *((1, LIKELIEST) if answers == "likelihood" else (max_new_tokens, None)))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it was paid for; ``tokens`` are those that the model wrote."""

    key: str
    text: str
    prompt_tokens: int
    tokens: int
    first: Mapping[str, float] | None = None


_REPLY = TypeAdapter(Reply)


class Served:
    """Answers the grid's questions through an endpoint, at temperature 0.

    Args:
        endpoint: takes ``endpoint.parallel`` requests at a time.
        journal: the file where each answer is the moment it comes, so that a second run asks only for the rest.
    """

    def __init__(self, endpoint: Endpoint, journal: Path):
        self.endpoint, self.journal = endpoint, journal
        self._known: dict[str, Reply] = {}
        for number, row in enumerate(read_log(journal), start=1):
            try:
                reply = _REPLY.validate_python(row)
            except ValidationError:
                raise UserError(f"{journal}:{number}: not an answer; mend or remove the line") from None
            self._known[reply.key] = reply
        self._writing = threading.Lock()
        self._in_a_row = 0
        self._stopped: ModelError | None = None

    def generate(self, conversations: Sequence[Conversation], max_new_tokens: int) -> Iterator[list[Reply]]:
        """Yield the answers in order, one a batch, as they come."""
        for reply in self._replies([question(c, "generate", max_new_tokens) for c in conversations]):
            yield [reply]

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-probability of each option, a letter, as the first token of the answer.

        A letter that is not among the likeliest tokens that the endpoint tells has minus infinity: it is less
        likely than all of them. Where none of the letters is among them, all are NaN.

        Raises:
            UserError: an option is more than a letter.
        """
        _check_letters(options)
        questions = [question(c, "likelihood", 1) for c in conversations]
        for reply, letters in zip(self._replies(questions), options, strict=True):
            yield [_scores(reply, letters)]

    def check(self, conversation: Conversation, options: Sequence[str], answers: str, max_new_tokens: int) -> None:
        """Ask one question and forget the answer, before anything is written.

        Raises:
            UserError: a wrong key, an unknown model, no log-probabilities where they are needed.
        """
        scored = answers == "likelihood"
        if scored:
            _check_letters([options])
        try:
            reply = self._send(question(conversation, answers, max_new_tokens))
        except ModelError as error:
            if error.final:
                raise UserError(f"{error}{f'. {ON_LETTERS}' if scored and error.refused else ''}") from None
            raise WorkError(str(error)) from None
        if scored and not reply.first:
            raise UserError(f"{self.endpoint.name} at {self.endpoint.base_url} tells none. {ON_LETTERS}")

    def estimate(self, conversations: Iterable[Conversation], answers: str, max_new_tokens: int) -> str:
        """Return a line on what is about to be asked."""
        keys: set[str] = set()
        characters = known = 0
        for conversation in conversations:
            asked = question(conversation, answers, max_new_tokens)
            if asked.key in self._known:
                known += 1
            elif asked.key not in keys:
                keys.add(asked.key)
                characters += len(conversation.user) + len(conversation.system or "")
        writes = len(keys) * (1 if answers == "likelihood" else max_new_tokens)
        return (
            f"asking {self.endpoint.name} at {self.endpoint.base_url}, {self.endpoint.parallel} at a time: "
            f"{len(keys):,} requests, about {characters // 4:,} tokens to read and at most {writes:,} to write"
            f"{f'; {known:,} answers are here already' if known else ''}"
        )

    def used(self) -> str:
        """Return a line on what the answers took, those of earlier runs included."""
        read = sum(reply.prompt_tokens for reply in self._known.values())
        wrote = sum(reply.tokens for reply in self._known.values())
        tokens = f"{read:,} tokens read, {wrote:,} written" if read or wrote else "the endpoint tells no tokens"
        return f"{self.endpoint.name}: {len(self._known):,} answers; {tokens}"

    def _replies(self, questions: Sequence[Question]) -> Iterator[Reply]:
        """Yield the answers in order; ask so many at a time as the endpoint takes, and the same only once."""
        needed = {q.key: q for q in questions if q.key not in self._known}
        pool = ThreadPoolExecutor(self.endpoint.parallel)
        try:
            asked: dict[str, Future[None]] = {key: pool.submit(self._ask, q) for key, q in needed.items()}
            for key in (q.key for q in questions):
                if key in asked:
                    asked[key].result()
                if key not in self._known:
                    wait(asked.values())
                    raise self._failure(sum(key not in self._known for key in needed))
                yield self._known[key]
        finally:  # also on Ctrl-C: what is under way is waited for and written, the rest is not sent
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, asked: Question) -> None:
        if self._stopped is not None and (self._stopped.final or self._in_a_row >= FAILURES):
            return
        try:
            reply = self._send(asked)
        except ModelError as error:
            with self._writing:
                self._in_a_row += 1
                if self._stopped is None or not self._stopped.final:
                    self._stopped = error
            return
        with self._writing:
            self._in_a_row = 0
            append_jsonl(self.journal, asdict(reply))
            self._known[reply.key] = reply

    def _send(self, asked: Question) -> Reply:
        found = self.endpoint.complete(
            asked.conversation, max_tokens=asked.max_tokens, temperature=0, first_tokens=asked.first_tokens
        )
        return Reply(asked.key, found.text, found.prompt_tokens, found.completion_tokens, found.first)

    def _failure(self, missing: int) -> Exception:
        line = (
            f"{self._stopped}; {missing} question(s) of this prompt have no answer, those that came are kept, "
            "and the same command asks for the rest"
        )
        final = self._stopped is not None and self._stopped.final
        return UserError(line) if final else WorkError(line)


def _check_letters(options: Sequence[Sequence[str]]) -> None:
    if any(len(option) != 1 for letters in options for option in letters):
        raise UserError(f"{ON_LETTERS} (or task.answer=letter)")


def _scores(reply: Reply, letters: Sequence[str]) -> list[float]:
    first = reply.first or {}
    if not any(letter in first for letter in letters):
        return [math.nan] * len(letters)
    return [first.get(letter, -math.inf) for letter in letters]
