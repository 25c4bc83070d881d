"""One log: the scores of one prompt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paft.errors import UserError, nearest


@dataclass(frozen=True)
class Log:
    """The scores of one prompt.

    Attributes:
        scores: by the name of the score, that of each question by its key.
        model, task: what the log says; may be empty.
    """

    file: Path
    scores: Mapping[str, Mapping[str, float]]
    model: str
    task: str

    def scores_of(self, name: str | None) -> tuple[str, Mapping[str, float]]:
        """Return a score's name and its values.

        Args:
            name: may be left out where there is one.

        Raises:
            UserError: there is no such score, or several and none is named; or a value is not from 0 to 1.
        """
        if name is None and len(self.scores) != 1:
            raise UserError(f"{self.file}: several scores ({', '.join(self.scores)}); name one with --score")
        if name is not None and name not in self.scores:
            raise UserError(f"{self.file}: no score {name!r}{nearest(name, self.scores)}")
        name = next(iter(self.scores)) if name is None else name
        for key, value in self.scores[name].items():
            if not 0 <= value <= 1:
                raise UserError(
                    f"{self.file}: the {name} of question {key} is {value:g}; a gate needs scores from 0 to 1"
                )
        return name, self.scores[name]
