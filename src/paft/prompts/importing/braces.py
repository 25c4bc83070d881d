"""Templates of other tools, rewritten with paft's slots and literal braces."""

import keyword
import re
from collections.abc import Callable

from paft.prompts.importing.entry import Entry, UnreadableError

_STATEMENT = re.compile(r"\{[%#].{0,60}", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CONSTANTS = {"true", "false", "none", "null"}


def from_jinja(text: str, slot: Callable[[str], str | None] | None = None) -> str:
    """Return a template for a Jinja or Nunjucks template that only inserts variables.

    Args:
        slot: returns what stands for the expression between ``{{`` and ``}}``, None for one that computes. By
            default only the name of a variable is accepted.

    Raises:
        UnreadableError: it has a statement, a comment or an expression.
    """
    if statement := _STATEMENT.search(text):
        raise UnreadableError(f"it uses a template statement: {_short(statement[0])}")
    parts: list[str] = []
    position, trims = 0, False
    while (start := text.find("{{", position)) >= 0:
        end = text.find("}}", start)
        if end < 0:
            raise UnreadableError(f"its braces are not closed: {_short(text[start:])}")
        inner = text[start + 2 : end]
        before = text[position:start].lstrip() if trims else text[position:start]
        parts.append(escaped(before.rstrip() if inner.startswith("-") else before))
        expression = inner.removeprefix("-").removesuffix("-").strip()
        replacement = (slot or _variable)(expression)
        if replacement is None:
            raise UnreadableError(f"it uses a template expression: {{{{ {_short(expression)} }}}}")
        parts.append(replacement)
        position, trims = end + 2, inner.endswith("-")
    return "".join([*parts, escaped(text[position:].lstrip() if trims else text[position:])])


def from_placeholders(text: str) -> str:
    """Return a template for a text whose slots are ``{name}`` and whose other braces are literal ones."""
    parts: list[str] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        if match[1].isidentifier():
            parts += [escaped(text[position : match.start()]), match[0]]
            position = match.end()
    return "".join([*parts, escaped(text[position:])])


def escaped(text: str) -> str:
    """Return a text whose braces are literal ones."""
    return text.replace("{", "{{").replace("}", "}}")


def jinja_entry(place: str, text: str, system: str = "") -> Entry:
    """Return the entry of a Jinja or Nunjucks template."""
    try:
        return Entry(place, from_jinja(text), from_jinja(system), is_template=True)
    except UnreadableError as reason:
        return Entry(place, problem=str(reason))


def _variable(expression: str) -> str | None:
    is_name = expression.isidentifier() and not keyword.iskeyword(expression) and expression not in _CONSTANTS
    return f"{{{expression}}}" if is_name else None


def _short(text: str) -> str:
    return " ".join(text[:60].split())
