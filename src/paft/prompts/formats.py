"""A grammar of formats (after FormatSpread, arXiv 2310.11324) that any prompt can be written in.

A format changes how a prompt looks and not what it says. What is inside braces is never edited, except that
``{choices}`` is written out as single options where every example has equally many.
"""

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from paft.prompts.words import brace_depths, in_case
from paft.tasks.task import Task
from paft.types import LETTERS, Prompt

CASES: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "title": str.title}
SEPARATORS = (" : ", ":: ", ":\n", " - ", " = ")
"""What stands between a descriptor and what it describes, for ``: ``."""
SPACINGS = ("\n\n", " ", " || ", " -- ")
"""What stands between two lines."""
BETWEEN_OPTIONS = ("\n", ", ", "; ", " | ")
ENUMERATORS = ("{})", "({})", "[{}]", "{}:", "{}.")
"""How the letter of an option is written."""

_GAP = re.compile(r"(\{[A-Z]\})(?:\s*[,;|/]\s*|\s*\n\s*)(?=(?:[(\[]?[A-Z][).\]:]+\s*|[-*] )?\{[A-Z]\})")
_LETTER = re.compile(r"(?<![\w{])[(\[]?([A-Z])[).\]:]+[ \t]*(?=\{\1\})")


@dataclass(frozen=True)
class Format:
    """One value for each part of the grammar; None leaves that part as it is written.

    Attributes:
        case: of all words, a key of :data:`CASES`.
        separator, spacing, between_options, enumerator: one of the texts above.
    """

    case: str | None = None
    separator: str | None = None
    spacing: str | None = None
    between_options: str | None = None
    enumerator: str | None = None

    def apply(self, prompt: Prompt, task: Task) -> Prompt:
        """Return the prompt in this format, with an id of its own."""
        if self.between_options or self.enumerator:
            prompt = _with_single_options(prompt, task)
        if self.case:
            prompt = in_case(prompt, CASES[self.case])
        system = None if prompt.system is None else self._spaced(prompt.system)
        return replace(prompt, text=self._spaced(prompt.text), system=system, id="")

    def describe(self) -> str:
        """Return the parts that are set, ``as written`` where none is."""
        parts = {name.replace("_", " "): value for name, value in asdict(self).items() if value is not None}
        return ", ".join(f"{name} {value!r}" for name, value in parts.items()) or "as written"

    def _spaced(self, text: str) -> str:
        if self.enumerator:
            text = _LETTER.sub(lambda match: f"{(self.enumerator or '').format(match[1])} ", text)
        if self.between_options:
            text = _GAP.sub("\\1\0", text)
        if self.separator:
            text = _outside_braces(r"(?<=\w):(?:[ \t]+|(?=\n)|$)", self.separator, text)
        if self.spacing:
            text = _outside_braces(r"[ \t]*\n\s*", self.spacing, text)
        return text.replace("\0", self.between_options or "")


def draw_formats(count: int, seed: int) -> list[Format]:
    """Return ``count`` different formats, drawn with the seed; the first leaves a prompt as it is written."""
    parts = (CASES, SEPARATORS, SPACINGS, BETWEEN_OPTIONS, ENUMERATORS)
    everything = [Format(*values) for values in itertools.product(*((None, *part) for part in parts))]
    return [Format(), *random.Random(f"formats:{seed}").sample(everything[1:], count - 1)]


def _with_single_options(prompt: Prompt, task: Task) -> Prompt:
    """Return the prompt with ``{choices}`` as the single options that it stands for."""
    if not task.letters:
        return prompt
    options = task.format_options(tuple(f"{{{letter}}}" for letter in LETTERS[: task.letters]))

    def written_out(text: str) -> str:
        return text.replace("{choices}", options) if "{{" not in text else text

    return replace(
        prompt, text=written_out(prompt.text), system=None if prompt.system is None else written_out(prompt.system)
    )


def _outside_braces(pattern: str, value: str, text: str) -> str:
    """Replace a pattern that is in no braces; at the end of the text the value loses its outer space."""
    depths = brace_depths(text)

    def replaced(match: re.Match[str]) -> str:
        if depths[match.start()]:
            return match[0]
        return value.rstrip() if match.end() == len(text) else value

    return re.sub(pattern, replaced, text)
