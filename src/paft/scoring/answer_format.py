"""How a model must write its answer: the letter of an option, the option's text, or free text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from paft.errors import UserError, nearest
from paft.scoring.choice import indistinguishable, read_label, read_letter
from paft.scoring.text_scorer import ASK, MARKUP
from paft.types import LETTERS

_ONLY = (
    rf"{ASK}(?: only| just)?(?: with| by| in)?(?: only| just)? (?:the |a |one |its )?(?:single |correct |right )?"
)
_FORBIDDEN = {
    **MARKUP,
    "an explanation": r"\b(?:explain|justify|defend) (?:why|how|your|the|each)\b|\bshow your (?:work|reasoning)\b"
    rf"|{ASK}[^.\n]{{0,30}}\b(?:explanation|justification|reasons)\b|\bgive (?:a|your|the) reason",
}
_YES_NO = {"yes or no": rf"{ASK}[^.\n]{{0,20}}[\"']?\b(?:yes or no|yes/no|true or false|true/false)\b"}
_NUMBER = {"a number": rf"{_ONLY}(?:digit|index|integer|score|rating)\b(?!'| letter)"}


class AnswerFormat(Protocol):
    """How a model must write its answer.

    Attributes:
        name: its name in the config.
        has_options: whether the answer is one of the options of an example; if not, it is free text.
        max_options: how many options it can tell apart; None where there is no limit.
        forbidden_requests: what a prompt must not ask for, by name, each with the pattern that finds it: a model
            that did so would give the right answer in a format that is counted as wrong.
    """

    name: ClassVar[str]
    has_options: ClassVar[bool]
    max_options: ClassVar[int | None]

    @property
    def forbidden_requests(self) -> Mapping[str, str]:
        """See above."""
        ...

    def candidates(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """Return the answer that stands for each option."""
        ...

    def format_options(self, options: tuple[str, ...], are_shared: bool) -> str:
        """Return the text of the slot ``{choices}``.

        Args:
            are_shared: whether all examples of the task have the same options.
        """
        ...

    def read(self, output: str, options: tuple[str, ...], names: tuple[str, ...] = ()) -> int | None:
        """Return the index of the option that an output picks; None where it cannot be read.

        Args:
            names: what the task calls its answer, such as its target column.
        """
        ...

    def alike(self, options: Sequence[str]) -> tuple[str, str] | None:
        """Return the first two options that no answer can tell apart; None for sound ones."""
        ...

    def describe(self, labels: tuple[str, ...] | None, option_count: int) -> str:
        """Return in words what a model must answer with, for a language model that writes prompts.

        Args:
            labels: the options where all examples share them, else None.
            option_count: how many options each example has; 0 where examples differ.
        """
        ...

    def stated_answers(self, text: str, labels: tuple[str, ...] | None, option_count: int) -> dict[str, str]:
        """Return the answers that a prompt's own text states as right, each with the phrase that states it."""
        ...


@dataclass(frozen=True)
class LetterAnswers:
    """The model answers with the letter of an option."""

    name: ClassVar[str] = "letter"
    has_options: ClassVar[bool] = True
    max_options: ClassVar[int | None] = len(LETTERS)
    forbidden_requests: ClassVar[Mapping[str, str]] = {
        **_FORBIDDEN,
        "the option's text": rf"{ASK}[^.\n]{{0,20}}\b(?:full|whole|entire|complete) "
        r"(?:text|sentence|option|ending|answer)\b",
        **_YES_NO,
        **_NUMBER,
    }

    def candidates(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """Return the letters of the options."""
        return tuple(LETTERS[: len(options)])

    def format_options(self, options: tuple[str, ...], are_shared: bool) -> str:
        """Return one line for each option, its letter first."""
        return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))

    def read(self, output: str, options: tuple[str, ...], names: tuple[str, ...] = ()) -> int | None:
        """Return the index of the option whose letter an output picks."""
        return read_letter(output, options, names=names)

    def alike(self, options: Sequence[str]) -> tuple[str, str] | None:
        """Return None: letters always differ."""
        return None

    def describe(self, labels: tuple[str, ...] | None, option_count: int) -> str:
        """Return that the letter is wanted, with all letters where they are known."""
        letters = f" ({', '.join(LETTERS[:option_count])})" if option_count else ""
        return f"the letter of the right option{letters}"

    def stated_answers(self, text: str, labels: tuple[str, ...] | None, option_count: int) -> dict[str, str]:
        """Return stated letters; ``Answer: B`` states one, ``the answer is a letter`` does not."""
        statement = r"\b(?:answer|choice|option)[^\S\n]*(?:is|:|=)[^\S\n]*[\"'(\[]?"
        return _stated(text, statement, LETTERS[:option_count], re.NOFLAG, words_may_follow=False)


@dataclass(frozen=True)
class LabelAnswers:
    """The model answers with the text of an option."""

    name: ClassVar[str] = "label"
    has_options: ClassVar[bool] = True
    max_options: ClassVar[int | None] = None
    forbidden_requests: ClassVar[Mapping[str, str]] = {
        **_FORBIDDEN,
        "a letter": rf"{_ONLY}letter\b",
        **_YES_NO,
        **_NUMBER,
    }

    def candidates(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """Return the options themselves."""
        return options

    def format_options(self, options: tuple[str, ...], are_shared: bool) -> str:
        """Return one line of labels, or a list of the options where each example has its own.

        Labels with a comma are separated by semicolons, so that none looks like two.
        """
        separator = "; " if any("," in text for text in options) else ", "
        return separator.join(options) if are_shared else "\n".join(f"- {text}" for text in options)

    def read(self, output: str, options: tuple[str, ...], names: tuple[str, ...] = ()) -> int | None:
        """Return the index of the option whose text an output gives."""
        return read_label(output, options, names=names)

    def alike(self, options: Sequence[str]) -> tuple[str, str] | None:
        """Return the first two options that are equal up to outer space and invisible signs."""
        return indistinguishable(tuple(options))

    def describe(self, labels: tuple[str, ...] | None, option_count: int) -> str:
        """Return that a label, or the text of an option, is wanted."""
        return "one of the labels, word for word" if labels is not None else "the text of the right option"

    def stated_answers(self, text: str, labels: tuple[str, ...] | None, option_count: int) -> dict[str, str]:
        """Return stated labels; options that differ between examples cannot be stated."""
        statement = r"\b(?:answer|label|class|category)[^\S\n]*(?:is|:)[^\S\n]*[\"'(\[]?"
        return _stated(text, statement, labels or (), re.IGNORECASE, words_may_follow=True)


@dataclass(frozen=True)
class TextAnswers:
    """The model answers in its own words; a scorer compares them with the accepted answers.

    Attributes:
        wanted: what a model must write, for a language model that writes prompts.
        forbidden_requests: what the scorer would count as wrong although the answer is right.
    """

    wanted: str = "the answer alone"
    forbidden_requests: Mapping[str, str] = field(default_factory=dict)
    name: ClassVar[str] = "text"
    has_options: ClassVar[bool] = False
    max_options: ClassVar[int | None] = None

    def candidates(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """Return nothing: there are no options."""
        return ()

    def format_options(self, options: tuple[str, ...], are_shared: bool) -> str:
        """Return nothing: there are no options."""
        return ""

    def read(self, output: str, options: tuple[str, ...], names: tuple[str, ...] = ()) -> int | None:
        """Return None: there is no option that an output could pick."""
        return None

    def alike(self, options: Sequence[str]) -> tuple[str, str] | None:
        """Return None: there are no options."""
        return None

    def describe(self, labels: tuple[str, ...] | None, option_count: int) -> str:
        """Return what the scorer wants."""
        return self.wanted

    def stated_answers(self, text: str, labels: tuple[str, ...] | None, option_count: int) -> dict[str, str]:
        """Return nothing: any text could be an answer."""
        return {}


def _stated(
    text: str, statement: str, answers: Sequence[str], case: re.RegexFlag, *, words_may_follow: bool
) -> dict[str, str]:
    if not answers:
        return {}
    any_answer = "|".join(map(re.escape, answers))
    pattern = re.compile(rf"(?i:{statement})({any_answer})(?!\w)[\"')\]]?([^\n]*)", case)
    stated: dict[str, str] = {}
    for match in pattern.finditer(text):
        if not words_may_follow and re.match(r"\s+[a-z]", match[2]):
            continue
        named = re.findall(rf"\b(?:{any_answer})\b", match[1] + match[2], case)
        stated |= {answer.casefold(): match[0] for answer in named}
    return stated


ANSWER_FORMATS: dict[str, AnswerFormat] = {
    answer_format.name: answer_format for answer_format in (LabelAnswers(), LetterAnswers(), TextAnswers())
}
"""The answer formats by the name that ``task.answer`` takes."""


def get_answer_format(name: str) -> AnswerFormat:
    """Return the answer format of a name.

    Raises:
        UserError: there is no such format.
    """
    if name not in ANSWER_FORMATS:
        raise UserError(f"config key task.answer: no format {name!r}{nearest(name, ANSWER_FORMATS)}")
    return ANSWER_FORMATS[name]
