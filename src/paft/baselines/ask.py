"""Questions to the language model that drives a baseline: in parallel, each answer kept, each token counted."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from paft.errors import UserError, WorkError
from paft.files import append_jsonl, read_keyed
from paft.llm.client import Client, ModelError
from paft.types import Conversation, content_hash


class Asker:
    """A language model whose answers are written down when they come; none is paid for twice.

    Args:
        log: the file that answers are kept in.
        seed: asks for other answers where it differs.
    """

    def __init__(self, client: Client, log: Path, *, max_tokens: int = 1024, seed: int = 0):
        self.client, self.log, self.max_tokens, self.seed = client, log, max_tokens, seed
        self._done = read_keyed(log, {"text", "prompt_tokens", "completion_tokens", "seconds"})
        self._asked: dict[str, dict[str, Any]] = {}
        self._writing = threading.Lock()

    def ask(
        self, questions: Sequence[str], schema: Mapping[str, Any], *, temperature: float = 1.0, again: int = 0
    ) -> list[str]:
        """Return an answer for each question; ``again`` asks the same questions for other answers.

        Raises:
            UserError: a request was refused for good.
            WorkError: one failed, after the client's retries.
        """
        with ThreadPoolExecutor(self.client.parallel) as pool:
            futures = {
                text: pool.submit(self._one, text, schema, temperature, again) for text in dict.fromkeys(questions)
            }
            try:
                return [futures[text].result() for text in questions]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # what is under way is written down
                raise

    def budget(self) -> dict[str, float]:
        """Return requests, tokens read and written, and the seconds of all requests."""
        rows = self._asked.values()
        return {
            "requests": len(rows),
            "tokens_read": sum(row["prompt_tokens"] for row in rows),
            "tokens_written": sum(row["completion_tokens"] for row in rows),
            "seconds": round(sum(row["seconds"] for row in rows), 3),
        }

    def _one(self, text: str, schema: Mapping[str, Any], temperature: float, again: int) -> str:
        key = content_hash(self.client.name, text, str(temperature), str(again), str(self.seed))
        row = self._done.get(key)
        if row is None:
            started = time.monotonic()
            try:
                completion = self.client.complete(
                    Conversation(text),
                    max_tokens=self.max_tokens,
                    temperature=temperature,
                    seed=int(key[:7], 16),
                    schema=schema,
                )
            except ModelError as error:
                raise (UserError if error.final else WorkError)(
                    f"{error}; the same command goes on from here"
                ) from None
            row = {
                "key": key,
                "text": completion.text,
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "seconds": round(time.monotonic() - started, 3),
            }
            with self._writing:
                append_jsonl(self.log, row)
                self._done[key] = row
        self._asked[key] = row
        return row["text"]
