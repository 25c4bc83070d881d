"""Methods that search for one prompt and train on it; the choice is kept in ``RUN/methods/NAME/choice.json``."""

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from paft.errors import UserError
from paft.methods.method import ONE_PROMPT, Method, MethodContext, TrainingPlan
from paft.types import Prompt
from paft.utils.io import write_text

CHOICE = "choice.json"


@dataclass(frozen=True)
class SearchResult:
    """The prompt that a search chose.

    Attributes:
        accuracy: of the base model under it, on the training examples that the search looked at.
        evaluations: prompts tried, each on some examples; ``questions`` are the single answers.
        requests: to a language model, with the tokens it read and wrote.
        rewrites: prompts that a language model wrote and that were tried; None where no model writes any.
        screened_out: prompts that it wrote and that do not fit the task.
        seconds: of the base model's answers, of embedding prompts, and of the language model's requests, each
            counted in full although several run at once.
    """

    prompt: Prompt
    accuracy: float
    evaluations: int = 0
    questions: int = 0
    requests: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    rewrites: int | None = None
    screened_out: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, prompt: Prompt, accuracy: float, *costs: dict[str, Any]) -> "SearchResult":
        """Return a result whose costs are the sums of ``costs``, key by key."""
        total: dict[str, Any] = {}
        for cost in costs:
            for key, value in cost.items():
                total[key] = round(total.get(key, 0) + value, 3)
        return cls(prompt, accuracy, **total)

    def describe_cost(self) -> str:
        """Return what the search cost, as text."""
        costs = {k: v for k, v in asdict(self).items() if k not in ("prompt", "accuracy")}
        return ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in costs.items() if value)


class SearchMethod(Method):
    """A method that searches for one of the training prompts, or for a better one, and trains on it alone."""

    fixed_training: ClassVar[dict[str, Any]] = ONE_PROMPT

    @abstractmethod
    def search(self, context: MethodContext) -> SearchResult:
        """Return the chosen prompt. What it computes is kept in ``context.folder``, so that it can resume."""

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return the chosen prompt: the recorded one, or else that of a search."""
        file = context.folder / CHOICE
        if file.is_file():
            result = read_result(file)
        else:
            result = self.search(context)
            write_text(file, json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n")
        context.console.say(
            f"{context.name} chose prompt {result.prompt.id} ({result.accuracy:.0%} of its examples): "
            f"{result.describe_cost()}"
        )
        return TrainingPlan([result.prompt])

    def is_planned(self, folder: Path) -> bool:
        """Return True if the choice is recorded."""
        return (folder / CHOICE).is_file()


def read_result(file: Path) -> SearchResult:
    """Return the result that a search recorded.

    Raises:
        UserError: the file is damaged.
    """
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        return SearchResult(**row | {"prompt": Prompt(**row["prompt"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{file}: damaged; remove it and run the same command again") from None
