"""How a target column is read: which option a cell names, or which answers in free text it accepts.

A cell is read by itself: which other rows there are never changes what it names. Where two readings of a cell
differ, the row is refused and ``task.target_format`` decides.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from paft.config.task import TargetFormat, cell_text
from paft.errors import UserError, nearest
from paft.scoring.fold import without_direction_marks
from paft.types import LETTERS

KEY = "task.target_format"
IN_WORDS = {
    "text": "as the text of a choice",
    "letter": "as the letter of a choice",
    "zero-based": "as the position of a choice, counted from 0",
    "one-based": "as the position of a choice, counted from 1",
}
_FIRST = {"zero-based": 0, "one-based": 1}
"""The readings as a position, with the position of the first choice."""
MOST_SHOWN = 12
"""Choices, class names or spellings that a message lists."""


def plain_form(text: str) -> str:
    """Return a text in one Unicode form, without invisible characters, and with single ordinary spaces."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(text.split())


def integer(text: str) -> int | None:
    """Return the whole number that a cell holds (``1``, ``01``, ``1.0``); None for anything else."""
    match = re.fullmatch(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*", text)
    return int(match[1]) if match else None


_FORMS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("", lambda text: text),
    ("spacing or Unicode form", plain_form),
    ("case", lambda text: plain_form(text).casefold()),
    ("the way a number is written", integer),
)
"""What a cell and a choice may differ in, and the function that makes both equal; the first that fits counts."""


@lru_cache(maxsize=100_000)
def text_matches(text: str, names: tuple[str, ...]) -> tuple[tuple[int, ...], str]:
    """Return the names that a cell's text fits best, and what it differs from them in."""
    for difference, form in _FORMS:
        value = form(text)
        hits = tuple(i for i, name in enumerate(names) if value is not None and form(name) == value)
        if hits:
            return hits, difference
    return (), ""


def letter_index(text: str, count: int) -> int | None:
    """Return the index of a letter among the first ``count`` letters; None where it is none of them."""
    letter = plain_form(text).upper()
    return LETTERS.index(letter) if len(letter) == 1 and letter in LETTERS[:count] else None


def position_index(text: str, count: int, first: int) -> int | None:
    """Return the index of a position that counts from ``first``; None where there is none."""
    number = integer(text)
    return number - first if number is not None and 0 <= number - first < count else None


class TargetColumn:
    """Reads the cells of a target column that refer to options.

    Args:
        column: its name.
        target_format: the config's ``task.target_format``.
        labels: the options where all examples share them.

    Raises:
        UserError: a mapping names no choice, or there is no list of choices that it could name.
    """

    def __init__(self, column: str, target_format: TargetFormat, labels: tuple[str, ...] | None):
        self.column, self.target_format, self.labels = column, target_format, labels
        self.mapping = _checked_mapping(target_format, labels) if isinstance(target_format, dict) else None
        self.class_names: tuple[str, ...] = ()
        self._first: dict[str, str] = {}  # by reading, the first row that was read so
        self._respelled: dict[str, str] = {}  # cells that differ from their choice in spelling
        self._letters_clash = labels is not None and _names_letters(labels)
        self._numbers_clash = labels is not None and any(_number_clash(label, labels) for label in labels)

    @property
    def uses_class_names(self) -> bool:
        """Whether class names of the data set stand for the numbers in the column."""
        if self.mapping is not None:
            return all(integer(key) is None for key in self.mapping)
        return self.target_format not in _FIRST

    def named(self, value: Any, names: tuple[str, ...], place: str) -> Any:
        """Return the class name that a number in the column stands for.

        Raises:
            UserError: the row has no label, or a number that no class has.
        """
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        self.class_names = names
        if not 0 <= value < len(names):
            without = "stands for no label" if value == -1 else f"is none of the {len(names)} classes"
            raise UserError(f"{place}: {self.column} is {value}, which {without}; leave the row out")
        return names[value]

    def index(self, value: Any, options: tuple[str, ...], place: str) -> int:
        """Return the index of the option that a cell names.

        Raises:
            UserError: it names none, or two readings of it differ.
        """
        text = cell_text(value)
        if text is None:
            self._refuse(value, options, place)
        if self.mapping is not None:
            return self._mapped(text, options, place)
        if self.target_format == "auto":
            reading, index = self._auto(text, value, options, place)
        else:
            reading, index = str(self.target_format), self._read(text, str(self.target_format), options, place)
        if index is None:
            self._refuse(value, options, place)
        if reading:
            self._first.setdefault(reading, place)
        if len(self._first) > 1:
            (left, left_place), (right, right_place) = self._first.items()
            raise UserError(
                f"{right_place}: {self.column} can only be read as {right}, but as {left} at {left_place}; "
                f"set {KEY}, or fix the rows"
            )
        return index

    def describe(self) -> str:
        """Return how the column was read, in words."""
        if self.mapping is not None:
            pairs = ", ".join(f"{key} = {name}" for key, name in list(self.mapping.items())[:MOST_SHOWN])
            how = f"by {KEY}: {pairs}{', ...' * (len(self.mapping) > MOST_SHOWN)}"
        else:
            how = IN_WORDS[next(iter(self._first), "text")]
            if self.target_format != "auto":
                how += f" ({KEY})"
        if self.class_names:
            names = [f"{i} = {name}" for i, name in enumerate(self.class_names)][:MOST_SHOWN]
            how += f"; numbers by the data set's class names: {', '.join(names)}"
            how += ", ..." * (len(self.class_names) > MOST_SHOWN)
        if self._respelled:
            pairs = ", ".join(f"{cell!r} = {name!r}" for cell, name in list(self._respelled.items())[:3])
            how += f"; spelled differently: {pairs}{', ...' * (len(self._respelled) > 3)}"
        return f"{self.column} is read {how}"

    def _mapped(self, text: str, options: tuple[str, ...], place: str) -> int:
        assert self.mapping is not None
        keys = tuple(self.mapping)
        index = self._unique(text, keys, place, "keys of " + KEY)
        if index is None:
            raise UserError(
                f"{place}: {self.column} is {text!r}, which {KEY} does not map; it maps {_listed(keys)}; add it"
            )
        return options.index(self.mapping[keys[index]])

    def _read(self, text: str, reading: str, options: tuple[str, ...], place: str) -> int | None:
        if reading in _FIRST:
            return position_index(text, len(options), _FIRST[reading])
        return self._text(text, options, place) if reading == "text" else letter_index(text, len(options))

    def _text(self, text: str, options: tuple[str, ...], place: str) -> int | None:
        index = self._unique(text, options, place, "choices")
        if index is not None and text != options[index]:
            self._respelled.setdefault(text, options[index])
        return index

    def _unique(self, text: str, names: tuple[str, ...], place: str, what: str) -> int | None:
        hits, difference = text_matches(text, names)
        if len({names[i] for i in hits}) > 1:
            raise UserError(
                f"{place}: {self.column} is {text!r}, which fits several {what} up to {difference}: "
                f"{_listed([names[i] for i in hits])}; write it as one of them"
            )
        return hits[0] if hits else None

    def _auto(self, text: str, value: Any, options: tuple[str, ...], place: str) -> tuple[str, int | None]:
        """Return the reading, text or letter, and the index; no reading where both name the same option.

        A number is never read as a position: it may count from 0 or from 1, which only the config can say.
        """
        number, letter = integer(text), letter_index(text, len(options))
        if number is not None:
            clash = self._numbers_clash if self.labels is not None else _number_clash(text, options)
            if clash:
                self._refuse_number(text, options, place)
            return "text", self._text(text, options, place)
        if letter is None:
            return "text", self._text(text, options, place)
        named = self._text(text, options, place)
        has_letters = self._letters_clash if self.labels is not None else _names_letters(options)
        if has_letters and named not in (None, letter):
            raise UserError(
                f"{place}: {self.column} is {value!r}: read as text it is the choice {options[named or 0]!r}, "
                f"read as a letter {options[letter]!r}; set {KEY} to text or letter"
            )
        if named is None and not has_letters:
            return "letter", letter
        return ("text" if named is None else ""), named

    def _refuse_number(self, text: str, options: tuple[str, ...], place: str) -> NoReturn:
        readings = {name: self._read(text, name, options, place) for name in ("text", "zero-based", "one-based")}
        fits = [f"{name}: the choice {options[i]!r}" for name, i in readings.items() if i is not None]
        if not fits:
            self._refuse(text, options, place)
        raise UserError(
            f"{place}: {self.column} is {text!r}, and the choices are numbers too, so it may be the text of a "
            f"choice or its position ({', '.join(fits)}); set {KEY} to text, zero-based or one-based"
        )

    def _refuse(self, value: Any, options: tuple[str, ...], place: str) -> NoReturn:
        problem = f"{place}: {self.column} is {value!r}, which is none of the choices ({_listed(options)})"
        if self.target_format != "auto":
            raise UserError(f"{problem} read as {self.target_format}; see {KEY}")
        if self.class_names:
            raise UserError(
                f"{problem}; it is the data set's own name of the class, so name the choices so, or set {KEY} to "
                "zero-based, or to a mapping {CLASS: CHOICE, ...}"
            )
        text = cell_text(value)
        if not (text or "").strip() and not isinstance(value, list | dict):
            raise UserError(f"{place}: {self.column} names no choice, it is {value!r}; leave the row out")
        mapping = "a mapping {0: CHOICE, 1: CHOICE, ...}" if self.labels is not None else ""
        if isinstance(value, bool) or (text or "").casefold() in ("true", "false"):
            raise UserError(f"{problem}; set {KEY} to a mapping {{true: CHOICE, false: CHOICE}}")
        if text is not None and integer(text) is not None:
            ways = " or ".join(filter(None, (mapping, "zero-based or one-based")))
            raise UserError(f"{problem}; say what the numbers mean: set {KEY} to {ways}")
        raise UserError(f"{problem} read as text or letter; see {KEY}")


def accepted_answers(value: Any, column: str, place: str) -> tuple[str, ...]:
    """Return the accepted answers of a cell, without repeats: a text or a number, or a list of them.

    A number becomes the text that it is written as in JSON: ``3`` and ``3.0`` stay different, true is ``true``.

    Raises:
        UserError: there is no answer, or a value that is no text.
    """
    values = value if isinstance(value, list) else [value]
    if not values:
        raise UserError(f"{place}: {column} is an empty list, so no answer is right; leave the row out")
    texts = []
    for answer in values:
        text = cell_text(answer)
        if text is None:
            where = f"holds {kind_of(answer)} in its list" if isinstance(value, list) else f"is {kind_of(answer)}"
            fix = "write JSON as text" if isinstance(answer, dict) else conversion(answer)
            raise UserError(f"{place}: {column} {where}, expected a text, a number, or a list of them; {fix}")
        if not without_direction_marks(text).strip():
            raise UserError(f"{place}: {column} holds an empty answer; fix the row or leave it out")
        texts.append(text.strip())
    return tuple(dict.fromkeys(texts))


def conversion(value: Any) -> str:
    """Return what to do about a cell that is no text, for a message."""
    if value is None or isinstance(value, float):
        return "leave the row out"
    return "convert the column to text, such as with astype(str) in pandas"


def kind_of(value: Any) -> str:
    """Return what a cell is that is no text, for a message."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return {"dict": "a mapping", "list": "a list", "str": "a text"}.get(type(value).__name__, type(value).__name__)


def _names_letters(options: Sequence[str]) -> bool:
    """Return True if an option is itself the letter of some option."""
    return any(letter_index(option, len(options)) is not None for option in options)


def _number_clash(text: str, options: tuple[str, ...]) -> bool:
    """Return True if a cell is the text of one option and the position of another.

    Options that are their own positions from 0 (``0``, ``1``, ...) do not clash.
    """
    if integer(text) is None:
        return False
    hits, _ = text_matches(text, options)
    positions = (position_index(text, len(options), first) for first in (0, 1))
    position = next((index for index in positions if index is not None), None)
    return bool(hits) and position is not None and position not in hits


def _checked_mapping(mapping: Mapping[str, str], labels: tuple[str, ...] | None) -> dict[str, str]:
    if labels is None:
        raise UserError(
            f"config key {KEY}: a mapping needs choices that all examples share; use text, letter, zero-based or "
            "one-based"
        )
    for key, name in mapping.items():
        if name not in labels:
            raise UserError(f"config key {KEY}.{key}: {name!r} is none of task.choices{nearest(name, labels)}")
    return dict(mapping)


def _listed(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    if sum(map(len, distinct[:MOST_SHOWN])) > 200:
        return f"{len(distinct)} options"
    return ", ".join(distinct[:MOST_SHOWN]) + ", ..." * (len(distinct) > MOST_SHOWN)
