"""The grid of answers as small as a page needs it: a byte a cell, and the outputs that say more than the byte."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from paft.reporting.read import Grid

NOT_ASKED, UNPARSED = 254, 255
LONGEST_OUTPUT = 300
OUTPUT_BUDGET = 2_500_000
"""Characters of outputs that a page holds at most; ``predictions.parquet`` has them all."""


@dataclass
class Answers:
    """The answers of all methods of a run.

    A cell is the place of the answer among ``choices`` of its example; the right answer is the first of them.

    Attributes:
        cells: by method, bytes ``(prompts, examples)`` row by row, in base64.
        outputs: by method, cell -> place in ``texts``, for wrong and unparsed cells whose model wrote a text.
        left_out: how many outputs had no room.
    """

    choices: list[list[str]]
    cells: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[int, int]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    left_out: int = 0


def encode(
    files: dict[str, Path], grids: dict[str, Grid], prompts: Sequence[str], examples: Sequence[str]
) -> Answers:
    """Encode the answers of each method in one order of prompts and examples."""
    answers = Answers([[] for _ in examples])
    places: list[dict[tuple[str, bool], int]] = [{} for _ in examples]
    columns = {example: place for place, example in enumerate(examples)}
    rows = {prompt: place for place, prompt in enumerate(prompts)}
    known: dict[str, int] = {}
    room = OUTPUT_BUDGET
    for name, grid in grids.items():
        table = parquet.read_table(files[name], columns=["prediction", "target", "output"])
        predictions, targets, outputs = (table[c].to_pylist() for c in ("prediction", "target", "output"))
        cells = np.full((len(prompts), len(examples)), NOT_ASKED, dtype=np.uint8)
        written: dict[int, int] = {}
        width = len(grid.example_ids)
        for index, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            i, j = divmod(index, width)
            row, column = rows[grid.prompt_ids[i]], columns[grid.example_ids[j]]
            seen, right = places[column], bool(grid.right[i, j])
            seen.setdefault((target, True), 0)
            code = UNPARSED if prediction is None else min(seen.setdefault((prediction, right), len(seen)), 253)
            cells[row, column] = code
            text = outputs[index]
            if code and text is not None and text.strip() != prediction:
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


def cut(text: Any, longest: int = 2000) -> str:
    """Return a text, or its beginning where it is very long."""
    text = str(text)
    return text if len(text) <= longest else text[:longest] + " [...]"
