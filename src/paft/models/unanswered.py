"""Questions that have no answer although the server works for all others."""

from collections.abc import Mapping, Sequence

from paft.errors import WorkError
from paft.types import Example, Prompt

NAMED = 10
"""The most examples that a line names."""


class UnansweredError(WorkError):
    """Raised after every other question of a call has been answered.

    Attributes:
        reasons: why there is no answer, by the index of the question in the call.
        passes: asking again may help: not every one was refused by the provider's content filter.
    """

    def __init__(self, reasons: Mapping[int, str], *, passes: bool):
        self.reasons, self.passes = dict(reasons), passes
        super().__init__(_line(len(self.reasons), next(iter(self.reasons.values())), passes))


class UnansweredGridError(WorkError):
    """Some questions of a grid of prompts and examples have no answer; the first one is named."""

    def __init__(self, unanswered: Sequence[tuple[Prompt, Sequence[Example], UnansweredError]]):
        prompt, examples, error = unanswered[0]
        index, reason = next(iter(error.reasons.items()))
        count = sum(len(error.reasons) for _, _, error in unanswered)
        first = f"prompt {prompt.id}, example {examples[index].id}: {reason}"
        super().__init__(_line(count, first, any(error.passes for _, _, error in unanswered)))


def named(names: Sequence[str]) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _line(count: int, first: str, passes: bool) -> str:
    again = "run the same command again to ask for them once more, " if passes else ""
    return (
        f"{count} question(s) have no answer (first: {first}); {again}remove such rows from the data, or set "
        "model.on_unanswered=count to count them as not answered; all other answers are kept"
    )
