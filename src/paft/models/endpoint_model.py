"""A model behind an endpoint as the model of a run: parallel requests, and no answer requested twice."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from paft.errors import UserError, WorkError
from paft.models.client import Completion, ModelError
from paft.models.completion_prompts import CompletionPrompts
from paft.models.completions import ChatCompletions, Completions, TextCompletions
from paft.models.endpoint import Endpoint
from paft.models.model import before_stop
from paft.models.questions import Question, key_of
from paft.models.response_cache import FAILURES, CachedCompletion, CircuitBreaker, ResponseCache, pools
from paft.models.unanswered import UnansweredError
from paft.models.usage import Usage
from paft.types import AnswerSettings, Conversation, Generation

OnUnanswered = Literal["stop", "count"]
"""What a question that alone has no answer does: stop the run after all others, or count as unparsed."""


class EndpointModel:
    """Answers questions through an endpoint, at temperature 0.

    Args:
        endpoint: takes ``endpoint.parallel`` requests at a time.
        answers: the file that each answer is written to as it arrives; a second run asks only for the rest.
        prompts: how conversations become the text or tokens of text completions; None for chat completions.
        on_unanswered: whether questions that alone have no answer stop the run after all others have one.
        say: called with one line on what is noteworthy.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        answers: Path,
        *,
        prompts: CompletionPrompts | None = None,
        on_unanswered: OnUnanswered = "stop",
        say: Callable[[str], None] = print,
    ):
        self.endpoint, self.cache = endpoint, ResponseCache(answers)
        self._usage = Usage(endpoint, self.cache.answers)
        self._completions: Completions = (
            ChatCompletions(endpoint.where, self._usage)
            if prompts is None
            else TextCompletions(prompts, self._usage)
        )
        self._on_unanswered, self._say = on_unanswered, say
        self._breaker = CircuitBreaker(endpoint, self.cache, self._works)
        self._answered: Question | None = None

    def generate(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[list[Generation]]:
        """Yield the answers in order, one per batch, as they arrive.

        An answer that the provider's content filter refused, or that failed by itself, is empty and has ``finish``
        refused or error.

        Args:
            stop: strings before which an answer ends.

        Raises:
            UnansweredError: at the end, where some questions have no answer and ``on_unanswered`` is ``stop``.
            UserError, WorkError: the endpoint does not work any more.
        """
        for answer in self._answers(self._completions.generation_questions(conversations, max_new_tokens, stop)):
            yield [Generation("", 0, "error") if answer is None else _generation(answer, stop)]

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-likelihood of each option; all are NaN where the answer cannot be read.

        Raises:
            UserError: an option whose likelihood cannot be measured.
            UnansweredError, UserError, WorkError: as :meth:`generate`.
        """
        rows = self._completions.score_questions(conversations, options)
        answers = self._answers([question for row in rows for question in row], [len(row) for row in rows])
        for row, texts in zip(rows, options, strict=True):
            yield [self._completions.scores([next(answers) for _ in row], texts)]
        next(answers, None)  # it may have to raise at its end

    def check(
        self,
        conversations: Sequence[Conversation],
        options: Sequence[Sequence[str]],
        settings: AnswerSettings,
    ) -> None:
        """Ask the first question, before anything is written, and drop the answer.

        If the endpoint rejects just this message, the next one is asked.

        Raises:
            UserError: a wrong API key, an unknown model, no log-probabilities where they are needed.
        """
        scored = settings.mode == "likelihood"
        if scored:
            self._completions.check_options(options)
        first: ModelError | None = None
        for conversation in conversations[:FAILURES]:
            try:
                if scored:
                    return self._check_scores(conversation, options[0])
                longest, stop = settings.max_new_tokens, settings.stop
                return self._check_text(*self._completions.generation_questions([conversation], longest, stop))
            except ModelError as error:
                if not (error.refused or error.filtered):
                    raise self._rejection(error, scored) from None
                first = error if first is None or first.filtered else first
        if first is not None and not first.filtered:  # a filter that rejects them all is shown cell by cell
            raise self._rejection(first, scored)

    def announce(self, conversations: Iterable[Conversation], settings: AnswerSettings) -> str:
        """Return one line on how many requests follow and about how many tokens they take."""
        chats = list(conversations)
        if settings.mode == "likelihood":
            return self._completions.announce_scores(chats)
        questions = self._completions.generation_questions(chats, settings.max_new_tokens, settings.stop)
        return self._usage.announce(questions, settings.max_new_tokens)

    def usage(self) -> str:
        """Return one line on the tokens of all answers, those of earlier calls included, and on what is amiss."""
        return self._usage.summary()

    def answer_tokens(self, answer: str) -> None:
        """Return None: the tokens are the server's."""

    def use_adapter(self, folder: Path | None) -> AbstractContextManager[None]:
        """Return a context that changes nothing: a model behind an endpoint is not trained here.

        Raises:
            ValueError: an adapter is named.
        """
        if folder is not None:
            raise ValueError("an endpoint takes no adapter")
        return nullcontext()

    def _check_scores(self, conversation: Conversation, options: Sequence[str]) -> None:
        [questions] = self._completions.score_questions([conversation], [options])
        answers = [question.send(self.endpoint) for question in questions]
        self._answered = questions[0]
        self._completions.check_scores(answers, options)

    def _check_text(self, question: Question) -> None:
        completion = question.send(self.endpoint)
        self._answered = question
        if completion.finish == "length" and not completion.text.strip():
            self._say(
                f"{self.endpoint.where}: the first answer reached the limit of tokens before any text (thoughts "
                "count too); raise evaluation.max_new_tokens, or turn the thoughts off with model.request"
            )

    def _rejection(self, error: ModelError, scored: bool) -> Exception:
        """Return the error of the first question, with the setting to take where it is about likelihoods."""
        advice = self._completions.advice(error) if scored else ""
        return (UserError if error.final or error.refused or advice else WorkError)(f"{error}{advice}")

    def _answers(
        self, questions: Sequence[Question], sizes: Sequence[int] | None = None
    ) -> Iterator[CachedCompletion | None]:
        """Yield the answers in order, with parallel requests; equal questions are sent once.

        None stands for a question that alone has no answer.

        Args:
            sizes: how many requests in a row belong to each question; one each when left out.
        """
        keys, known = [key_of(question, self.endpoint) for question in questions], self.cache.answers
        self._usage.keys |= set(keys)
        owners = [i for i, size in enumerate(sizes or [1] * len(keys)) for _ in range(size)]
        needed = {key: q for key, q in zip(keys, questions, strict=True) if key not in known}
        if self._answered is None:
            cached = (q for k, q in zip(keys, questions, strict=True) if k in known and known[k].refusal is None)
            self._answered = next(cached, None)
        failed: dict[int, str] = {}
        refused: dict[int, str] = {}
        with pools(self.endpoint) as pool:
            submit = pool[self.endpoint.name].submit
            pending = {key: submit(self._breaker.get, key, partial(self._send, q)) for key, q in needed.items()}
            for owner, key in zip(owners, keys, strict=True):
                answer = known.get(key) or pending[key].result()
                if answer is None and self._breaker.open:
                    wait(pending.values())
                    raise self._failure(sum(key not in known for key in needed))
                if answer is None:
                    failed.setdefault(owner, str(self._breaker.errors[key]))
                elif answer.refusal is not None:
                    refused.setdefault(owner, answer.refusal)
                yield answer
        if failed and not self._breaker.check():
            raise self._failure(sum(key not in known for key in needed))
        if failed or refused:
            self._leave_unanswered(failed, {i: reason for i, reason in refused.items() if i not in failed})

    def _send(self, question: Question) -> Completion:
        """Return the answer; what the content filter refuses, message or answer, has a refusal, which is kept."""
        try:
            completion = question.send(self.endpoint)
        except ModelError as error:
            if not error.filtered:
                raise
            return Completion("", 0, 0, finish="refused", refusal=str(error))
        if completion.finish == "refused" and not completion.text and not completion.first:
            return replace(completion, refusal="the content filter refused the answer")
        self._answered = question
        return completion

    def _works(self) -> bool:
        """Ask again what has been answered; return True if the endpoint still answers it."""
        if self._answered is None:
            return False
        try:
            self._answered.send(self.endpoint)
        except ModelError as error:
            self._breaker.error = error
            return False
        return True

    def _leave_unanswered(self, failed: dict[int, str], refused: dict[int, str]) -> None:
        """Say what has no answer, or stop there.

        Raises:
            UnansweredError: ``on_unanswered`` is ``stop``.
        """
        if self._on_unanswered == "stop":
            raise UnansweredError(failed, refused)
        count, first = len(failed) + len(refused), next(iter([*failed.values(), *refused.values()]))
        self._usage.unanswered += count
        self._say(f"{count} question(s) of a prompt have no answer and count as unparsed ({first})")

    def _failure(self, missing: int) -> Exception:
        error = self._breaker.error
        line = (
            f"{error}; {missing} question(s) of this prompt have no answer; those that arrived are kept, "
            "run the same command again to ask for the rest"
        )
        return UserError(line) if error is not None and (error.final or error.refused) else WorkError(line)


def _generation(answer: CachedCompletion, stop: Sequence[str]) -> Generation:
    text = before_stop(answer.text, stop)  # the endpoint may take fewer of them, or leave them in
    return Generation(text, answer.completion_tokens, answer.finish if text == answer.text else "stop")
