"""A model behind an endpoint as the model of a run: parallel requests, and no answer requested twice."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

from paft.errors import UserError, WorkError
from paft.models.client import Completion, ModelError
from paft.models.completion_prompts import SET_TOKENIZER, CompletionPrompts, Continuation, share_a_beginning
from paft.models.endpoint import Endpoint
from paft.models.letters import LEAST_MASS, letter_scores, mass
from paft.models.model import before_stop
from paft.models.questions import ChatQuestion, EchoQuestion, Question, TextQuestion, key_of
from paft.models.response_cache import FAILURES, Answer, CircuitBreaker, ResponseCache, pools
from paft.models.unanswered import UnansweredError
from paft.types import AnswerSettings, Conversation, Generation
from paft.utils.console import counted

LIKELIEST = 20
"""First tokens whose log-probabilities are requested; endpoints return no more."""

OnUnanswered = Literal["stop", "count"]
"""What a question that alone has no answer does: stop the run after all others, or count as unparsed."""

ON_LETTERS = (
    "config key evaluation.mode: through chat completions only the likelihood of single letters can be measured "
    "(task.answer=letter), and only where they return top_logprobs; for other options set model.tokenizer (or "
    "model.chat_template=none for a base model) if the server echoes log-probabilities in /v1/completions; "
    "otherwise set evaluation.mode=generate"
)
ON_ECHO = (
    "config key evaluation.mode: the likelihood of options requires a server that echoes the log-probabilities of "
    "the whole prompt in /v1/completions, such as vLLM; otherwise set evaluation.mode=generate"
)


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
        self._prompts, self._on_unanswered, self._say = prompts, on_unanswered, say
        self._breaker = CircuitBreaker(endpoint, self.cache, self._works)
        self._answered: Question | None = None
        self._keys: set[str] = set()
        self._measured = self._low_mass = self._lacking = 0
        self._mass = 0.0

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
        for answer in self._answers(self._generating(conversations, max_new_tokens, stop)):
            yield [Generation("", 0, "error") if answer is None else _generation(answer, stop)]

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-likelihood of each option; all are NaN where the answer cannot be read.

        Through text completions it is the sum over the option's tokens. Through chat completions it is that of a
        letter as the first token, summed over its spellings, with minus infinity for a letter that is not among
        the likeliest tokens; it cannot be read where the letters hold less than ``LEAST_MASS`` together.

        Raises:
            UserError: an option is more than a letter, and there are only chat completions.
            UnansweredError, UserError, WorkError: as :meth:`generate`.
        """
        if self._prompts is None:
            _check_letters(options)
            for answer, letters in zip(self._answers(_letters(conversations)), options, strict=True):
                yield [self._letter_scores(answer, letters)]
            return
        rows = self._prompts.continuations(conversations, options)
        echoes = self._answers([EchoQuestion(c) for row in rows for c in row], [len(row) for row in rows])
        for row in rows:
            yield [self._option_scores([next(echoes) for _ in row], row)]
        next(echoes, None)  # it may have to raise at its end

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
        if scored and self._prompts is None:
            _check_letters(options)
        first: ModelError | None = None
        for conversation in conversations[:FAILURES]:
            try:
                if scored:
                    return self._check_scores(conversation, options[0])
                return self._check_text(*self._generating([conversation], settings.max_new_tokens, settings.stop))
            except ModelError as error:
                if not (error.refused or error.filtered):
                    raise self._rejection(error, scored) from None
                first = error if first is None or first.filtered else first
        if first is not None and not first.filtered:  # a filter that rejects them all is shown cell by cell
            raise self._rejection(first, scored)

    def announce(self, conversations: Iterable[Conversation], settings: AnswerSettings) -> str:
        """Return one line on how many requests follow and about how many tokens they take."""
        endpoint, chats = self.endpoint, list(conversations)
        asking = f"asking {endpoint.name} at {endpoint.base_url}, {endpoint.parallel} at a time:"
        if settings.mode == "likelihood" and self._prompts is not None:
            return f"{asking} {counted(len(chats), 'questions')}, one request for each option"
        scored = settings.mode == "likelihood"
        questions = _letters(chats) if scored else self._generating(chats, settings.max_new_tokens, settings.stop)
        keys = [key_of(question, endpoint) for question in questions]
        self._keys |= set(keys)
        new = {k: q for k, q in zip(keys, questions, strict=True) if k not in self.cache.answers}
        known = sum(key in self.cache.answers for key in keys)
        writes = len(new) * (1 if scored else settings.max_new_tokens)
        return (
            f"{asking} {counted(len(new), 'requests')}, about "
            f"{sum(q.characters for q in new.values()) // 4:,} tokens to read and at most {writes:,} to write"
            f"{f'; {known:,} answers are cached' if known else ''}"
        )

    def usage(self) -> str:
        """Return one line on the tokens of all answers, those of earlier calls included, and on what is amiss."""
        answers = self.cache.answers.values()
        read, wrote = sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers)
        tokens = (
            f"{read:,} tokens read, {wrote:,} written" if read or wrote else "the endpoint reports no token counts"
        )
        notes = "".join(f"; {note}" for note in self._notes())
        return f"{self.endpoint.name}: {counted(len(answers), 'answers')}; {tokens}{notes}"

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

    def _generating(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str]
    ) -> Sequence[Question]:
        if self._prompts is None:
            return [ChatQuestion(c, max_new_tokens, stop=tuple(stop)) for c in conversations]
        return [
            TextQuestion(prompt, max_new_tokens, tuple(stop)) for prompt in self._prompts.prompts(conversations)
        ]

    def _check_scores(self, conversation: Conversation, options: Sequence[str]) -> None:
        if self._prompts is not None:
            [row] = self._prompts.continuations([conversation], [options])
            echoes = [EchoQuestion(continuation) for continuation in row]
            self._option_scores([echo.send(self.endpoint) for echo in echoes], row)
            self._answered = echoes[0]
            return
        [question] = _letters([conversation])
        first = question.send(self.endpoint).first
        self._answered = question
        if not first:
            raise UserError(f"{self.endpoint.where} returned no log-probabilities. {ON_LETTERS}")
        if mass(letter_scores(first, options)) == 0:
            likeliest = ", ".join(f"{text!r} {math.exp(first[text]):.2f}" for text in list(first)[:3])
            raise UserError(
                f"{self.endpoint.where}: none of the likeliest first tokens of its answer is one of the letters "
                f"{', '.join(options)} (likeliest: {likeliest}); set evaluation.mode=generate"
            )

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
        text, fix = str(error), ""
        if scored and self._prompts is not None:
            refuses_echo = error.refused or error.unreadable or error.status == 404 or "echo" in text
            fix = f". {ON_ECHO}" if refuses_echo else ""
        elif scored and error.refused:
            numbers = re.findall(r"\b\d{1,2}\b", text.partition(" (")[2])
            limits = [int(number) for number in numbers if 0 < int(number) < LIKELIEST]
            if "logprobs" in text and limits:
                fix = f"; set model.request={{top_logprobs: {max(limits)}}}"
            else:
                fix = f". {ON_LETTERS}"
        return (UserError if error.final or error.refused or fix else WorkError)(text + fix)

    def _letter_scores(self, answer: Answer | None, letters: Sequence[str]) -> list[float]:
        if answer is None or answer.refusal is not None:
            return [math.nan] * len(letters)
        scores = letter_scores(answer.first or {}, letters)
        held = mass(scores)
        self._measured, self._mass = self._measured + 1, self._mass + held
        if held >= LEAST_MASS:
            return scores
        self._low_mass += 1
        return [math.nan] * len(letters)

    def _option_scores(self, answers: Sequence[Completion | None], row: Sequence[Continuation]) -> list[float]:
        """Return the sums over the echoed tokens of a question's options.

        Raises:
            UserError: the tokens of one option begin another's, and the token that ends an answer is not known.
        """
        echoes = [answer.echoed for answer in answers if answer is not None and answer.echoed]
        if len(echoes) < len(row):
            return [math.nan] * len(row)
        if isinstance(row[0].text, str) and share_a_beginning([[token for token, _ in e] for e in echoes]):
            options = ", ".join(repr(continuation.option.strip()) for continuation in row)
            raise UserError(
                f"the tokens of one of the options {options} begin another's, so the end of the answer must "
                f"count, which plain text cannot show; {SET_TOKENIZER}"
            )
        return [sum(value for _, value in echo) for echo in echoes]

    def _answers(
        self, questions: Sequence[Question], sizes: Sequence[int] | None = None
    ) -> Iterator[Answer | None]:
        """Yield the answers in order, with parallel requests; equal questions are sent once.

        None stands for a question that alone has no answer.

        Args:
            sizes: how many requests in a row belong to each question; one each when left out.
        """
        keys, known = [key_of(question, self.endpoint) for question in questions], self.cache.answers
        self._keys |= set(keys)
        owners = [i for i, size in enumerate(sizes or [1] * len(keys)) for _ in range(size)]
        needed = {key: q for key, q in zip(keys, questions, strict=True) if key not in known}
        if self._answered is None:
            cached = (q for k, q in zip(keys, questions, strict=True) if k in known and known[k].refusal is None)
            self._answered = next(cached, None)
        reasons: dict[int, str] = {}
        failed = False
        with pools(self.endpoint) as pool:
            submit = pool[self.endpoint.name].submit
            pending = {key: submit(self._breaker.get, key, partial(self._send, q)) for key, q in needed.items()}
            for owner, key in zip(owners, keys, strict=True):
                answer = known.get(key) or pending[key].result()
                if answer is None and self._breaker.open:
                    wait(pending.values())
                    raise self._failure(sum(key not in known for key in needed))
                if answer is None:
                    failed = True
                    reasons.setdefault(owner, str(self._breaker.errors[key]))
                elif answer.refusal is not None:
                    reasons.setdefault(owner, answer.refusal)
                yield answer
        if failed and not self._breaker.check():
            raise self._failure(sum(key not in known for key in needed))
        if reasons:
            self._leave_unanswered(reasons, failed)

    def _send(self, question: Question) -> Completion:
        """Return the answer; a message that the content filter refuses has a refusal, which is kept like one."""
        try:
            completion = question.send(self.endpoint)
        except ModelError as error:
            if not error.filtered:
                raise
            return Completion("", 0, 0, finish="refused", refusal=str(error))
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

    def _leave_unanswered(self, reasons: dict[int, str], failed: bool) -> None:
        """Say what has no answer, or stop there.

        Raises:
            UnansweredError: ``on_unanswered`` is ``stop``.
        """
        if self._on_unanswered == "stop":
            raise UnansweredError(reasons, passes=failed)
        self._lacking += len(reasons)
        first = next(iter(reasons.values()))
        self._say(f"{len(reasons)} question(s) of a prompt have no answer and count as unparsed ({first})")

    def _failure(self, missing: int) -> Exception:
        error = self._breaker.error
        line = (
            f"{error}; {missing} question(s) of this prompt have no answer; those that arrived are kept, "
            "run the same command again to ask for the rest"
        )
        return UserError(line) if error is not None and (error.final or error.refused) else WorkError(line)

    def _notes(self) -> Iterator[str]:
        """Yield what the answers of this run lack, so that it is not taken for the model's mistakes."""
        answers = [self.cache.answers[key] for key in self._keys if key in self.cache.answers]
        written = [a for a in answers if a.first is None and a.echoed is None and a.refusal is None]
        if cut := sum(a.finish == "length" for a in written):
            yield f"{cut:,} of {len(written):,} were cut by the limit of tokens (evaluation.max_new_tokens)"
        if filtered := sum(a.finish == "refused" for a in written):
            yield f"{filtered:,} were cut by the provider's content filter"
        if empty := sum(not a.text.strip() for a in written):
            yield f"{empty:,} hold no text"
        if self._lacking:
            yield f"{self._lacking:,} questions have no answer and count as unparsed"
        if self._measured:
            yield f"the letters hold {self._mass / self._measured:.0%} of the first token's probability on average"
        if self._low_mass:
            yield f"less than {LEAST_MASS:.0%} in {self._low_mass:,} of {self._measured:,}, which are unparsed"


def _generation(answer: Answer, stop: Sequence[str]) -> Generation:
    text = before_stop(answer.text, stop)  # the endpoint may take fewer of them, or leave them in
    return Generation(text, answer.completion_tokens, answer.finish if text == answer.text else "stop")


def _letters(conversations: Sequence[Conversation]) -> list[ChatQuestion]:
    return [ChatQuestion(conversation, 1, LIKELIEST) for conversation in conversations]


def _check_letters(options: Sequence[Sequence[str]]) -> None:
    if any(len(option) != 1 for letters in options for option in letters):
        raise UserError(ON_LETTERS)
