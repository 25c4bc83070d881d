"""Questions that have no answer although the server works for all others."""

from collections.abc import Mapping, Sequence

from paft.errors import WorkError
from paft.types import Example, Prompt

NAMED = 10
"""The most examples that a line names."""


class UnansweredError(WorkError):
    """Raised after every other question of a call has been answered.

    Args:
        failed, refused: why there is no answer, by the index of the question in the call; what the provider's
            content filter refused is not asked again.
    """

    def __init__(self, failed: Mapping[int, str], refused: Mapping[int, str]):
        self.failed, self.refused = dict(failed), dict(refused)
        super().__init__(_line(len(failed), len(refused), next(iter([*failed.values(), *refused.values()]))))

    @property
    def questions(self) -> list[int]:
        """Return the indices of the questions without an answer."""
        return sorted({*self.failed, *self.refused})


class UnansweredGridError(WorkError):
    """Some questions of a grid of prompts and examples have no answer; the first one is named."""

    def __init__(self, unanswered: Sequence[tuple[Prompt, Sequence[Example], UnansweredError]]):
        failed: list[str] = []
        refused: list[str] = []
        for prompt, examples, error in unanswered:
            for lines, reasons in ((failed, error.failed), (refused, error.refused)):
                lines += [f"prompt {prompt.id}, example {examples[i].id}: {why}" for i, why in reasons.items()]
        super().__init__(_line(len(failed), len(refused), [*failed, *refused][0]))


def named(names: Sequence[str]) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _line(failed: int, refused: int, first: str) -> str:
    those = f"the {failed} that no filter refused" if refused else "them"
    again = f"run the same command again to ask once more for {those}, " if failed else ""
    return (
        f"{failed + refused} question(s) have no answer (first: {first}); {again}remove such rows from the data, "
        "or set model.on_unanswered=count to count them as not answered; all other answers are kept"
    )
