"""What a run is made of: the task, its examples, and the prompt sets."""

from dataclasses import dataclass, field
from typing import Any

from paft.config.schema import Config
from paft.errors import UserError
from paft.methods.registry import Variant
from paft.prompts.prepare import PromptSets
from paft.prompts.shots import load_with_demonstrations
from paft.scoring import Scorer
from paft.scoring.registry import make_scorers
from paft.tasks.describe import equal_answers, noted_answers, repeated
from paft.tasks.load import check_targets, subset
from paft.tasks.task import Task
from paft.types import Example
from paft.utils.console import Console


@dataclass(frozen=True)
class TaskData:
    """The data of a run before its prompts are there, since a language model may have to write them.

    Attributes:
        scorers: judge what a model writes; prompts and methods are compared by the first.
        train, test_examples: all training examples; the test examples that are asked.
        reported: lines that were printed, so that methods do not repeat them.
        all_examples: for screening: a prompt that holds an answer to one of them is left out.
    """

    task: Task
    scorers: list[Scorer]
    train: list[Example]
    test_examples: list[Example]
    all_examples: list[Example]
    seed: int
    reported: set[str] = field(default_factory=set, kw_only=True)

    @staticmethod
    def load(config: Config, variants: list[Variant], console: Console) -> "TaskData":
        """Read the examples.

        Raises:
            UserError: a file is broken, or the test examples are training examples.
        """
        task, train, test = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
        if config.evaluation.mode == "likelihood" and not task.has_options:
            raise UserError(
                "config key evaluation.mode: likelihood compares options; name task.choices, or use generate"
            )
        data = TaskData(
            task,
            make_scorers(task.scorer, task),
            train,
            subset(test, config.evaluation.examples, config.seed),
            train + test,
            config.seed,
        )
        splits = ((train, config.task.train), (test, config.task.test))
        for examples, source in splits:
            check_targets(task, data.scorers, examples, source)
        console.say(f"task.target: {task.target_reading}")
        for note in equal_answers(task, data.scorers, splits):
            console.say(f"task.target: {note}")
        for note in noted_answers(task, data.scorers, splits):
            console.say(f"task.target: {note}")
        if task.shots:
            ids = ", ".join(example.id for example in task.demonstrations[: task.shots])
            console.say(f"demonstrations (prompts.shots): training examples {ids}")
        if training := [variant for variant in variants if variant.method.trains]:
            for variant in training:
                if variant.training.group_by is not None:
                    task.check_field(variant.training.group_by, "config key training.group_by")
            largest = max(training, key=lambda variant: variant.training.examples)
            examples = data.training_examples(largest)
            _check_test_examples(examples, data.test_examples, console)
            if len(examples) < len(train):
                console.say(f"using {len(examples):,} of {len(train):,} training examples (training.examples)")
        return data

    def with_prompts(self, prompts: PromptSets) -> "RunData":
        """Return all data of the run."""
        return RunData(**vars(self), prompts=prompts)

    def training_examples(self, variant: Variant) -> list[Example]:
        """Return the training examples of a variant, before any is left out for its length."""
        return subset(self.train, variant.training.examples, self.seed)

    def facts(self) -> dict[str, Any]:
        """Return what the report needs to know and the config leaves open."""
        task, examples = self.task, self.test_examples
        return {
            "top": task.top_threshold,
            "chance": _chance(examples) if task.has_options else None,
            "scorers": [scorer.name for scorer in self.scorers],
            "yes_or_no": self.scorers[0].is_binary,
            "fields": list(task.fields),
            "labels": None if task.labels is None else list(task.labels),
            "targets_are_options": all(task.candidates(example) == example.options for example in examples),
            "aliases": dict(task.aliases),
        }

    def example_rows(self) -> list[dict[str, Any]]:
        """Return the test examples as rows of ``examples.jsonl``."""
        return [
            {
                "id": example.id,
                "fields": dict(example.fields),
                "options": list(example.options),
                "target": self.task.target(example),
                "targets": list(self.task.targets(example)),
            }
            for example in self.test_examples
        ]


@dataclass(frozen=True)
class RunData(TaskData):
    """All data of a run."""

    prompts: PromptSets


def _chance(examples: list[Example]) -> float:
    return round(sum(1 / len(example.options) for example in examples) / len(examples), 6)


def _check_test_examples(train: list[Example], test: list[Example], console: Console) -> None:
    """Refuse test examples that are all training examples; report how many are."""
    known = len(repeated(train, test))
    if known == len(test):
        raise UserError(
            "config key task.test: the test examples are training examples; name another file or split"
        )
    if known:
        console.say(f"{known} of {len(test)} test examples ask the same as a training example")
