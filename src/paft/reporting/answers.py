"""Encode the answers of a run for the page: one byte per cell, plus outputs that differ from the answers."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pyarrow import parquet

from paft.reporting.read import Grid

NOT_ASKED, UNPARSED = 254, 255
ANOTHER = "another answer"
"""The label of wrong answers beyond the first 252 distinct answers to an example."""
LONGEST_OUTPUT = 300
OUTPUT_BUDGET = 2_500_000
"""The maximum number of characters of outputs on a page; ``predictions.parquet`` has all outputs."""


@dataclass
class Answers:
    """The answers of all methods of a run.

    A cell is 0 where the score is 1, and otherwise the index of the answer in ``choices`` of its example. The
    first choice is the right answer.

    Attributes:
        cells: by method, the bytes of a ``(prompts, examples)`` array in row-major order, in base64.
        outputs: by method, cell -> index in ``texts``, for cells whose output differs from the answer that the
            page shows.
        left_out: the number of outputs that exceeded the budget.
    """

    choices: list[list[str]]
    cells: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[int, int]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    left_out: int = 0


def encode(grids: dict[str, Grid], prompts: Sequence[str], examples: Sequence[str]) -> Answers:
    """Encode the answers of all methods, with prompts and examples in the given order."""
    answers = Answers([[] for _ in examples])
    codes: list[dict[tuple[str, bool], int]] = [{} for _ in examples]  # (answer, is right) -> code
    columns = {example: index for index, example in enumerate(examples)}
    rows = {prompt: index for index, prompt in enumerate(prompts)}
    text_indices: dict[str, int] = {}
    budget = OUTPUT_BUDGET
    for name, grid in grids.items():
        table = parquet.read_table(grid.path, columns=["prediction", "target", "output"])
        predictions, targets, outputs = (table[c].to_pylist() for c in ("prediction", "target", "output"))
        cells = np.full((len(prompts), len(examples)), NOT_ASKED, dtype=np.uint8)
        output_indices: dict[int, int] = {}
        width, right = len(grid.example_ids), grid.right
        for index, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            i, j = divmod(index, width)
            row, column = rows[grid.prompt_ids[i]], columns[grid.example_ids[j]]
            example_codes = codes[column]
            example_codes.setdefault((cut(target, LONGEST_OUTPUT), True), 0)
            code = 0 if right[i, j] else UNPARSED if prediction is None else _code(example_codes, prediction)
            cells[row, column] = code
            text = outputs[index]
            if (code or prediction != target) and text is not None and text.strip() != prediction:
                text = text if len(text) <= LONGEST_OUTPUT else text[:LONGEST_OUTPUT] + " [...]"
                if text not in text_indices and len(text) > budget:
                    answers.left_out += 1
                    continue
                budget -= len(text) if text not in text_indices else 0
                output_indices[row * len(examples) + column] = text_indices.setdefault(text, len(text_indices))
        answers.cells[name] = base64.b64encode(cells.tobytes()).decode()
        answers.outputs[name] = output_indices
    answers.choices = [[text for text, _ in example_codes] for example_codes in codes]
    answers.texts = list(text_indices)
    return answers


def _code(example_codes: dict[tuple[str, bool], int], prediction: str) -> int:
    key = (cut(prediction, LONGEST_OUTPUT), False)
    if key not in example_codes and len(example_codes) >= NOT_ASKED - 1:
        key = (ANOTHER, False)
    return example_codes.setdefault(key, len(example_codes))


def cut(text: Any, longest: int = 2000) -> str:
    """Return a text, truncated if it is longer than ``longest`` characters."""
    text = str(text)
    return text if len(text) <= longest else text[:longest] + " [...]"
