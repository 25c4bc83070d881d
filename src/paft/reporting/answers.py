"""The grid of answers in a small form for the page: one byte per cell, and the outputs that add to it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pyarrow import parquet

from paft.reporting.read import Grid

NOT_ASKED, UNPARSED = 254, 255
ANOTHER = "another answer"
"""The answer of cells beyond the first 252 different answers to an example that are not right."""
LONGEST_OUTPUT = 300
OUTPUT_BUDGET = 2_500_000
"""The most characters of outputs on a page; ``predictions.parquet`` has all outputs."""


@dataclass
class Answers:
    """The answers of all methods of a run.

    A cell is 0 where the score is 1, else the index of the answer in ``choices`` of its example. The first choice
    is the right answer.

    Attributes:
        cells: by method, bytes ``(prompts, examples)`` row by row, in base64.
        outputs: by method, cell -> index in ``texts``, for cells whose model wrote something else than the answer
            that the page shows.
        left_out: how many outputs did not fit into the budget.
    """

    choices: list[list[str]]
    cells: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[int, int]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    left_out: int = 0


def encode(grids: dict[str, Grid], prompts: Sequence[str], examples: Sequence[str]) -> Answers:
    """Encode the answers of each method in one order of prompts and examples."""
    answers = Answers([[] for _ in examples])
    places: list[dict[tuple[str, bool], int]] = [{} for _ in examples]  # (answer, is right) -> code
    columns = {example: place for place, example in enumerate(examples)}
    rows = {prompt: place for place, prompt in enumerate(prompts)}
    known: dict[str, int] = {}
    room = OUTPUT_BUDGET
    for name, grid in grids.items():
        table = parquet.read_table(grid.path, columns=["prediction", "target", "output"])
        predictions, targets, outputs = (table[c].to_pylist() for c in ("prediction", "target", "output"))
        cells = np.full((len(prompts), len(examples)), NOT_ASKED, dtype=np.uint8)
        written: dict[int, int] = {}
        width, right = len(grid.example_ids), grid.right
        for index, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            i, j = divmod(index, width)
            row, column = rows[grid.prompt_ids[i]], columns[grid.example_ids[j]]
            seen = places[column]
            seen.setdefault((cut(target, LONGEST_OUTPUT), True), 0)
            code = 0 if right[i, j] else UNPARSED if prediction is None else _code(seen, prediction)
            cells[row, column] = code
            text = outputs[index]
            if (code or prediction != target) and text is not None and text.strip() != prediction:
                text = text if len(text) <= LONGEST_OUTPUT else text[:LONGEST_OUTPUT] + " [...]"
                if text not in known and len(text) > room:
                    answers.left_out += 1
                    continue
                room -= len(text) if text not in known else 0
                written[row * len(examples) + column] = known.setdefault(text, len(known))
        answers.cells[name] = base64.b64encode(cells.tobytes()).decode()
        answers.outputs[name] = written
    answers.choices = [[text for text, _ in seen] for seen in places]
    answers.texts = list(known)
    return answers


def _code(seen: dict[tuple[str, bool], int], prediction: str) -> int:
    key = (cut(prediction, LONGEST_OUTPUT), False)
    if key not in seen and len(seen) >= NOT_ASKED - 1:
        key = (ANOTHER, False)
    return seen.setdefault(key, len(seen))


def cut(text: Any, longest: int = 2000) -> str:
    """Return a text, or its beginning where it is very long."""
    text = str(text)
    return text if len(text) <= longest else text[:longest] + " [...]"
