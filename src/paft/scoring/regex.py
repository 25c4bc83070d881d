"""A pattern whose group is the answer."""

from collections import deque
from typing import TYPE_CHECKING, Any

from paft.errors import UserError
from paft.scoring.exact import NOTHING_LEFT, normalisation
from paft.scoring.text_scorer import ParsedAnswer, TextScorer
from paft.utils.settings import choice

if TYPE_CHECKING:
    from paft.tasks.task import Task

TIMEOUT = 5.0
"""Seconds that a pattern may search in one output; some patterns take for ever on some texts."""


class RegexScorer(TextScorer):
    """Right if what a group of a pattern matches equals an accepted answer.

    Args:
        pattern: a regular expression with at least one group; the first group that takes part is the answer.
            ``(?i)`` at its beginning ignores case, ``(?s)`` lets the dot match line ends.
        match: the ``last`` match in the output counts, or the ``first``.
        normalise: how both are compared, as in :class:`~paft.scoring.exact.ExactScorer`.
    """

    name = "regex"
    wanted = "the answer in the form that the task asks for"

    def __init__(self, task: "Task", pattern: str, match: str = "last", normalise: str = "squad"):
        import regex

        super().__init__(task)
        try:
            self.pattern = regex.compile(pattern)
        except (regex.error, TypeError) as error:
            raise UserError(f"config key task.scorer.pattern: {pattern!r} is no pattern: {error}") from None
        if not self.pattern.groups:
            raise UserError(f"config key task.scorer.pattern: {pattern!r} has no group ( ) that holds the answer")
        self.match = choice("task.scorer.match", match, ("last", "first"))
        self._normalised = normalisation(normalise)

    def read(self, text: str) -> ParsedAnswer:
        """Return what the group of the last match, or the first, holds."""
        found: Any
        try:
            matches = self.pattern.finditer(text, timeout=TIMEOUT)
            found = next(matches, None) if self.match == "first" else next(iter(deque(matches, maxlen=1)), None)
        except TimeoutError:
            return ParsedAnswer(None, f"the pattern took more than {TIMEOUT:.0f} s on this output")
        if found is None:
            return ParsedAnswer(None, "the pattern does not match")
        groups = [group.strip() for group in found.groups() if group is not None]
        return (
            ParsedAnswer(groups[0]) if groups and groups[0] else ParsedAnswer(None, "the pattern's group is empty")
        )

    def compare(self, answer: str, target: str) -> float:
        """Return 1 where both are equal after normalisation, else 0."""
        return float(self._normalised(answer) == self._normalised(target))

    def comparison_key(self, text: str) -> str:
        """Return the normalised text."""
        return self._normalised(text)

    def check_target(self, target: str) -> str | None:
        """Refuse a target of which nothing is left."""
        return None if self._normalised(target) else NOTHING_LEFT
