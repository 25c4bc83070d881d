"""The test that compares a gated model with an earlier run: the scores of that run, and which cells both have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from paft.errors import UserError, nearest, one_line
from paft.evaluation.predictions import SCORE_DIGITS
from paft.evaluation.sequential import MeanTest
from paft.prompts.files import read_prompts
from paft.runs.directory import RunDirectory
from paft.runs.fingerprint import differences, how_asked, read_fingerprint
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.io import read_jsonl
from paft.utils.safe_io import DATA, parquet_batches

MARGIN = 0.02
"""How much lower than the baseline's a mean may be, if nothing else is asked for."""
Content = str
"""The fields, options and accepted answers of an example: its id is only a row number."""


@dataclass(frozen=True)
class Baseline:
    """What is required: a mean that is not lower than that of a method of a run. The figure is their difference.

    Attributes:
        margin: how much lower than its mean a mean may be.
        scores: by the content of the prompt and by that of the example: ids are those of files, which may differ.
    """

    run: Path
    method: str
    margin: float
    scores: Mapping[tuple[str, Content], float]
    figure: ClassVar[str] = "difference"

    @property
    def threshold(self) -> float:
        """The lowest difference that passes."""
        return -self.margin

    @classmethod
    def read(cls, run: Path, method: str | None, margin: float) -> "Baseline":
        """Read the scores of a run.

        Args:
            method: may be left out where the run has one method.

        Raises:
            UserError: there is no such run or method, or it is not evaluated.
        """
        directory = RunDirectory(run)
        directory.read_config()  # says what is wrong with a folder that is no run
        names = directory.methods()
        if not names:
            raise UserError(f"{run}: no method is evaluated there; name a run of `paft run` or `paft evaluate`")
        if method is None and len(names) != 1:
            raise UserError(f"{run}: {len(names)} methods ({', '.join(names)}); name one with --method")
        name = names[0] if method is None else method
        if name not in names:
            raise UserError(f"{run}: no method {name!r}{nearest(name, names)}")
        file = directory.method(name) / "predictions.parquet"
        if not file.is_file():
            raise UserError(f"{run}: {name} is not evaluated yet; finish the run first")
        content = {
            str(row.get("id")): _content(row.get("fields"), row.get("options"), row.get("targets"))
            for _, row in read_jsonl(directory.examples, DATA)
        }
        texts = {prompt.id: prompt.content for prompt in read_prompts(directory.prompts("test"))}
        try:
            batches = list(parquet_batches(file, ["prompt_id", "example_id", "score"]))
            rows = [row for batch in batches for row in batch.to_pylist()]
            scores = {(texts[r["prompt_id"]], content[r["example_id"]]): float(r["score"]) for r in rows}
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise UserError(
                f"{file}: damaged, or of an old version ({one_line(error, 100)}); remove it and run the same "
                "command again"
            ) from None
        return cls(run, name, margin, scores)

    def select(
        self, prompts: Sequence[Prompt], examples: Sequence[Example], task: Task, folder: Path
    ) -> tuple[list[Prompt], list[Example], list[str]]:
        """Return the prompts and examples that the run has too, and one line for each kind that it lacks some of.

        Args:
            folder: of the method that is gated, with its fingerprint.

        Raises:
            UserError: there are none, or the run's answers were obtained or scored in another way.
        """
        self._check_how_asked(folder)
        known = {prompt for prompt, _ in self.scores}
        shared = [prompt for prompt in prompts if prompt.content in known]
        both = [e for e in examples if all((p.content, content_of(e, task)) in self.scores for p in shared)]
        if not shared or not both:
            lacking = "prompts" if not shared else "examples"
            raise UserError(
                f"--no-worse-than: {self.run} has no test {lacking} in common with this config; measure the "
                "baseline with the same prompts.test and task.test, and with all cells"
            )
        counts = (("prompts", len(shared), len(prompts)), ("examples", len(both), len(examples)))
        notes = [f"{n} of {of} test {what}: the others are not in {self.run}" for what, n, of in counts if n < of]
        return shared, both, notes

    def _check_how_asked(self, folder: Path) -> None:
        now, before = read_fingerprint(folder), read_fingerprint(self.run / "methods" / self.method)
        if now is None or before is None:
            return
        if lines := differences(how_asked(before["evaluation"]), how_asked(now["evaluation"])):
            raise UserError(
                f"--no-worse-than: {self.run} was measured in another way, so its scores say nothing about this "
                f"config. Different: {'; '.join(lines)}"
            )

    def test(self) -> MeanTest:
        """Return the test of the difference, written as a score: (1 + new - baseline) / 2."""
        return MeanTest((1 - self.margin) / 2)

    def value(self, score: float, prompt: Prompt, example: Example, task: Task) -> float:
        """Return the score of a cell's difference; a file keeps scores in single precision."""
        return (1 + round(score - self.scores[prompt.content, content_of(example, task)], SCORE_DIGITS)) / 2

    def reported(self, value: float) -> float:
        """Return the difference that a mean of :meth:`value` stands for."""
        return 2 * value - 1

    def __str__(self) -> str:
        return f"mean - mean of {self.run.name}/{self.method} >= {-self.margin:g}"


def content_of(example: Example, task: Task) -> Content:
    """Return the content of an example as in ``examples.jsonl``."""
    return _content(dict(example.fields), list(example.options), list(task.targets(example)))


def _content(fields: object, options: object, targets: object) -> Content:
    return json.dumps([fields, options, targets], sort_keys=True, ensure_ascii=False)
