"""The results of a run as the reports use them: its methods with their figures, and what its config says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from paft.evaluation.estimate import Estimate
from paft.evaluation.failures import Failures
from paft.evaluation.metrics import Summary, balanced_accuracy, majority
from paft.evaluation.paired import Difference, differences
from paft.prompts.traits import PromptTraits, traits_of
from paft.reporting.other_score import OtherScore
from paft.reporting.predictions import Grid
from paft.types import CalibrationKind, Prompt

FIRST_TITLES = {"base": "the base model", "user": "the fixed prompt", "paft": "PAFT"}
"""Titles of the methods in runs that predate ``method_titles``."""


@dataclass(frozen=True)
class MethodResult:
    """The results of one method.

    Attributes:
        per_label: label -> the mean score on its examples; None if the task has no fixed labels.
        other_scores: of the task's further scorers, by name.
        choosing: the cost of choosing a prompt, as in ``choice.json``; empty for a method that chooses none.
        judge: what ``judge.json`` says; empty where no language model judged.
        calibrated: the accuracy after calibration, where ``evaluation.calibrate`` asks for it.
        estimate: what the whole grid would show, where not all of its cells were answered; else None.
    """

    name: str
    summary: Summary
    failures: Failures
    per_label: dict[str, float] | None
    other_scores: dict[str, OtherScore]
    grid: Grid = field(repr=False)
    log: list[dict[str, Any]] = field(repr=False)
    choosing: dict[str, float] = field(default_factory=dict)
    judge: dict[str, Any] = field(default_factory=dict)
    calibrated: OtherScore | None = None
    estimate: Estimate | None = None

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean over the labels of the mean score on their examples; None if the task has no fixed labels."""
        return None if self.per_label is None else balanced_accuracy(self.per_label)

    @property
    def prompt_ids(self) -> tuple[str, ...]:
        """The prompts' ids, in the order of the summary's ``per_prompt``."""
        return self.grid.prompt_ids

    @property
    def answered(self) -> int:
        """The number of cells that were answered."""
        return int(self.grid.answered.sum())

    @property
    def is_estimated(self) -> bool:
        """Whether the metrics are estimates, since not all cells were answered."""
        return self.estimate is not None

    @property
    def answered_share(self) -> str:
        """The share of the cells that were answered, such as ``20 %``."""
        return f"{100 * self.answered / self.grid.answered.size:.2g} %"

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training; None if the method does not train."""
        return sum(row["seconds"] for row in self.log) if self.log else None

    @property
    def train_tokens(self) -> int:
        """The number of tokens processed in training."""
        return sum(row["tokens"] for row in self.log)

    @property
    def train_examples_per_second(self) -> float | None:
        """Training throughput in examples per second."""
        seconds = self.train_seconds
        return sum(row["examples"] for row in self.log) / seconds if seconds else None

    @property
    def eval_examples_per_second(self) -> float:
        """Evaluation throughput in questions per second, over the answered cells."""
        return self.answered / self.grid.seconds if self.grid.seconds else 0.0


@dataclass(frozen=True)
class RunResult:
    """A run: its config, its finished methods, and the state of the others.

    Attributes:
        unfinished: the methods without complete predictions, each with its progress.
        damaged: file name -> what is wrong with it. A method whose predictions are damaged is also unfinished.
        prompts, train_prompts: by id.
        examples: rows of ``examples.jsonl`` by id; empty if there is no such file.
        is_binary: whether every score is 0 or 1, so that an answer is right or wrong.
        chance: None in a free-text task, or where the run did not record it.
    """

    path: Path
    config: dict[str, Any]
    methods: list[MethodResult]
    unfinished: dict[str, str]
    damaged: dict[str, str]
    top: float
    chance: float | None
    is_binary: bool
    prompts: dict[str, Prompt]
    train_prompts: dict[str, Prompt]
    examples: dict[str, dict[str, Any]]

    @cached_property
    def differences(self) -> list[Difference]:
        """The comparisons of all pairs of methods; methods with another grid than the first one's are left out."""
        scores: dict[str, np.ndarray] = {}
        for method in self.methods:
            grid, first = method.grid, self.methods[0].grid
            if (grid.prompt_ids, grid.example_ids) == (first.prompt_ids, first.example_ids):
                scores[method.name] = grid.scores
        return differences(scores)

    @cached_property
    def example_contents(self) -> dict[str, str]:
        """What each example asks, by id: its fields, options and targets as text, equal where they are equal."""
        keys = ("fields", "options", "target", "targets")
        encode = json.JSONEncoder(sort_keys=True).encode
        return {i: encode([row.get(key) for key in keys]) for i, row in self.examples.items()}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Facts that the run recorded in addition to its config."""
        facts = self.config.get("run")
        return facts if isinstance(facts, dict) else {}

    @property
    def has_options(self) -> bool:
        """Whether the task is to choose between options; if not, the answer is free text."""
        return self.facts.get("chance", 0) is not None  # runs without this fact are older than free text

    @property
    def labels(self) -> list[str] | None:
        """The options that all examples share, if they do."""
        choices = self.config["task"].get("choices")
        labels = self.facts.get("labels") or (choices if isinstance(choices, list) else None)
        return list(map(str, labels)) if self.has_options and isinstance(labels, list) else None

    @property
    def scorers(self) -> list[str]:
        """The names of the task's scorers, the one whose score is reported first; empty where not recorded."""
        names = self.facts.get("scorers")
        return list(map(str, names)) if isinstance(names, list) and self.mode == "generate" else []

    @property
    def judge_prompt(self) -> str:
        """What a language model that judged the answers was asked; empty where none did."""
        return next((method.judge["prompt"] for method in self.methods if method.judge), "")

    @property
    def metric(self) -> str:
        """What the scores of the run are: accuracy, or the score of a named scorer."""
        return "accuracy" if self.is_binary else f"{self.scorers[0]} score" if self.scorers else "score"

    @cached_property
    def majority(self) -> float | None:
        """The score of always giving the most frequent target; None for graded scores or without a method."""
        if not self.methods or not self.is_binary:
            return None
        grid = self.methods[0].grid
        pairs = zip(grid.example_ids, grid.targets, strict=True)
        return majority([[target, *self._accepted(example)] for example, target in pairs])

    def _accepted(self, example: str) -> list[str]:
        """Return the accepted answers of an example; none where ``examples.jsonl`` does not list them."""
        targets = self.examples.get(example, {}).get("targets")
        return [target for target in targets if isinstance(target, str)] if isinstance(targets, list) else []

    @property
    def command(self) -> str:
        """The command that reproduces the run from within its directory."""
        if self.config.get("methods") == ["base"]:
            return "paft evaluate config.yaml"
        processes = self.facts.get("processes")
        if isinstance(processes, int) and processes > 1:
            return f"torchrun --nproc-per-node {processes} -m paft run config.yaml"
        return "paft run config.yaml"

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config.get("seed", 0))

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.config["task"]["name"])

    @property
    def model(self) -> str:
        """The model's path or id."""
        return str(self.config["model"]["path"])

    @property
    def model_in_words(self) -> str:
        """The model with its adapter, or its endpoint."""
        adapter, endpoint = (self.config["model"].get(key) for key in ("adapter", "base_url"))
        more = f" with the adapter {adapter}" if adapter else f" at {endpoint}" if endpoint else ""
        return f"{self.model}{more}"

    @property
    def trains(self) -> bool:
        """Whether a method of the run trains. If none does, no prompt can be called unseen."""
        trained = self.facts.get("trained")
        if isinstance(trained, list):
            return bool(trained)
        return self.config.get("methods") != ["base"]  # a run of the first version

    def title(self, method: str) -> str:
        """Return the name of a method for use in a sentence."""
        titles = self.facts.get("method_titles", FIRST_TITLES)
        title = titles.get(method) if isinstance(titles, dict) else None
        return title if isinstance(title, str) else method

    def named(self, method: str) -> str:
        """Return a method's name with what it is, as in ``user (the fixed prompt)``; the name if that says it."""
        title = self.title(method)
        return method if title.lower() == method.lower() else f"{method} ({title})"

    def traits_of(self, prompt: Prompt) -> PromptTraits:
        """Return the traits of a prompt."""
        fields = self.facts.get("fields") or self.config["task"].get("fields") or []
        aliases = self.facts.get("aliases")
        aliases = aliases if isinstance(aliases, dict) else {}
        return traits_of(prompt, list(map(str, fields)), self.labels, aliases, has_options=self.has_options)

    @property
    def test_prompts(self) -> str:
        """The term for the test prompts."""
        return "unseen prompts" if self.trains else "prompts"

    @property
    def mode(self) -> str:
        """How answers are obtained: ``likelihood`` or ``generate``."""
        return mode_of(self.config)

    @property
    def calibration(self) -> CalibrationKind | None:
        """How a calibrated accuracy is obtained; None if none is reported."""
        evaluation = self.config.get("evaluation")
        kind = evaluation.get("calibrate") if isinstance(evaluation, dict) else None
        return kind if kind in get_args(CalibrationKind) else None

    @property
    def problems(self) -> list[str]:
        """One line for each damaged file and each unfinished method."""
        lines = [f"{name}: {why}" for name, why in self.damaged.items()]
        return lines + [f"{name} is not finished: {state}" for name, state in self.unfinished.items()]


def mode_of(config: Mapping[str, Any]) -> str:
    """Return how the answers of a run were obtained, ``likelihood`` or ``generate``."""
    evaluation = config.get("evaluation")
    evaluation = evaluation if isinstance(evaluation, dict) else {}
    return str(evaluation.get("mode", evaluation.get("answers", "generate")))  # the key's name in older runs
