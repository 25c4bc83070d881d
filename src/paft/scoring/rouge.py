"""ROUGE, by the package rouge-score."""

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from paft.scoring.text_scorer import MARKUP, ParsedAnswer, TextScorer, require
from paft.utils.settings import choice

if TYPE_CHECKING:
    from paft.tasks.task import Task

LONGEST = 50_000
"""Characters of an output that are compared; ROUGE-L takes time in proportion to both lengths."""


class RougeScorer(TextScorer):
    """The F-measure of ROUGE.

    Args:
        kind: ``rouge1``, ``rouge2``, ``rougeL``, or ``rougeLsum`` (over lines).
        stem: compare Porter's stems of the words.

    Source: Lin, 2004; the package rouge-score.
    """

    is_binary = False
    forbidden_requests: ClassVar = MARKUP

    def __init__(self, task: "Task", kind: str = "rougeL", stem: bool = False):
        super().__init__(task)
        self.name = choice("task.scorer.kind", kind, ("rouge1", "rouge2", "rougeL", "rougeLsum"))
        self.stem = stem
        require("rouge_score", "rouge")

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer as Implementation

        return Implementation([self.name], use_stemmer=self.stem)

    def read(self, text: str) -> ParsedAnswer:
        """Return the text, cut where it is too long to compare."""
        return first(text, LONGEST)

    def compare(self, answer: str, target: str) -> float:
        """Return the F-measure, from 0 to 1."""
        return float(self._scorer.score(target, answer)[self.name].fmeasure)

    def check_target(self, target: str) -> str | None:
        """Refuse a target in which ROUGE sees no word."""
        words = re.findall("[a-z0-9]+", target.lower())
        if not words:
            return "holds no word of the letters a to z, the only ones that ROUGE sees; use chrf or f1"
        return "is a single word, which has no pair of words for rouge2" if self._lacks_pairs(words) else None

    def _lacks_pairs(self, words: list[str]) -> bool:
        return self.name == "rouge2" and len(words) == 1


def first(text: str, longest: int) -> ParsedAnswer:
    """Return the beginning of a text as the answer, with a note where something was cut."""
    cut = text[:longest]
    return ParsedAnswer(
        cut or None, f"only the first {longest:,} characters were compared" if len(text) > longest else ""
    )
