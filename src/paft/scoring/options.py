"""The options of a question as they are found in a text."""

import re
from dataclasses import dataclass
from functools import lru_cache

from paft.scoring import words
from paft.scoring.fold import MARK, lowered, peeled, plain, same_form
from paft.types import LETTERS

_UNSPACED = "\u0e00-\u0eff\u2e80-\u9fff\uf900-\ufaff"
"""Scripts whose words are not set apart by spaces: Thai, Lao, Chinese, Japanese."""
_JOINED = rf"(?:[^\W_{_UNSPACED}]|{MARK})"
_BEFORE = re.compile(_JOINED)
_ATTACHED = re.compile(rf"(?:{words.SUFFIX})")
_SIGNS = 40
"""Characters that may stand around an option that is alone."""
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")
_RATING = re.compile(
    r"(?:\.0)? ?/ ?(\d+)(?![\d.,]*\d)|(?:\.0)? \(?(?:out of |of (?!\d+ [a-z]))(\d+)\)?|()\.0(?!\d)"
)
_WORD_AFTER = re.compile(
    rf" (?!(?:{words.REASON}|{words.COPULA}|{words.OR}|fits|works|makes|would|can|cannot|does|has)(?![^\W_]))"
    r"(?!it is(?![^\W_]))[a-z\u00df-\u00ff]"
)
"""What follows the English words A and I, and not the letters."""


@dataclass(slots=True)
class Mention:
    """A place where an option is named.

    Attributes:
        kind: ``letter`` (B), ``small`` (b) or ``text``.
    """

    index: int
    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class OptionTable:
    """The forms of a question's options.

    Attributes:
        letters: the letters to choose from; empty where the text of an option is the answer.
        exact: answers as they are written -> index; None where two options share one.
        forms: the same for what a person takes for the same words.
        texts: lower-case text, index, and how it must be written where case tells it from a word or from
            another option (else empty), longest first.
        longest: how many characters the longest option has.
        highest: the highest option, if all are numbers.
        has_comparisons: whether < and > are a part of options: ``>10``.
    """

    letters: str
    exact: dict[str, int | None]
    forms: dict[str, int | None]
    texts: tuple[tuple[str, int, str], ...]
    longest: int
    highest: float | None
    has_comparisons: bool

    def plain(self, text: str) -> str:
        """Return a plain text, in which < and > are no markup where they are a part of options."""
        return _compared(text) if self.has_comparisons else plain(text)

    def alone(self, text: str) -> int | None:
        """Return the option that a text consists of, up to the signs around it and how it is typed."""
        stripped = text.strip()
        for written in (text, stripped):
            if (index := self.exact.get(written)) is not None:
                return index
        if len(stripped) > self.longest + _SIGNS:
            return None
        shown, signs = self.plain(stripped), {"arrows": not self.letters, "angles": not self.has_comparisons}
        for layer in peeled(shown, **signs):
            if len(layer) <= 2 * self.longest + 20 and (index := self._form(layer)) is not None:
                return index
        if shown != stripped:
            for layer in peeled(stripped, **signs):  # signs that belong to the option: `ls -l`
                if (index := self.exact.get(layer)) is not None:
                    return index
        return None

    def _form(self, text: str) -> int | None:
        if self.letters and len(text) > 1 and (naming := _NAMED_LETTER.match(text)):
            text = text[naming.end() :].strip("([{\"'")
        if self.letters and len(text) == 1 and text.upper() in self.letters:
            return self.letters.index(text.upper())
        if self.highest is not None:
            text = _ZEROS.sub("", text)
        form = same_form(text)
        if form not in self.forms and not self.letters and (naming := _NAMING.match(form)):
            form = form[naming.end() :]
        return self.forms.get(form) if form in self.forms else self.forms.get(form.replace(" ", ""))

    def mentions(self, text: str, low: str) -> list[Mention]:
        """Return where options are named in a plain text, in order, without overlaps; the longest one wins.

        Args:
            low: the text in lower case, of the same length.
        """
        found: list[Mention] = []
        taken = bytearray(len(low))
        for option, index, written in self.texts:
            start = low.find(option)
            while start >= 0:
                end = start + len(option)
                if not any(taken[start:end]) and (not written or text[start:end] == written):
                    end = self._end(low, start, end)
                    if end:
                        found.append(Mention(index, start, end, "text"))
                        taken[start:end] = b"\1" * (end - start)
                start = low.find(option, start + 1)
        for match in _letter_pattern(len(self.letters)).finditer(text) if self.letters else ():
            start, end = match.span()
            if any(taken[start:end]):
                continue
            letter = match[0]
            if letter in "AI" and _WORD_AFTER.match(text, end):
                continue
            if letter.islower() and not _SMALL_AFTER.match(text, end):
                continue
            kind = "small" if letter.islower() else "letter"
            found.append(Mention(self.letters.index(letter.upper()), start, end, kind))
        return sorted(found, key=lambda mention: mention.start)

    def _end(self, low: str, start: int, end: int) -> int:
        """Return where a mention ends; 0 if the text is a part of a longer word or number."""
        first, last = low[start], low[end - 1]
        before, after = low[max(0, start - 2) : start], low[end : end + 2]
        if first.isalnum() and before and (_BEFORE.match(before[-1]) or before[-1] in "_+#@"):
            return 0
        if first.isdigit() and (re.search(r"\d[.,/:]$|(?<![^\W_])-$|[$\u20ac\u00a3.]$", before)):
            return 0
        if first.isdigit() and self.has_comparisons and _COMPARED.search(before):
            return 0
        if not last.isalnum() and not _BEFORE.match(last):
            return end
        if after and last.isdigit():
            if self.highest is not None and (rating := _RATING.match(low, end)):
                scale = float(rating[1] or rating[2] or self.highest)
                return rating.end() if scale == self.highest and self.highest > 2 else 0
            if re.match(r"[.,/:-]\d|%| %|\u2044", after):
                return 0
        if after and (_BEFORE.match(after) or after[0] in "_+#@") and not _ATTACHED.match(low, end):
            return 0
        if after[:1] == "'" and after[1:].isalpha() and not _ATTACHED.match(low, end):
            return 0
        if after[:1] == "-" and (end - start < 3 or after[1:].isalnum()):
            return 0
        return end


def _compared(text: str) -> str:
    return _COMPARISON.sub(r"\1", plain(text, quotes=False))


_COMPARISON = re.compile(r"([<>]=?) (?=[\d.$-])")
_COMPARED = re.compile(r"[<>]=? ?$")
_ZEROS = re.compile(r"(?<=\d)\.0{1,2}$")
_NAMING = re.compile(rf"(?:{words.NAMING}) ")
_NAMED_LETTER = re.compile(
    rf"(?:{words.NAMING}|{words.NAMING_UNSPACED}|{words.LETTER})[ .:]{{0,2}}(?=\W?\w\W{{0,2}}$)",
    re.IGNORECASE,
)
_SMALL_AFTER = re.compile(r"[\"'*\]}]{0,2}(?:$|\n|[).](?!\w)|[,;:!?\]])")


@lru_cache(maxsize=32)
def _letter_pattern(count: int) -> re.Pattern[str]:
    letters = LETTERS[:count]
    part = r"A-Za-z0-9_\u00c0-\u024f\u0370-\u06ff\u0900-\u0dff"
    return re.compile(
        rf"(?<![{part}])(?<![{part}][-.])[{letters}{letters.lower()}](?![{part}+#]|'(?!(?:{words.SUFFIX_APOSTROPHE}))[a-z]|[-.][{part}])"
    )


@lru_cache(maxsize=8192)
def option_table(options: tuple[str, ...], by_letter: bool) -> OptionTable:
    """Return the table of a question's options; texts that two options share stand for neither."""
    has_comparisons = any(option.lstrip().startswith(("<", ">")) for option in options)
    plains = list(map(_compared if has_comparisons else plain, options))
    exact: dict[str, int | None] = {}
    forms: dict[str, int | None] = {}
    for index, option in enumerate(options):
        form = same_form(plains[index])
        for table, key in (
            (exact, option),
            (exact, option.strip()),
            (forms, form),
            (forms, form.replace(" ", "")),
        ):
            if key and table.setdefault(key, index) != index:
                table[key] = None
    letters = LETTERS[: len(options)] if by_letter else ""
    exact |= {letter: index for index, letter in enumerate(letters)}
    lows = [lowered(form) for form in plains]
    texts: dict[str, tuple[str, int, str]] = {}
    for index, (form, low) in enumerate(zip(plains, lows, strict=True)):
        is_letter = len(form) == 1 and form.isascii() and form.isalpha() and not by_letter
        if low and plains.count(form) == 1:
            texts[form] = (low, index, form if is_letter or lows.count(low) > 1 else "")
    numeric = bool(options) and all(_NUMBER.fullmatch(form) for form in plains)
    return OptionTable(
        letters=letters,
        exact=exact,
        forms=forms,
        texts=tuple(sorted(texts.values(), key=lambda entry: -len(entry[0]))),
        longest=max(map(len, options), default=0),
        highest=max(float(form.replace(",", ".")) for form in plains) if numeric else None,
        has_comparisons=has_comparisons,
    )
