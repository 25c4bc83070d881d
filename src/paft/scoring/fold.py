"""One form for texts that differ only in how they are typed: Unicode form, quotes, dashes, markup, case."""

import re
import unicodedata

DIRECTION_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that say which way a text runs; editors and models put them around words of right-to-left scripts."""
INVISIBLE = f"\u00ad\u200b\u200c\u200d\u2060\ufeff{DIRECTION_MARKS}"

_TYPED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4", "'"),
        **dict.fromkeys(
            "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2033\u300c\u300d\u300e\u300f\u300a\u300b", '"'
        ),
        **dict.fromkeys("\u2010\u2011\u2012\u2212", "-"),
        **dict.fromkeys("\u3010\u3014\u2e28", "["),
        **dict.fromkeys("\u3011\u3015\u2e29", "]"),
        "\u060c": ",",
        "\u061b": ";",
        "\u061f": "?",
        "\u3001": ",",
        "\u3002": ".",
        "\u0964": ".",
        "\u06d4": ".",
        "\u00bf": " ",
        "\u00a1": " ",
        **dict.fromkeys(f"{INVISIBLE}\ufe0f\u20e3"),
        **{control: None for control in map(chr, [*range(9), 11, 12, *range(14, 32), 127])},
    }
)
_STRONG_MARKS = re.compile(
    r"(?<![A-Za-z0-9])(?:\*\*\*?|__)(?=[^\s*_])|(?<=[^\s*_])(?:\*\*\*?|__)(?![A-Za-z0-9])|`+"
)
_LINE_MARK = r"#{1,6}[ \t]+|\|[ \t]+|---+$|===+$|```\w*$"
_LINE_MARKS = re.compile(rf"^[ \t]{{0,8}}(?:{_LINE_MARK})", re.MULTILINE)
_LINE_MARKS_AND_QUOTES = re.compile(rf"^[ \t]{{0,8}}(?:{_LINE_MARK}|>[ \t]?)", re.MULTILINE)
_RANGE = re.compile("(?<=\\d)( ?)\u2013(?= ?\\d)")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|textrm)\s?\{([^{}]{0,200})\}")
_TAGS = re.compile(r"</?(?:b|i|u|em|strong|p|br|span|div|code|mark)\s?/?>", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?<=[^\W\d_])[-_](?=[^\W\d_])|(?<=[^\W_])_(?=[^\W_])")
MARK = r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]"
"""Vowel signs and other marks that letters bear, which ``\\w`` leaves out."""

_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")

_WRAPPERS = {
    "(": ")",
    "[": "]",
    "{": "}",
    "<": ">",
    '"': '"',
    "'": "'",
    "*": "*",
    "_": "_",
    "$": "$",
    "~": "~",
    "|": "|",
}
_CLOSING = ".!?;:,\"'*)]}>_|"
_BULLETS = "-*\u2022\u00b7\u2013"
_ARROW = re.compile(r"(?:[=-]+>|\u2192|=)(?! ?\d)")
_OPENING = "\"'*([{<_:"


_WITHOUT_MARKS = str.maketrans("", "", DIRECTION_MARKS)


def without_direction_marks(text: str) -> str:
    """Return a text without the marks that say which way it runs."""
    return text if text.isascii() else text.translate(_WITHOUT_MARKS)


def as_typed(text: str) -> str:
    """Return a text with a keyboard's quotes and hyphens for typographic ones, without invisible characters."""
    return text if text.isascii() else text.translate(_TYPED).replace("\u2013", "-")


def plain(text: str, *, quotes: bool = True) -> str:
    """Return the text in one Unicode form, without invisible characters, markup and runs of space; case stays.

    Args:
        quotes: whether > at the beginning of a line is markup.
    """
    if not text.isascii():
        text = _RANGE.sub(r"\1-", unicodedata.normalize("NFKC", text).translate(_TYPED))
    elif not text.isprintable():
        text = text.translate(_TYPED)
    if "\\" in text:
        text = _LATEX.sub(r"\1", text)
    if "#" in text or ">" in text or "|" in text or "---" in text or "```" in text or "===" in text:
        text = (_LINE_MARKS_AND_QUOTES if quotes else _LINE_MARKS).sub("", text)
    if "<" in text:
        text = _TAGS.sub("", text)
    if "*" in text or "_" in text or "`" in text:
        text = _STRONG_MARKS.sub("", text)
    return _LINES.sub("\n", _SPACES.sub(" ", text)).strip()


def lowered(text: str) -> str:
    """Return a plain text of the same length in lower case, with spaces for separators between letters."""
    low = text.lower()
    if len(low) != len(text):  # a few letters become two
        low = "".join(small if len(small := char.lower()) == 1 else char for char in text)
    return _SEPARATOR.sub(" ", low) if "-" in low or "_" in low else low


def same_form(text: str) -> str:
    """Return what two plain texts share that a person takes for the same words."""
    form = text.lower() if text.isascii() else as_typed(unicodedata.normalize("NFKC", text.casefold()))
    return _SEPARATOR.sub(" ", form) if "-" in form or "_" in form else form


def _is_decoration(char: str) -> bool:
    """Return True for a pictogram beside an answer; crosses are none, they deny it."""
    return (
        not char.isascii() and char not in "\u2717\u2718\u274c\u274e\u2716" and unicodedata.category(char) == "So"
    )


def peeled(text: str, *, arrows: bool = True, angles: bool = True) -> list[str]:
    """Return a short text without one, two, ... of the signs around it, the text itself first.

    Args:
        arrows, angles: whether an arrow before the text, and < and >, are such signs.
    """
    layers = [text]
    while len(layers) < 24 and len(text) > 1:
        first, last = text[0], text[-1]
        if not angles and (first in "<>" or last in "<>"):
            break
        if _WRAPPERS.get(first) == last and len(text) > 2:
            text = text[1:-1]
        elif last in _CLOSING or _is_decoration(last):
            text = text[:-1]
        elif (
            first in _OPENING
            or _is_decoration(first)
            or (first == "." and not text[1].isdigit())
            or (first in _BULLETS and text[1] == " " and not text[2:3].isdigit())
        ):
            text = text[1:]
        elif arrows and (mark := _ARROW.match(text)):
            text = text[mark.end() :]
        else:
            break
        text = text.strip()
        layers.append(text)
    return layers
