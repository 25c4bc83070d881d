"""chrF, by the package sacrebleu."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from paft.errors import UserError
from paft.scoring.rouge import first
from paft.scoring.text_scorer import MARKUP, ParsedAnswer, TextScorer, require

if TYPE_CHECKING:
    from paft.tasks.task import Task

LONGEST = 200_000
"""Characters of an output that are compared."""


class ChrfScorer(TextScorer):
    """The F-score over n-grams of characters, for any script.

    Args:
        word_order: 0 is chrF, 2 is chrF++.

    Source: Popović, 2015 and 2017; the package sacrebleu.
    """

    is_binary = False
    forbidden_requests: ClassVar = MARKUP

    def __init__(self, task: "Task", word_order: int = 0):
        super().__init__(task)
        if word_order not in (0, 2):
            raise UserError(
                f"config key task.scorer.word_order takes 0 (chrF) or 2 (chrF++); found {word_order!r}"
            )
        self.word_order = word_order
        self.name = "chrf++" if word_order else "chrf"
        require("sacrebleu", "chrf")

    @cached_property
    def _scorer(self) -> Any:
        from sacrebleu.metrics import CHRF

        return CHRF(word_order=self.word_order)

    def read(self, text: str) -> ParsedAnswer:
        """Return the text, cut where it is too long to compare."""
        return first(text, LONGEST)

    def compare(self, answer: str, target: str) -> float:
        """Return chrF as a fraction of 1."""
        return float(min(self._scorer.sentence_score(answer, [target]).score / 100, 1.0))
