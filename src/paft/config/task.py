"""The section ``task`` of the config: what is asked, and where the examples are."""

import math
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from paft.config.section import SECTION
from paft.errors import UserError


class HubSource(BaseModel):
    """A data set of the Hugging Face hub, or a local folder of the same layout."""

    model_config = SECTION

    hub: str
    """``org/name``, or a folder."""
    config: str | None = None
    """The configuration of a set that has several."""
    split: str
    """Such as ``train``."""
    revision: str | None = None
    """A branch, tag or commit; ``refs/convert/parquet`` has the tables of a set that is a script."""


class OptionColumns(BaseModel):
    """Each option of an example has its own column (PIQA's ``sol1`` and ``sol2``)."""

    model_config = SECTION

    columns: list[str] = Field(min_length=2)
    """In the order of the options."""


PartSetting = str | dict[str, Any]
Source = str | HubSource
Choices = list[str] | str | OptionColumns
TargetFormat = Literal["auto", "text", "letter", "zero-based", "one-based"] | dict[str, str]


def cell_text(value: Any) -> str | None:
    """Return a text, or a number or boolean as JSON writes it; None for any other value.

    A decimal of a database keeps its digits: 12.50 stays ``12.50``.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return str(value) if is_number else None


class TaskConfig(BaseModel):
    """What is asked. For the built-in tasks, the name and the paths are enough."""

    model_config = SECTION

    name: str
    """A built-in task, or a name of your own."""
    description: str = ""
    """What the task is, in a sentence or two, for language models that write prompts."""
    train: Source | None = None
    """Training examples: a file (JSON lines, JSON, CSV, TSV, Parquet) or a set of the hub."""
    test: Source | None = None
    """Test examples."""
    fields: list[str] | dict[str, str] | None = None
    """The input columns, each with a slot of its name in prompts; or ``{SLOT: COLUMN}``."""
    choices: Choices | None = None
    """The options: a list for all examples, or the column or columns that hold those of each example. None in a
    free-text task."""
    target: str | None = None
    """The column of the right answer; a list in it holds all answers that are accepted."""
    target_format: TargetFormat | None = None
    """How the target column refers to an option.

    ``auto`` reads texts and letters, and the class names of a data set that has them. What numbers mean has to be
    said: ``zero-based``, ``one-based``, or a mapping from the column's values to choices, ``{0: "no", 1: "yes"}``.
    """
    answer: Literal["label", "letter", "text"] | None = None
    """Whether a model must answer with the text of an option, with its letter, or in free text."""
    scorer: PartSetting | list[PartSetting] | None = None
    """How an output is judged: a name, ``{name: NAME, other settings}``, ``module:name`` of your own, or a list.

    Of a list, the first is the score that prompts and methods are compared by. ``choice`` when left out, in a
    free-text task ``exact``.
    """
    top_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Prompts with at least this accuracy count as *top*."""

    @field_validator("target_format", mode="before")
    @classmethod
    def _mapping_is_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        mapping: dict[str, str] = {}
        for key, choice in value.items():
            text, name = cell_text(key), cell_text(choice)
            if text is None or name is None or isinstance(choice, bool):
                raise UserError(
                    f"config key task.target_format: {key!r}: {choice!r} does not map a value of the column to a "
                    "choice; write {0: negative, 1: positive} (quote yes and no)"
                )
            if text in mapping:
                raise UserError(f"config key task.target_format: {text!r} is mapped twice; leave one out")
            mapping[text] = name
        if not mapping:
            raise UserError("config key task.target_format: an empty mapping; write {0: negative, 1: positive}")
        return mapping

    @field_validator("name")
    @classmethod
    def _name_is_no_path(cls, name: str) -> str:
        if not re.fullmatch(r"(?!\.)[^/\\\0]+", name):  # folders are named by it
            raise UserError(f"config key task.name: {name!r} is no name; leave out / and \\ and a leading dot")
        return name
