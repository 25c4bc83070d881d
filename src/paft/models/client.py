"""A language model that is asked for text: the protocol, and a model in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from paft.errors import UserError
from paft.types import Conversation, Finish

if TYPE_CHECKING:
    from paft.engine.engine import Engine  # loads torch


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote, and what it cost in tokens; zero where an endpoint does not report it.

    Attributes:
        first: log-probabilities of the likeliest first tokens by their text; None if they were not requested,
            empty if the endpoint did not return them.
        finish: why the model stopped; None where the endpoint does not say.
        refusal: the provider's words where its content filter refused the message, so that there is no answer.
        echoed: the tokens of an option and their log-probabilities, in order, where those were requested.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    first: Mapping[str, float] | None = None
    finish: Finish | None = None
    refusal: str | None = None
    echoed: tuple[tuple[str, float], ...] | None = None


class ModelError(Exception):
    """A request without a result.

    Attributes:
        final: no other request to this model will succeed (a wrong key, an unknown model, no server).
        refused: the endpoint rejects the request as it is; others may succeed.
        filtered: the provider's content filter rejects the message.
        unreadable: the reply is not what was requested.
        status: the HTTP status, or the code in an error object; None where there is none.
    """

    def __init__(
        self,
        reason: str,
        *,
        final: bool,
        refused: bool = False,
        filtered: bool = False,
        unreadable: bool = False,
        status: int | None = None,
    ):
        super().__init__(reason)
        self.final, self.refused, self.filtered, self.unreadable = final, refused, filtered, unreadable
        self.status = status


class Client(Protocol):
    """A language model that answers one conversation at a time; ``complete`` may be called from many threads.

    Attributes:
        name: of the model, for tables and provenance.
        parallel: how many requests it takes at a time.
    """

    name: str
    parallel: int

    def complete(
        self,
        conversation: Conversation,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        schema: Mapping[str, Any],
    ) -> Completion:
        """Return the answer, as JSON of a schema where the model supports one.

        Raises:
            ModelError: there is no answer, after retries.
        """
        ...


class LocalClient:
    """A model in this process.

    Args:
        name: for tables and provenance.
        load: returns it; called when the model is first asked.
    """

    parallel = 1

    def __init__(self, name: str, load: "Callable[[], Engine]"):
        self.name = name
        self._engine = cache(load)

    def complete(
        self,
        conversation: Conversation,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        schema: Mapping[str, Any],
    ) -> Completion:
        """Return a sampled answer; the schema is not enforced."""
        engine = self._engine()
        try:
            [[answer]] = engine.generate([conversation], max_tokens, temperature=temperature, seed=seed)
        except UserError as error:
            raise ModelError(f"{self.name}: {error}", final=True) from None
        [prompt] = engine.format.prompts([conversation])
        return Completion(answer.text, len(prompt), answer.tokens, finish=answer.finish)
