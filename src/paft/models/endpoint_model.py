"""A model behind an endpoint as the model of a run: parallel requests, and no answer requested twice."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.errors import UserError, WorkError
from paft.models.client import Completion, ModelError
from paft.models.endpoint import Endpoint
from paft.models.model import Mode
from paft.models.response_cache import Answer, CircuitBreaker, ResponseCache, pools
from paft.types import Conversation, Generation

LIKELIEST = 20
"""First tokens whose log-probabilities are requested; endpoints return no more."""

ON_LETTERS = (
    "config key evaluation.mode: behind an endpoint only the likelihood of single letters can be measured, and "
    "only where its chat completions return top_logprobs; set evaluation.mode=generate"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation and the limit of its answer; for likelihoods, one token with its alternatives."""

    conversation: Conversation
    max_tokens: int
    first_tokens: int | None = None

    @property
    def key(self) -> str:
        """Return the key of its answer."""
        asked = (self.max_tokens, self.first_tokens, self.conversation.system, self.conversation.user)
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the request."""
        return {"max_tokens": self.max_tokens, "temperature": 0, "first_tokens": self.first_tokens}


def question(conversation: Conversation, mode: str, max_new_tokens: int) -> Question:
    """Return the request for a likelihood, or for a generated answer."""
    return Question(conversation, *((1, LIKELIEST) if mode == "likelihood" else (max_new_tokens, None)))


class EndpointModel:
    """Answers questions through an endpoint, at temperature 0.

    Args:
        endpoint: takes ``endpoint.parallel`` requests at a time.
        answers: the file that each answer is written to as it arrives; a second run asks only for the rest.
    """

    def __init__(self, endpoint: Endpoint, answers: Path):
        self.endpoint, self.cache = endpoint, ResponseCache(answers)
        self._breaker = CircuitBreaker(endpoint, self.cache)

    def generate(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[list[Generation]]:
        """Yield the answers in order, one per batch, as they arrive."""
        for answer in self._answers([question(c, "generate", max_new_tokens) for c in conversations]):
            yield [Generation(answer.text, answer.completion_tokens, answer.finish)]

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-probability of each option, a letter, as the first token of the answer.

        A letter that is not among the likeliest tokens that the endpoint returns gets minus infinity: it is less
        likely than all of them. If none of the letters is among them, all are NaN.

        Raises:
            UserError: an option is more than a letter.
        """
        _check_letters(options)
        questions = [question(c, "likelihood", 1) for c in conversations]
        for answer, letters in zip(self._answers(questions), options, strict=True):
            yield [_scores(answer, letters)]

    def check(
        self,
        conversations: Sequence[Conversation],
        options: Sequence[Sequence[str]],
        mode: Mode,
        max_new_tokens: int,
        stop: Sequence[str] = (),
    ) -> None:
        """Ask the first question, before anything is written, and drop the answer.

        Raises:
            UserError: a wrong API key, an unknown model, no log-probabilities where they are needed.
        """
        scored = mode == "likelihood"
        if scored:
            _check_letters(options)
        try:
            request = question(conversations[0], mode, max_new_tokens)
            completion = self.endpoint.complete(request.conversation, **request.parameters)
        except ModelError as error:
            if error.final:
                raise UserError(f"{error}{f'. {ON_LETTERS}' if scored and error.refused else ''}") from None
            raise WorkError(str(error)) from None
        if scored and not completion.first:
            raise UserError(
                f"{self.endpoint.name} at {self.endpoint.base_url} returned no log-probabilities. {ON_LETTERS}"
            )

    def announce(
        self, conversations: Iterable[Conversation], mode: Mode, max_new_tokens: int, stop: Sequence[str] = ()
    ) -> str:
        """Return one line on how many requests follow and about how many tokens they take."""
        keys: set[str] = set()
        characters = known = 0
        for conversation in conversations:
            request = question(conversation, mode, max_new_tokens)
            if request.key in self.cache.answers:
                known += 1
            elif request.key not in keys:
                keys.add(request.key)
                characters += len(conversation.user) + len(conversation.system or "")
        writes = len(keys) * (1 if mode == "likelihood" else max_new_tokens)
        return (
            f"asking {self.endpoint.name} at {self.endpoint.base_url}, {self.endpoint.parallel} at a time: "
            f"{len(keys):,} requests, about {characters // 4:,} tokens to read and at most {writes:,} to write"
            f"{f'; {known:,} answers are cached' if known else ''}"
        )

    def usage(self) -> str:
        """Return one line on the tokens of all answers, those of earlier calls included."""
        answers = self.cache.answers.values()
        read, wrote = sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers)
        tokens = (
            f"{read:,} tokens read, {wrote:,} written" if read or wrote else "the endpoint reports no token counts"
        )
        return f"{self.endpoint.name}: {len(answers):,} answers; {tokens}"

    def use_adapter(self, folder: Path | None) -> AbstractContextManager[None]:
        """Return a context that changes nothing: a model behind an endpoint is not trained here.

        Raises:
            ValueError: an adapter is named.
        """
        if folder is not None:
            raise ValueError("an endpoint takes no adapter")
        return nullcontext()

    def _answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Yield the answers in order, with parallel requests; equal questions are sent once."""
        known = self.cache.answers
        needed = {q.key: q for q in questions if q.key not in known}
        with pools(self.endpoint) as pool:
            submit, ask = pool[self.endpoint.name].submit, self._breaker.ask
            asked = {key: submit(ask, key, q.conversation, **q.parameters) for key, q in needed.items()}
            for key in (q.key for q in questions):
                answer = known.get(key) or asked[key].result()
                if answer is None:
                    wait(asked.values())
                    raise self._failure(sum(key not in known for key in needed))
                yield answer

    def _failure(self, missing: int) -> Exception:
        error = self._breaker.error
        line = (
            f"{error}; {missing} question(s) of this prompt have no answer; those that arrived are kept, "
            "run the same command again to ask for the rest"
        )
        return UserError(line) if error is not None and error.final else WorkError(line)


def _check_letters(options: Sequence[Sequence[str]]) -> None:
    if any(len(option) != 1 for letters in options for option in letters):
        raise UserError(f"{ON_LETTERS} (or task.answer=letter)")


def _scores(answer: Completion, letters: Sequence[str]) -> list[float]:
    first = answer.first or {}
    if not any(letter in first for letter in letters):
        return [math.nan] * len(letters)
    return [first.get(letter, -math.inf) for letter in letters]
