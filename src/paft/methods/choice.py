"""One prompt for a method, and what choosing it cost; kept in ``RUN/methods/METHOD/choice.json``."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.types import Prompt
from paft.utils.io import write_text

CHOICE = "choice.json"


@dataclass(frozen=True)
class Choice:
    """The prompt that a baseline chose.

    Attributes:
        accuracy: of the base model under it, on the training examples that the baseline looked at.
        evaluations: prompts tried, each on some examples; ``questions`` are the single answers.
        requests: to a language model, with the tokens it read and wrote.
        rewrites: prompts that a language model wrote and that were tried; None where none is asked to.
        screened_out: prompts that it wrote and that do not fit the task.
        seconds: of the base model's answers, of embedding prompts, and of the language model's requests, each
            counted whole though several are under way at once.
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


SearchResult = tuple[Prompt, float, Sequence[dict[str, Any]]]
"""A prompt, its accuracy, and what was spent on finding it; equal keys are added up."""


def choose(folder: Path, search: Callable[[], SearchResult]) -> Choice:
    """Return the choice that is written down in the folder, or search for it and write it down."""
    file = folder / CHOICE
    if file.is_file():
        return read_choice(file)
    prompt, accuracy, budgets = search()
    spent: dict[str, Any] = {}
    for budget in budgets:
        for key, value in budget.items():
            spent[key] = round(spent.get(key, 0) + value, 3)
    choice = Choice(prompt, accuracy, **spent)
    write_text(file, json.dumps(asdict(choice), indent=2, ensure_ascii=False) + "\n")
    return choice


def read_choice(file: Path) -> Choice:
    """Read ``choice.json``."""
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        return Choice(**row | {"prompt": Prompt(**row["prompt"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{file}: damaged; remove it and run the same command again") from None
