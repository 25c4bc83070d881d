"""``paft gate``: a sequential test of a model, which asks cells of the grid until the result is clear."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from paft.config.schema import Config
from paft.errors import UserError
from paft.evaluation.failures import in_words
from paft.evaluation.grid import answer_cells
from paft.evaluation.intervals import Interval, share_bound
from paft.evaluation.predictions import right_options
from paft.evaluation.sequential import LEAST_ROUNDS, Decision, GridSample, Verdict, balanced_order
from paft.models.model import Model
from paft.models.open import device_setting
from paft.prompts.template import render
from paft.runs.baseline import Baseline
from paft.runs.cell import Cell
from paft.runs.goal import Goal
from paft.runs.run import Run, without_training
from paft.scoring import PaidScorer
from paft.tasks.load import subset
from paft.types import Example, Prompt
from paft.utils.console import Console, Tick, counted
from paft.utils.distributed import Processes
from paft.utils.io import append_jsonl, read_log, write_text

if TYPE_CHECKING:  # imports scipy
    from paft.evaluation.option_effects import OptionScores

QUESTIONS = 400
"""The most questions, if nothing else is asked for."""
FILES = ("gate.json", "gate.md", "junit.xml")
"""The result, in the output folder."""
CELLS, PLAN = "cells.jsonl", "plan.json"
"""In the folder of the method: the answers, and for how many questions the looks at a figure are planned."""

OnUndecided = Literal["pass", "fail"]
Known = dict[tuple[str, str], dict[str, Any]]
"""Rows by prompt id and example id."""


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

    def write(self, output: Path) -> None:
        """Write ``gate.json`` into the folder ``output``."""
        interval = self.decision.interval
        record = {
            "schema": 1,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "goal": self.goal,
            "figure": self.figure,
            "threshold": self.threshold,
            "estimate": self.decision.estimate,
            "interval": interval and interval.ends,
            "is_exact": self.decision.is_exact,
            "subject": self.subject,
            "asked": self.asked,
            "most": self.most,
            "whole": self.whole,
            "prompts": self.prompts,
            "examples": self.examples,
            "per_prompt": [{"id": name, "score": score} for name, _, score in self.per_prompt],
            "notes": list(self.notes),
        }
        write_text(output / FILES[0], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def remove_result(output: Path) -> None:
    """Remove the files of an earlier gate, so that none is taken for the result of one that fails."""
    for name in FILES:
        (output / name).unlink(missing_ok=True)


def gate(
    config: Config,
    output: Path,
    goal: Goal | Baseline,
    console: Console,
    *,
    questions: int = QUESTIONS,
    undecided: OnUndecided = "pass",
) -> GateResult:
    """Ask cells of the grid in a balanced random order until the test has an answer.

    Every answer is kept in ``output/methods/base/cells.jsonl``: a second call asks only for the rest, and one that
    is finished asks nothing and returns the same.

    Args:
        goal: what is required, or the run that the model must not be worse than.
        questions: the most cells to ask.

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
        return _Gate(work, cell, goal, questions, undecided).decide()


class _Gate:
    """A gate whose run directory is prepared."""

    def __init__(self, work: Run, cell: Cell, goal: Goal | Baseline, questions: int, undecided: OnUndecided):
        self.work, self.cell, self.goal, self.undecided = work, cell, goal, undecided
        data = cell.data
        selected = goal.select(data.prompts.test, data.test_examples, data.task, cell.folder)
        self.prompts, self.examples, self.notes = selected
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
            self.prompts = subset(self.prompts, most, data.seed)
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
        return self.goal.figure == "quantile_05"

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
        test = self.goal.test()
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
                sample = GridSample(scores[:done], chosen[:done], len(examples), options)
                decision = test.decide(sample, rounds)
                if decision.verdict != "undecided":
                    break
            answering.finish()
        rows = [known[p.id, e.id] for row in cells[:done] for p, e in row]
        notes = _failures(rows, self.cell.evaluation.mode)
        if self.goal.figure == "quantile_05" and options is None:
            notes += _caveat(decision, scores[:done], self.goal.threshold)
        return self._result(decision, scores[:done], notes)

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
        return self.goal.value(float(row["score"]), prompt, example, self.cell.data.task)

    def _result(self, decision: Decision, scores: np.ndarray, notes: list[str]) -> GateResult:
        goal, config, ends = self.goal, self.work.config, decision.interval
        return GateResult(
            str(goal),
            goal.figure,
            goal.threshold,
            replace(
                decision,
                estimate=goal.reported(decision.estimate),
                interval=ends and Interval(goal.reported(ends.low), goal.reported(ends.high)),
            ),
            self.undecided,
            f"{config.model.path} on {config.task.name}",
            asked=scores.size,
            most=self.most,
            whole=len(self.prompts) * len(self.examples),
            prompts=len(self.prompts),
            examples=len(self.examples),
            per_prompt=[
                (prompt.id, prompt.text, goal.reported(float(mean)))
                for prompt, mean in zip(self.prompts, scores.mean(axis=0), strict=True)
            ],
            notes=[*self.notes, *notes],
        )


def _failures(rows: Sequence[Mapping[str, Any]], mode: str) -> list[str]:
    """Return a note on the written answers that could not be read or are none; no note if there are none."""
    finished = Counter(row["finish"] for row in rows)
    unparsed = sum(row["prediction"] is None for row in rows) if mode == "generate" else 0
    text = in_words(
        len(rows),
        unparsed=unparsed,
        cut=finished["length"],
        refused=finished["refused"],
        errors=finished["error"],
    )
    return [text] if text else []


def _caveat(decision: Decision, scores: np.ndarray, threshold: float) -> list[str]:
    """Return a note where a pass of ``quantile_05`` rests on the likeness of the prompts.

    The bounds of scores alone take the noise of all prompts together, so a few bad ones can hide.

    Args:
        scores: ``(rounds, prompts)``.
    """
    bound = share_bound(float(scores.sum(axis=0).min()), len(scores))
    if decision.verdict != "passed" or decision.is_exact or bound >= threshold:
        return []
    return [
        f"this pass takes the prompts to be alike: from its own {counted(len(scores), 'answers')}, the worst one "
        f"may score as little as {bound:.2f}; if a few prompts may be far worse than the rest, raise --questions"
    ]


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
