"""What is requested of an endpoint for one question of a run, and the key of its answer."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

from paft.models.client import Completion
from paft.models.completion_prompts import Continuation, Text
from paft.models.endpoint import Endpoint
from paft.types import Conversation


class Question(Protocol):
    """One request."""

    @property
    def content(self) -> tuple[Any, ...]:
        """Everything that the answer depends on, but the model and the config's ``request``."""
        ...

    @property
    def characters(self) -> int:
        """How much the model reads, about four of them per token."""
        ...

    def send(self, endpoint: Endpoint) -> Completion:
        """Return the answer.

        Raises:
            ModelError: there is none, after retries.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChatQuestion:
    """A chat completion; for the likelihood of letters, one token with its alternatives."""

    conversation: Conversation
    max_tokens: int
    first_tokens: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def content(self) -> tuple[Any, ...]:
        """Return what the answer depends on."""
        how = (self.max_tokens, self.first_tokens, self.stop)
        return ("chat", *how, self.conversation.system, self.conversation.user)

    @property
    def characters(self) -> int:
        """Return the length of both texts."""
        return len(self.conversation.user) + len(self.conversation.system or "")

    def send(self, endpoint: Endpoint) -> Completion:
        """Ask for the answer."""
        return endpoint.complete(
            self.conversation,
            max_tokens=self.max_tokens,
            temperature=0,
            first_tokens=self.first_tokens,
            stop=self.stop,
        )


@dataclass(frozen=True, slots=True)
class TextQuestion:
    """A text completion."""

    prompt: Text
    max_tokens: int
    stop: tuple[str, ...] = ()

    @property
    def content(self) -> tuple[Any, ...]:
        """Return what the answer depends on."""
        return ("text", self.max_tokens, self.stop, self.prompt)

    @property
    def characters(self) -> int:
        """Return the length of a text, or about that of tokens."""
        return len(self.prompt) * (1 if isinstance(self.prompt, str) else 4)

    def send(self, endpoint: Endpoint) -> Completion:
        """Ask for the answer."""
        return endpoint.continue_text(self.prompt, max_tokens=self.max_tokens, stop=self.stop)


@dataclass(frozen=True, slots=True)
class EchoQuestion:
    """The log-probabilities of an option after its prompt."""

    continuation: Continuation

    @property
    def content(self) -> tuple[Any, ...]:
        """Return what the answer depends on."""
        return ("echo", self.continuation.start, self.continuation.text)

    @property
    def characters(self) -> int:
        """Return the length of a text, or about that of tokens."""
        return len(self.continuation.text) * (1 if isinstance(self.continuation.text, str) else 4)

    def send(self, endpoint: Endpoint) -> Completion:
        """Ask for the answer."""
        return endpoint.echo(self.continuation)


def key_of(question: Question, endpoint: Endpoint) -> str:
    """Return the key of an answer: a hash of the model's name, the config's ``request``, and what is asked.

    The endpoint's address is no part of it, so a run goes on where a server has moved; nor is the row that a
    question comes from, so a row that is removed takes no other answer with it.
    """
    request = (endpoint.name, endpoint.request, question.content)
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()[:32]
