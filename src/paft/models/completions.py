"""The two ways to ask a model behind an endpoint: through chat completions, and through text completions."""

import math
import re
from collections.abc import Sequence
from typing import Protocol

from paft.errors import UserError
from paft.models.chat import share_a_beginning
from paft.models.client import Completion, ModelError
from paft.models.completion_prompts import SET_TOKENIZER, CompletionPrompts, PlainText
from paft.models.letters import LEAST_MASS, letter_scores, mass
from paft.models.questions import ChatQuestion, EchoQuestion, Question, TextQuestion
from paft.models.usage import Usage
from paft.types import Conversation

LIKELIEST = 20
"""First tokens whose log-probabilities are requested; endpoints return no more."""

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


class Completions(Protocol):
    """Turns conversations into questions to an endpoint, and the answers about options into scores."""

    def generation_questions(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str]
    ) -> list[Question]:
        """Return the question that lets the model answer each conversation."""
        ...

    def score_questions(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[Question]]:
        """Return the questions about the options of each conversation.

        Raises:
            UserError: as :meth:`check_options`.
        """
        ...

    def announce_scores(self, conversations: Sequence[Conversation]) -> str:
        """Return one line on what :meth:`score_questions` will cost."""
        ...

    def check_options(self, options: Sequence[Sequence[str]]) -> None:
        """Refuse options whose likelihood cannot be measured.

        Raises:
            UserError: there are some.
        """
        ...

    def check_scores(self, answers: Sequence[Completion], options: Sequence[str]) -> None:
        """Refuse an endpoint whose answers about the options of a conversation show no likelihoods.

        Raises:
            UserError: they do not.
        """
        ...

    def scores(self, answers: Sequence[Completion | None], options: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each option of a conversation; all are NaN where they cannot be read.

        Args:
            answers: to its questions, None where there is none.
        """
        ...

    def advice(self, error: ModelError) -> str:
        """Return the setting to take where the first question about options failed; empty if it is not that."""
        ...


class ChatCompletions:
    """The endpoint applies the model's chat template; options are letters.

    The score of a letter is its log-likelihood as the first token, summed over its spellings, with minus infinity
    for one that is not among the likeliest tokens. It cannot be read where all letters together hold less than
    ``LEAST_MASS``.

    Args:
        where: the model and its address, for messages.
        usage: of the run, which counts what the letters hold.
    """

    def __init__(self, where: str, usage: Usage):
        self._where, self._usage = where, usage

    def generation_questions(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str]
    ) -> list[Question]:
        """Return a chat completion for each conversation."""
        return [ChatQuestion(c, max_new_tokens, stop=tuple(stop)) for c in conversations]

    def score_questions(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[Question]]:
        """Return a chat completion of one token for each conversation.

        Raises:
            UserError: an option is more than a letter.
        """
        self.check_options(options)
        return [[question] for question in _first_tokens(conversations)]

    def announce_scores(self, conversations: Sequence[Conversation]) -> str:
        """Return one line on the requests that follow."""
        return self._usage.announce(_first_tokens(conversations), 1)

    def check_options(self, options: Sequence[Sequence[str]]) -> None:
        """Refuse an option that is more than a letter."""
        if any(len(option) != 1 for letters in options for option in letters):
            raise UserError(ON_LETTERS)

    def check_scores(self, answers: Sequence[Completion], options: Sequence[str]) -> None:
        """Refuse an answer without log-probabilities, or with none of a letter."""
        [answer] = answers
        if not (first := answer.first):
            raise UserError(f"{self._where} returned no log-probabilities. {ON_LETTERS}")
        if mass(letter_scores(first, options)) == 0:
            likeliest = ", ".join(f"{text!r} {math.exp(first[text]):.2f}" for text in list(first)[:3])
            raise UserError(
                f"{self._where}: none of the likeliest first tokens of its answer is one of the letters "
                f"{', '.join(options)} (likeliest: {likeliest}); set evaluation.mode=generate"
            )

    def scores(self, answers: Sequence[Completion | None], options: Sequence[str]) -> list[float]:
        """Return the log-probability of each letter as the first token."""
        [answer] = answers
        if answer is None or answer.refusal is not None:
            return [math.nan] * len(options)
        scores = letter_scores(answer.first or {}, options)
        held = mass(scores)
        self._usage.letter_masses.append(held)
        return scores if held >= LEAST_MASS else [math.nan] * len(options)

    def advice(self, error: ModelError) -> str:
        """Return the endpoint's limit of first tokens as a setting, where its refusal names one."""
        if not error.refused:
            return ""
        text = str(error)
        numbers = re.findall(r"\b\d{1,2}\b", text.partition(" (")[2])
        limits = [int(number) for number in numbers if 0 < int(number) < LIKELIEST]
        if "logprobs" in text and limits:
            return f"; set model.request={{top_logprobs: {max(limits)}}}"
        return f". {ON_LETTERS}"


class TextCompletions:
    """The endpoint continues a text or tokens; options are any texts.

    The score of an option is the sum over its tokens in an echo of the prompt with the option.

    Args:
        prompts: how conversations become texts or tokens.
        usage: of the run.
    """

    def __init__(self, prompts: CompletionPrompts, usage: Usage):
        self._prompts, self._usage = prompts, usage

    def generation_questions(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str]
    ) -> list[Question]:
        """Return a text completion for each conversation."""
        prompts = self._prompts.prompts(conversations)
        return [TextQuestion(prompt, max_new_tokens, tuple(stop)) for prompt in prompts]

    def score_questions(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[Question]]:
        """Return an echoed text completion for each option of each conversation."""
        rows = self._prompts.continuations(conversations, options)
        return [[EchoQuestion(continuation) for continuation in row] for row in rows]

    def announce_scores(self, conversations: Sequence[Conversation]) -> str:
        """Return one line on the questions that follow."""
        return self._usage.announce_options(len(conversations))

    def check_options(self, options: Sequence[Sequence[str]]) -> None:
        """Refuse none; whether the endpoint's tokens fit, its answers show."""

    def check_scores(self, answers: Sequence[Completion], options: Sequence[str]) -> None:
        """Refuse what :meth:`scores` refuses."""
        self.scores(answers, options)

    def scores(self, answers: Sequence[Completion | None], options: Sequence[str]) -> list[float]:
        """Return the sum over the echoed tokens of each option.

        Raises:
            UserError: the tokens of one option begin another's, and the token that ends an answer is not known.
        """
        echoes = [answer.echoed for answer in answers if answer is not None and answer.echoed]
        if len(echoes) < len(options):
            return [math.nan] * len(options)
        is_text = isinstance(self._prompts, PlainText)
        if is_text and share_a_beginning([[token for token, _ in echo] for echo in echoes]):
            raise UserError(
                f"the tokens of one of the options {', '.join(map(repr, options))} begin another's, so the end of "
                f"the answer must count, which plain text cannot show; {SET_TOKENIZER}"
            )
        return [sum(value for _, value in echo) for echo in echoes]

    def advice(self, error: ModelError) -> str:
        """Return what the server must support, where it seems to echo no log-probabilities."""
        refuses_echo = error.refused or error.unreadable or error.status == 404 or "echo" in str(error)
        return f". {ON_ECHO}" if refuses_echo else ""


def _first_tokens(conversations: Sequence[Conversation]) -> list[ChatQuestion]:
    return [ChatQuestion(conversation, 1, LIKELIEST) for conversation in conversations]
