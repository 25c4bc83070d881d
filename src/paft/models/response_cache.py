"""Asking so that nothing is paid for twice: each answer is on the disk the moment it comes, and stays known."""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from paft.errors import UserError
from paft.models.endpoint import Client, Completion, ModelError
from paft.types import Conversation
from paft.utils.io import append_jsonl, read_log

FAILURES = 3
"""A model that fails so many requests in a row, each after its retries, is not asked further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Completion):
    """An answer as it was paid for, by the key of what was asked; ``seconds`` from sending to receiving."""

    key: str
    seconds: float = 0.0


class ResponseCache:
    """The answers so far, by key, and the file of JSON lines that they are kept in; many threads may ask.

    Raises:
        UserError: a line of the file is no answer.
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
    ) -> Answer:
        """Return the answer that is known, or ask for it.

        Args:
            about: what else its row in the file says.
            parameters: of the client's ``complete``.

        Raises:
            ModelError: there is none, after the client's retries.
        """
        if known := self.answers.get(key):
            return known
        started = time.monotonic()
        found = asdict(client.complete(conversation, **parameters))
        answer = Answer(key=key, seconds=round(time.monotonic() - started, 3), **found)
        with self._writing:
            append_jsonl(self.path, {"key": key, **(about or {}), **asdict(answer)})
            self.answers[key] = answer
        return answer


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the answers of a journal by key."""
    check, answers = TypeAdapter(Answer).validate_python, {}
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
    """Give, by the clients' names, as many threads as each takes requests at a time.

    At the end, also on Ctrl-C, what is under way is waited for and so written down; the rest is not sent.
    """
    found = {client.name: ThreadPoolExecutor(client.parallel) for client in clients}
    try:
        yield found
    finally:
        for pool in found.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in found.values():
            pool.shutdown(wait=True)


class CircuitBreaker:
    """Asks a model until a failure that is final, or some in a row, opens it; then no more requests are sent.

    Attributes:
        error: the failure that opened it; until then the last one.
    """

    def __init__(self, client: Client, journal: ResponseCache):
        self.client, self.journal = client, journal
        self.error: ModelError | None = None
        self.open = False
        self._in_a_row = 0
        self._noting = threading.Lock()

    @property
    def failing(self) -> bool:
        """Say whether the last request that ended was a failure."""
        return self.open or self._in_a_row > 0

    def ask(self, key: str, conversation: Conversation, **more: Any) -> Answer | None:
        """Return what :meth:`ResponseCache.ask` brings, None where that is a failure or the breaker is open."""
        if self.open:
            return None
        try:
            answer = self.journal.ask(key, self.client, conversation, **more)
        except ModelError as error:
            with self._noting:
                if not self.open:
                    self.error, self._in_a_row = error, self._in_a_row + 1
                    self.open = error.final or self._in_a_row >= FAILURES
            return None
        with self._noting:
            self._in_a_row = 0
        return answer
