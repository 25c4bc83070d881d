"""``paft gate``: a sequential test of a model, which asks cells of the grid until the result is clear."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from paft.config.schema import Config
from paft.errors import UserError, nearest
from paft.evaluation.grid import answer_cells
from paft.evaluation.predictions import right_options
from paft.evaluation.sequential import LEAST_ROUNDS, TESTS, Asked, Decision, Verdict, balanced_order
from paft.models.model import Model
from paft.models.open import device_setting
from paft.prompts.template import render
from paft.runs.baseline import Baseline
from paft.runs.cell import Cell
from paft.runs.run import Run, without_training
from paft.scoring import PaidScorer
from paft.tasks.load import subset
from paft.types import Example, Prompt
from paft.utils.console import Console, Tick
from paft.utils.distributed import Processes
from paft.utils.io import append_jsonl, read_log, write_text

if TYPE_CHECKING:  # imports scipy
    from paft.evaluation.option_effects import OptionScores

QUESTIONS = 400
"""The most questions, if nothing else is asked for."""
FILE = "gate.json"
"""The result, in the output folder."""
CELLS, PLAN = "cells.jsonl", "plan.json"
"""In the folder of the method: the answers, and for how many questions the looks at a figure are planned."""

OnUndecided = Literal["pass", "fail"]
Known = dict[tuple[str, str], dict[str, Any]]
"""Rows by prompt id and example id."""


@dataclass(frozen=True)
class Goal:
    """What is required: a figure of at least a threshold."""

    figure: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Return the goal that ``--at-least`` names, such as ``quantile_05>=0.80``.

        Raises:
            UserError: it is not of that form, or the figure cannot be tested.
        """
        match = re.fullmatch(r"\s*([A-Za-z]\w*)\s*>=\s*(\d*\.?\d+)\s*", text)
        if match is None or float(match[2]) > 1:
            raise UserError(
                f"--at-least: expected a figure and a threshold from 0 to 1, such as 'quantile_05>=0.80'; "
                f"found {text!r}"
            )
        if match[1] not in TESTS:
            raise UserError(
                f"--at-least: the figure {match[1]!r} cannot be tested from some of the cells"
                f"{nearest(match[1], TESTS)} (figures of the task's first scorer: {', '.join(TESTS)})"
            )
        return cls(match[1], float(match[2]))

    def check(self, prompts: int, examples: int) -> None:
        """Refuse a figure over prompts where there is only one, or whose noise a single example cannot tell.

        Raises:
            UserError: there is one prompt, or one example for the 5 % quantile.
        """
        if examples < 2 and self.figure == "quantile_05":
            raise UserError(
                "--at-least: quantile_05 requires several examples, and there is one; use mean or worst"
            )
        if prompts < 2 and self.figure != "mean":
            raise UserError(
                f"--at-least: {self.figure} is a figure over several prompts, and there is one; add prompts or "
                "use mean"
            )

    def __str__(self) -> str:
        return f"{self.figure} >= {self.threshold:g}"


@dataclass(frozen=True)
class GateResult:
    """The outcome of a gate.

    Attributes:
        goal: in words.
        decision: with the figure, or the difference from the baseline, as its estimate.
        threshold: that the estimate is compared with.
        asked, most, whole: the cells that were used, the most that would have been, and those of the grid.
        prompts, examples: of the grid.
        per_prompt: name, text and mean score of each prompt, over the cells that were used.
        notes: what a reader has to know, such as prompts that were left out.
    """

    goal: str
    figure: str
    threshold: float
    decision: Decision
    undecided: OnUndecided
    subject: str
    asked: int
    most: int
    whole: int
    prompts: int
    examples: int
    per_prompt: Sequence[tuple[str, str, float]] = ()
    notes: Sequence[str] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """What the test says."""
        return self.decision.verdict

    @property
    def exit_code(self) -> int:
        """0 passed, 1 fell short; of an undecided end what was asked for."""
        if self.verdict == "undecided":
            return int(self.undecided == "fail")
        return int(self.verdict == "fell short")


def gate(
    config: Config,
    output: Path,
    goal: Goal | Baseline,
    console: Console,
    *,
    questions: int = QUESTIONS,
    undecided: OnUndecided = "pass",
    begin: Callable[[Path], None] = lambda output: None,
) -> GateResult:
    """Ask cells of the grid in a balanced random order until the test has an answer.

    Every answer is kept in ``output/methods/base/cells.jsonl``: a second call asks only for the rest, and one that
    is finished asks nothing and returns the same.

    Args:
        goal: what is required, or the run that the model must not be worse than.
        questions: the most cells to ask.
        begin: called with the folder before the first cell is asked.

    Raises:
        UserError: the config or the goal is wrong, or the folder has answers of another config.
        WorkError: a question has no answer; those that arrived are kept.
    """
    processes = Processes.joined(device_setting(config.model))
    if processes.size > 1:
        raise UserError("paft gate works in one process; start it without torchrun or accelerate launch")
    work = Run(without_training(config), output, console, processes)
    with work.directory.locked():
        [cell] = work.prepare()
        prepared = _Gate(work, cell, goal, questions, undecided)
        begin(output)
        return prepared.decide()


class _Gate:
    """A gate whose run directory is prepared."""

    def __init__(self, work: Run, cell: Cell, goal: Goal | Baseline, questions: int, undecided: OnUndecided):
        self.work, self.cell, self.goal, self.undecided = work, cell, goal, undecided
        self.prompts, self.examples = cell.data.prompts.test, cell.data.test_examples
        self.notes: list[str] = []
        if isinstance(goal, Baseline):
            goal.check_how_asked(cell.folder)
            self.prompts, self.examples, notes = goal.common(self.prompts, self.examples, cell.data.task)
            self.notes += notes
        else:
            goal.check(len(self.prompts), len(self.examples))
        evaluation = work.config.evaluation
        if evaluation.cells != 1 or evaluation.until is not None:
            self.notes.append(
                "evaluation.cells and evaluation.until do not limit a gate, which stops by itself; --questions "
                "does"
            )
        most = questions // LEAST_ROUNDS
        if len(self.prompts) > most and len(self.examples) > questions // len(self.prompts):
            self.notes.append(
                f"{most} of {len(self.prompts)} prompts, drawn with the seed: {questions} questions are too few "
                "for all of them (--questions)"
            )
            self.prompts = subset(self.prompts, most, cell.data.seed)
        self.rounds = min(len(self.examples), questions // len(self.prompts))
        self.most = self.rounds * len(self.prompts)
        self._check_plan()
        for note in self.notes:
            work.console.say(note)

    def _check_plan(self) -> None:
        """Refuse to look again at other times than were planned, which would add chances of an error.

        A plan under which nothing was answered binds nobody.
        """
        if not self._has_planned_looks or not self._known():
            return
        before = self._plan()
        if before not in (None, self.most):
            raise UserError(
                f"{self.work.directory.path}: the looks at quantile_05 were planned for {before} questions, now "
                f"for {self.most}; use the same --questions, or choose another --output"
            )

    @property
    def _has_planned_looks(self) -> bool:
        return not isinstance(self.goal, Baseline) and self.goal.figure == "quantile_05"

    def _plan(self) -> int | None:
        """Return for how many questions the looks were planned; None where there is no plan.

        Raises:
            UserError: the file is damaged.
        """
        file = self.cell.folder / PLAN
        if not file.is_file():
            return None
        try:
            return int(json.loads(file.read_text(encoding="utf-8"))["quantile_05"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{file}: damaged; remove {self.cell.folder} to ask anew, or choose another --output"
            ) from None

    def _write_plan(self) -> None:
        if self._has_planned_looks:
            write_text(self.cell.folder / PLAN, json.dumps({"quantile_05": self.most}) + "\n")

    def decide(self) -> GateResult:
        """Ask until the test has an answer."""
        self._write_plan()
        prompts, examples, rounds = self.prompts, self.examples, self.rounds
        test = (
            self.goal.test() if isinstance(self.goal, Baseline) else TESTS[self.goal.figure](self.goal.threshold)
        )
        order = balanced_order(len(prompts), len(examples), self.cell.data.seed)
        chosen = np.array(list(islice(order, rounds)))
        cells = [[(p, examples[i]) for p, i in zip(prompts, row, strict=True)] for row in chosen]
        scores, options = np.zeros((rounds, len(prompts))), self._unknown_options()
        known, done = self._known(), 0
        with ExitStack() as stack:
            answering = _Answering(self, [cell for row in cells for cell in row], known, stack)
            tick = stack.enter_context(self.work.console.progress("asking", self.most))
            for count in test.looks(len(prompts), rounds):
                answering.answer([cell for row in cells[done:count] for cell in row], tick)
                for number in range(done, count):
                    rows = [known[p.id, e.id] for p, e in cells[number]]
                    scores[number] = [
                        self._value(row, *cell) for row, cell in zip(rows, cells[number], strict=True)
                    ]
                    if options is not None:
                        options.likelihoods[range(len(prompts)), chosen[number]] = [row["scores"] for row in rows]
                done = count
                asked = Asked(scores[:done], chosen[:done], len(examples), options)
                decision = test.decide(asked, rounds)
                if decision.verdict != "undecided":
                    break
            answering.finish()
        return self._result(decision, scores[:done], chosen[:done])

    def _known(self) -> Known:
        return {(row["prompt_id"], row["example_id"]): row for row in read_log(self.cell.folder / CELLS)}

    def _unknown_options(self) -> "OptionScores | None":
        """Return the options of a grid of which no cell is asked; None where options are not scored."""
        if self.cell.evaluation.mode != "likelihood":
            return None
        right = right_options(self.cell.data.task, self.examples)
        if right is None:
            return None
        from paft.evaluation.option_effects import OptionScores

        return OptionScores(np.full((len(self.prompts), *right.shape), np.nan), right)

    def _value(self, row: Mapping[str, Any], prompt: Prompt, example: Example) -> float:
        score = float(row["score"])
        return (
            self.goal.value(score, prompt, example, self.cell.data.task)
            if isinstance(self.goal, Baseline)
            else score
        )

    def _result(self, decision: Decision, scores: np.ndarray, chosen: np.ndarray) -> GateResult:
        goal, config = self.goal, self.work.config
        figure, threshold = "difference", 0.0
        means = scores.mean(axis=0)
        if isinstance(goal, Baseline):
            decision, threshold, means = goal.as_difference(decision), -goal.margin, 2 * means - 1
        else:
            figure, threshold = goal.figure, goal.threshold
        return GateResult(
            str(goal),
            figure,
            threshold,
            decision,
            self.undecided,
            f"{config.model.path} on {config.task.name}",
            asked=scores.size,
            most=self.most,
            whole=len(self.prompts) * len(self.examples),
            prompts=len(self.prompts),
            examples=len(self.examples),
            per_prompt=[(p.id, p.text, float(mean)) for p, mean in zip(self.prompts, means, strict=True)],
            notes=self.notes,
        )


class _Answering:
    """Asks the model, which is opened at the first question that has no answer yet."""

    def __init__(self, gate: _Gate, cells: Sequence[tuple[Prompt, Example]], known: Known, stack: ExitStack):
        self.gate, self.cells, self.known, self.stack = gate, cells, known, stack
        self.model: Model | None = None

    def answer(self, cells: Sequence[tuple[Prompt, Example]], tick: Tick) -> None:
        """Have a row in ``known`` for each cell; each new one is written as soon as it is there."""
        missing = [(p, e) for p, e in cells if (p.id, e.id) not in self.known]
        tick(len(cells) - len(missing), earlier=True)
        if not missing:
            return
        if self.model is None:
            self.model = self._open()
        cell = self.gate.cell
        data, settings = cell.data, cell.evaluation.answer_settings
        for row in answer_cells(self.model, data.task, data.scorers, missing, settings):
            append_jsonl(cell.folder / CELLS, row)
            self.known[row["prompt_id"], row["example_id"]] = row
            tick(1)

    def _open(self) -> Model:
        """Return the model, opened; say what may cost money."""
        work, cell = self.gate.work, self.gate.cell
        settings = cell.evaluation.answer_settings
        model = work.model()
        questions = [(p, e) for p, e in self.cells if (p.id, e.id) not in self.known]
        conversations = (render(prompt, cell.data.task, example) for prompt, example in questions)
        if line := model.announce(conversations, settings):
            work.console.say(f"{line}; fewer if the answer is clear earlier")
        for scorer in cell.data.scorers if settings.mode == "generate" else ():
            if isinstance(scorer, PaidScorer):
                scorer.keep_in(self.gate.cell.folder / "judge.jsonl")
                work.console.say(scorer.announce(len(questions)))
        self.stack.enter_context(model.use_adapter(None))
        return model

    def finish(self) -> None:
        """Say what the answers have cost."""
        if self.model is not None and (line := self.model.usage()):
            self.gate.work.console.say(line)
