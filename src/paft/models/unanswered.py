"""Questions that have no answer although the server works for all others."""

from collections.abc import Mapping

from paft.errors import WorkError


class UnansweredError(WorkError):
    """Raised after every other question of a call has been answered.

    Attributes:
        reasons: why there is no answer, by the index of the question in the call.
        fix: how to go on.
    """

    def __init__(self, reasons: Mapping[int, str], fix: str):
        self.reasons, self.fix = dict(reasons), fix
        first = next(iter(self.reasons.values()))
        super().__init__(f"{len(self.reasons)} question(s) have no answer ({first}); {fix}")
