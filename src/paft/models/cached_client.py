"""Questions to the language model that drives a method: in parallel, each answer cached, each token counted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paft.errors import UserError, WorkError
from paft.models.client import Client, ModelError
from paft.models.response_cache import CachedCompletion, ResponseCache, pools
from paft.types import Conversation, content_hash


class CachedClient:
    """A language model whose answers are cached as they arrive; none is paid for twice.

    Args:
        log: the file that keeps the answers.
        seed: asks for other answers where it differs.
    """

    def __init__(self, client: Client, log: Path, *, max_tokens: int = 1024, seed: int = 0):
        self.client, self.cache, self.max_tokens, self.seed = client, ResponseCache(log), max_tokens, seed
        self._asked: dict[str, CachedCompletion] = {}

    def ask(
        self, questions: Sequence[str], schema: Mapping[str, Any], *, temperature: float = 1.0, again: int = 0
    ) -> list[str]:
        """Return an answer for each question; ``again`` asks the same questions for other answers.

        Raises:
            UserError: a request was refused for good.
            WorkError: one failed, after the client's retries.
        """
        with pools(self.client) as pool:
            futures = {
                text: pool[self.client.name].submit(self._one, text, schema, temperature, again)
                for text in dict.fromkeys(questions)
            }
            return [futures[text].result() for text in questions]

    def budget(self) -> dict[str, float]:
        """Return requests, tokens read and written, and the seconds of all requests."""
        answers = self._asked.values()
        return {
            "requests": len(answers),
            "tokens_read": sum(answer.prompt_tokens for answer in answers),
            "tokens_written": sum(answer.completion_tokens for answer in answers),
            "seconds": round(sum(answer.seconds for answer in answers), 3),
        }

    def _one(self, text: str, schema: Mapping[str, Any], temperature: float, again: int) -> str:
        key = content_hash(self.client.name, text, str(temperature), str(again), str(self.seed))
        try:
            answer = self.cache.ask(
                key,
                self.client,
                Conversation(text),
                max_tokens=self.max_tokens,
                temperature=temperature,
                seed=int(key[:7], 16),
                schema=schema,
            )
        except ModelError as error:
            raise (UserError if error.final or error.refused else WorkError)(
                f"{error}; run the same command again to resume"
            ) from None
        self._asked[key] = answer
        return answer.text
