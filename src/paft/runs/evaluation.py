"""The evaluation of one method in a run: all planned cells, or more and more until the figures are known."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from paft.config.schema import EvaluationConfig, UntilFigure
from paft.models.model import Model
from paft.prompts.template import render
from paft.prompts.traits import traits_of
from paft.runs.data import RunData
from paft.scoring import PaidScorer
from paft.utils.console import Console
from paft.utils.distributed import Processes
from paft.utils.io import write_text

if TYPE_CHECKING:
    import numpy as np


@dataclass
class MethodEvaluation:
    """Fills ``predictions.parquet`` of a method, and ``judge.json`` where a language model judges the answers.

    Attributes:
        name: of the method in this run.
        folder: ``RUN/methods/NAME``.
        config: the section ``evaluation``.
        open_model: returns the run's model; loads it when it is first called.
    """

    name: str
    folder: Path
    data: RunData
    config: EvaluationConfig
    open_model: Callable[[], Model]
    processes: Processes
    console: Console
    _half_widths: dict[int, dict[str, float]] = field(default_factory=dict, init=False)
    """By the number of cells, for the console to report each only once."""

    def keep_judge_replies(self) -> None:
        """Make each paid scorer keep its replies in the method's folder; each process has a file of its own."""
        rank = self.processes.rank
        for scorer in self._paid_scorers:
            scorer.keep_in(self.folder / (f"judge-{rank}.jsonl" if rank else "judge.jsonl"))

    def work(self, adapter: Path | None) -> None:
        """Answer the cells that are missing, with an adapter or without one.

        Raises:
            WorkError: some questions have no answer, after all others have one.
        """
        is_finished = self._is_finished()
        if not is_finished:
            self._answer(adapter)
        if self._paid_scorers:
            self.processes.once(partial(self._record_judges, anew=not is_finished))

    def _is_finished(self) -> bool:
        from paft.evaluation.grid import unanswered_cells

        prompts, examples = self.data.prompts.test, self.data.test_examples
        return not any(
            any(unanswered_cells(self.folder, prompts, examples, planned).values()) for planned in self._rounds()
        )

    def _answer(self, adapter: Path | None) -> None:
        from paft.evaluation.grid import evaluate

        model, data = self.open_model(), self.data
        self.folder.mkdir(parents=True, exist_ok=True)
        with model.use_adapter(adapter):
            for planned in self._rounds():
                self._announce(model, planned)
                evaluate(
                    model,
                    data.task,
                    data.scorers,
                    data.prompts.test,
                    data.test_examples,
                    self.folder,
                    self.config.answer_settings,
                    planned=planned,
                    console=self.console,
                    processes=self.processes,
                )
        self._say(model.usage())

    def _announce(self, model: Model, planned: "np.ndarray") -> None:
        """Print what the missing cells of a round will cost."""
        from paft.evaluation.grid import unanswered_cells

        prompts, task = self.data.prompts.test, self.data.task
        missing = unanswered_cells(self.folder, prompts, self.data.test_examples, planned)
        cells = [(prompt, example) for prompt in prompts for example in missing[prompt.id]]
        if cells:
            conversations = (render(prompt, task, example) for prompt, example in cells)
            self._say(model.announce(conversations, self.config.answer_settings))
            for scorer in self._paid_scorers:
                self._say(scorer.announce(len(cells)))

    def _rounds(self) -> Iterator["np.ndarray"]:
        """Yield which cells are answered; with ``evaluation.until``, more each time until they suffice."""
        from paft.evaluation.plan import plan_cells, planned_cells, rounds

        prompts, examples = len(self.data.prompts.test), len(self.data.test_examples)
        most, until = planned_cells(self.config.cells, prompts, examples), self.config.until
        for count in [most] if until is None else rounds(prompts, examples, most):
            yield plan_cells(prompts, examples, count, self.data.seed)
            if until is not None and self._suffices(count, most, until):
                return

    def _suffices(self, count: int, most: int, until: Mapping[UntilFigure, float]) -> bool:
        """Return True if the figures are known well enough after the first ``count`` cells; print how well."""
        if count not in self._half_widths:
            self._half_widths[count] = self.processes.once(partial(self._measure, count, list(until)))
            self._report(count, most, until)
        return all(self._half_widths[count][name] <= width for name, width in until.items())

    def _report(self, count: int, most: int, until: Mapping[UntilFigure, float]) -> None:
        widths = self._half_widths[count]
        whole = len(self.data.prompts.test) * len(self.data.test_examples)
        known = " and ".join(
            f"the {name} of all {whole:,} cells is known within {widths[name]:.1f} points" for name in until
        )
        line = f"{self.name}: after {count:,} cells, {known}"
        missed = " and ".join(f"{name} {width:g}" for name, width in until.items() if widths[name] > width)
        if missed and count == most:
            line += f"; evaluation.until ({missed}) is not reached with evaluation.cells"
        self.console.say(line)

    def _measure(self, count: int, figures: Sequence[str]) -> dict[str, float]:
        """Return half of the intervals of the whole grid's figures, in points, after the first ``count`` cells."""
        from paft.evaluation.estimate import estimate_cells
        from paft.evaluation.plan import plan_cells
        from paft.evaluation.predictions import read_options, read_scores

        prompts, examples = self.data.prompts.test, self.data.test_examples
        file, task = self.folder / "predictions.parquet", self.data.task
        scores = read_scores(file, prompts, examples)
        planned = plan_cells(len(prompts), len(examples), count, self.data.seed)
        scores[~planned] = float("nan")  # the answer must not depend on what a larger plan has added
        if planned.all():
            return dict.fromkeys(figures, 0.0)
        traits = [
            traits_of(prompt, task.fields, task.labels, task.aliases, has_options=task.has_options)
            for prompt in prompts
        ]
        groups = None if task.labels is None else [example.target for example in examples]
        options = read_options(file, prompts, examples, task)
        intervals = estimate_cells(scores, traits=traits, groups=groups, options=options).intervals
        ends = {name: interval for name in figures if (interval := intervals[name]) is not None}
        return {name: 50 * (interval.high - interval.low) for name, interval in ends.items()}

    @property
    def _paid_scorers(self) -> list[PaidScorer]:
        """The scorers that ask a language model; none where no answer is written."""
        scorers = self.data.scorers if self.config.mode == "generate" else []
        return [scorer for scorer in scorers if isinstance(scorer, PaidScorer)]

    def _record_judges(self, *, anew: bool) -> None:
        """Write what the report says of a judge, and how far it agrees with itself, into ``judge.json``.

        Args:
            anew: also where the file is there.
        """
        if not anew and (self.folder / "judge.json").is_file():
            return
        for scorer in self._paid_scorers:
            self._say(scorer.summary())
            about = scorer.describe() | scorer.agreement()
            write_text(self.folder / "judge.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")

    def _say(self, line: str | None) -> None:
        if line:
            self.console.say(line)
