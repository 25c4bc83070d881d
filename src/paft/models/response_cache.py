"""Cached responses: each answer is written to disk as it arrives, so that none is paid for twice."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from paft.errors import UserError
from paft.models.client import Client, Completion, ModelError
from paft.types import Conversation
from paft.utils.console import Console
from paft.utils.io import append_jsonl, read_log

FAILURES = 3
"""A model that fails this many requests in a row, each after its retries, is not asked any more."""

RARE = ("refusal", "echoed")
"""Columns that most rows of the file lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedCompletion(Completion):
    """An answer with the key of its request; ``seconds`` from sending to receiving."""

    key: str
    seconds: float = 0.0


class ResponseCache:
    """The answers so far, by key, and the JSON lines file that keeps them; safe to use from many threads.

    Raises:
        UserError: a line of the file is not an answer.
    """

    def __init__(self, path: Path):
        self.path, self.answers = path, read_answers(path)
        self._writing = threading.Lock()

    def ask(
        self,
        key: str,
        client: Client,
        conversation: Conversation,
        about: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> CachedCompletion:
        """Return the cached answer of a client, or ask for it.

        Args:
            about: further columns of its row in the file.
            parameters: of the client's ``complete``.

        Raises:
            ModelError: there is none, after the client's retries.
        """
        return self.get(key, lambda: client.complete(conversation, **parameters), about)

    def get(
        self, key: str, send: Callable[[], Completion], about: Mapping[str, Any] | None = None
    ) -> CachedCompletion:
        """Return the cached answer, or what ``send`` returns."""
        if known := self.answers.get(key):
            return known
        started = time.monotonic()
        completion = asdict(send())
        answer = CachedCompletion(key=key, seconds=round(time.monotonic() - started, 3), **completion)
        row = {name: value for name, value in asdict(answer).items() if value is not None or name not in RARE}
        with self._writing:
            append_jsonl(self.path, {"key": key, **(about or {}), **row})
            self.answers[key] = answer
        return answer


def read_answers(path: Path) -> dict[str, CachedCompletion]:
    """Return the answers of a file by key."""
    check, answers = TypeAdapter(CachedCompletion).validate_python, {}
    for number, row in enumerate(read_log(path), start=1):
        try:
            answer = check(row)
        except ValidationError as error:
            faults = error.errors()
            lacking = [str(fault["loc"][0]) for fault in faults if fault["type"] == "missing"]
            what = f"no {min(lacking)!r}" if len(lacking) == len(faults) else "not an answer"
            raise UserError(f"{path}:{number}: {what}; fix or remove the line") from None
        answers[answer.key] = answer
    return answers


@contextmanager
def pools(*clients: Client) -> Iterator[dict[str, ThreadPoolExecutor]]:
    """Yield a thread pool per client, by its name, with as many threads as it takes parallel requests.

    At the end, also on Ctrl-C, requests under way are waited for and so recorded; the others are not sent.
    """
    executors = {client.name: ThreadPoolExecutor(client.parallel) for client in clients}
    try:
        yield executors
    except KeyboardInterrupt:
        Console().say("\nwaiting for the answers to open requests, which are kept")
        raise
    finally:
        for pool in executors.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in executors.values():
            pool.shutdown(wait=True)


class CircuitBreaker:
    """Asks a model until a final failure, or several in a row, opens it; then no more requests are sent.

    Args:
        works: asks the model a question that it has answered before, and returns True if it answers again. Several
            failures in a row then do not open the breaker: they are of their questions, such as ones that are too
            long, and not of the server.

    Attributes:
        error: the failure that opened it; before that, the last one.
        errors: the last failure of each key.
    """

    def __init__(self, client: Client, cache: ResponseCache, works: Callable[[], bool] = lambda: False):
        self.client, self.cache = client, cache
        self.error: ModelError | None = None
        self.errors: dict[str, ModelError] = {}
        self.open = False
        self._works = works
        self._in_a_row = 0
        self._noting, self._probing = threading.Lock(), threading.Lock()

    @property
    def failing(self) -> bool:
        """Return True if the last request that ended was a failure."""
        return self.open or self._in_a_row > 0

    def ask(
        self, key: str, conversation: Conversation, about: Mapping[str, Any] | None = None, **parameters: Any
    ) -> CachedCompletion | None:
        """Return the client's answer; None if the request fails or the breaker is open."""
        return self.get(key, lambda: self.client.complete(conversation, **parameters), about)

    def get(
        self, key: str, send: Callable[[], Completion], about: Mapping[str, Any] | None = None
    ) -> CachedCompletion | None:
        """Return the cached answer, or what ``send`` returns; None if it fails or the breaker is open."""
        if self.open:
            return None
        try:
            answer = self.cache.get(key, send, about)
        except ModelError as error:
            self._note(key, error)
            return None
        with self._noting:
            self._in_a_row = 0
        return answer

    def check(self) -> bool:
        """Return True if the model works; open the breaker otherwise."""
        with self._probing:
            works = not self.failing or (not self.open and self._works())
            with self._noting:
                self._in_a_row, self.open = (0, self.open) if works else (self._in_a_row, True)
        return works

    def _note(self, key: str, error: ModelError) -> None:
        with self._noting:
            self.errors[key] = error
            if self.open:
                return
            self.error, self._in_a_row = error, self._in_a_row + 1
            self.open = error.final
            suspicious = self._in_a_row >= FAILURES
        if suspicious and not error.final:
            self.check()
