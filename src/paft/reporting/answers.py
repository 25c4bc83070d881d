"""Encode the answers of a run for the page: bytes per cell, and texts as far as there is room."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from paft.reporting.predictions import Grid
from paft.reporting.results import MethodResult

NOT_ASKED, UNPARSED = 254, 255
FULL_SCORE = 200
"""The byte of the score 1; other scores are proportional, and only 1 itself has this byte."""
ANOTHER = "another answer"
"""The label of answers beyond the first 251 distinct answers to an example, or beyond the budget."""
LONGEST_OPTION, LONGEST_TEXT = 300, 1500
"""The maximum number of characters of an answer or output, of tasks with options and of free text."""
ANSWER_BUDGET = 1_500_000
OUTPUT_BUDGET = 2_500_000
"""The maximum number of characters of answers, and of outputs and explanations, on a page;
``predictions.parquet`` has them all."""


TEXTS = ("prediction", "output", "explanation")


@dataclass
class Answers:
    """The answers of all methods of a run.

    A cell is the index of the answer in ``choices`` of its example, or :data:`NOT_ASKED` or :data:`UNPARSED`. The
    first choice is the target.

    Attributes:
        right: by example, the indices of further choices that score 1, such as the target in other words.
        cells: by method, the bytes of a ``(prompts, examples)`` array in row-major order, in base64.
        scores: the same with the score of each cell, see :data:`FULL_SCORE`; empty where scores are 0 or 1.
        finish: the same with why the model stopped, an index into :data:`paft.evaluation.failures.FINISHES`; only
            of methods with an output that was cut, refused or failed.
        other_scores: by method and further scorer, as ``scores``.
        outputs: by method, cell -> index in ``texts``, for cells whose output differs from the answer that the
            page shows.
        explanations: by method, cell -> index in ``texts``.
        left_out: the number of outputs and explanations that exceeded the budget.
    """

    choices: list[list[str]]
    right: list[list[int]]
    cells: dict[str, str] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)
    finish: dict[str, str] = field(default_factory=dict)
    other_scores: dict[str, dict[str, str]] = field(default_factory=dict)
    outputs: dict[str, dict[int, int]] = field(default_factory=dict)
    explanations: dict[str, dict[int, int]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    left_out: int = 0


def encode(
    methods: Sequence[MethodResult],
    prompts: Sequence[str],
    examples: Sequence[str],
    *,
    has_options: bool,
    is_binary: bool,
    share: int = 1,
    has_outputs: bool = True,
) -> Answers:
    """Encode the answers of all methods, with prompts and examples in the given order.

    Args:
        share: the number of runs that share the page's budgets.
        has_outputs: whether there is room for outputs and explanations.
    """
    places = {m.name: _places(m.grid, prompts, examples) for m in methods}

    def packed(method: MethodResult, values: np.ndarray, missing: int) -> str:
        array = np.full(len(prompts) * len(examples), missing, dtype=np.uint8)
        array[places[method.name]] = values
        return base64.b64encode(array.tobytes()).decode()

    encoder = _Encoder(methods, places, examples, has_options, share)
    codes = encoder.encode(has_outputs)
    answers = encoder.answers
    for method in methods:
        name, grid = method.name, method.grid
        answered = grid.answered
        answers.cells[name] = packed(method, codes[name], NOT_ASKED)
        if not is_binary:
            answers.scores[name] = packed(method, _score_bytes(grid.scores[answered]), 0)
        if grid.finish.any():
            answers.finish[name] = packed(method, grid.finish[answered], 0)
        answers.other_scores[name] = {
            scorer: packed(method, _score_bytes(scores[answered]), 0)
            for scorer, scores in zip(method.other_scores, grid.other_scores, strict=True)
        }
    return answers


def _places(grid: Grid, prompts: Sequence[str], examples: Sequence[str]) -> np.ndarray:
    """Return the cell on the page of each row of a grid."""
    rows = {prompt: index for index, prompt in enumerate(prompts)}
    columns = {example: index for index, example in enumerate(examples)}
    row, column = [rows[p] for p in grid.prompt_ids], [columns[e] for e in grid.example_ids]
    return (np.array(row)[:, None] * len(examples) + np.array(column)[None])[grid.answered]


def _score_bytes(scores: np.ndarray) -> np.ndarray:
    return np.where(scores >= 1, FULL_SCORE, np.minimum(np.rint(scores * FULL_SCORE), FULL_SCORE - 1))


class _Encoder:
    """Gives answers their codes, and outputs and explanations their places in the list of texts."""

    def __init__(
        self,
        methods: Sequence[MethodResult],
        places: dict[str, np.ndarray],
        examples: Sequence[str],
        has_options: bool,
        share: int,
    ):
        self.answers = Answers([], [])
        self._methods, self._places, self._has_options = methods, places, has_options
        self._sizes = [len(places[method.name]) for method in methods]
        self._columns, self._width = {example: i for i, example in enumerate(examples)}, len(examples)
        self._longest = LONGEST_OPTION if has_options else LONGEST_TEXT
        self._codes: list[dict[tuple[str, bool], int]] = [{} for _ in examples]  # (answer, is right) -> code
        self._texts: dict[str, int] = {}
        self._answer_budget, self._output_budget = ANSWER_BUDGET // share, OUTPUT_BUDGET // share

    def encode(self, has_outputs: bool) -> dict[str, np.ndarray]:
        """Return the code of each row of each method, and fill ``answers`` but for what is in bytes."""
        for method in self._methods:
            self.answers.outputs[method.name], self.answers.explanations[method.name] = {}, {}
            for example, target in zip(method.grid.example_ids, method.grid.targets, strict=True):
                self._codes[self._columns[example]].setdefault((cut(target, self._longest), True), 0)
        if not self._methods:
            return {}
        names = TEXTS if has_outputs else TEXTS[:1]
        texts = pa.concat_tables([read_texts(m.grid, names) for m in self._methods])
        place = np.concatenate([self._places[m.name] for m in self._methods])
        order = self._order(place)
        codes = self._answer_codes(texts["prediction"], place, order)
        if has_outputs:
            self._add_texts(texts, place, codes, order)
        self.answers.choices = [[text for text, _ in answers] for answers in self._codes]
        self.answers.right = [
            [code for (_, is_right), code in answers.items() if is_right and code] for answers in self._codes
        ]
        self.answers.texts = list(self._texts)
        ends = np.cumsum(self._sizes)
        return dict(zip((m.name for m in self._methods), np.split(codes, ends[:-1]), strict=True))

    def _order(self, place: np.ndarray) -> np.ndarray:
        """Return the order of all answered cells: unparsed ones first, then wrong ones, example by example.

        Where the budget does not hold all outputs, those kept are then the most useful ones, of all methods and
        prompts on the same examples.
        """
        grids = [method.grid for method in self._methods]
        index = np.repeat(np.arange(len(grids)), self._sizes)
        rank = np.concatenate([np.where(g.unparsed, 0, 1 + g.right)[g.answered] for g in grids])
        return np.lexsort((index, place, place % self._width, rank))

    def _answer_codes(self, predictions: pa.ChunkedArray, place: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Return the code of each cell; equal answers to an example, with equal marks, are looked at once."""
        answers = predictions.cast(pa.string()).combine_chunks().dictionary_encode()
        numbers = answers.indices.fill_null(len(answers.dictionary)).to_numpy()
        right = np.concatenate([method.grid.right[method.grid.answered] for method in self._methods])
        column = place % self._width
        keys = (column * (len(answers.dictionary) + 1) + numbers) * 2 + right
        _, first, inverse = np.unique(keys[order], return_index=True, return_inverse=True)
        codes = np.zeros(len(first), dtype=np.uint8)
        dictionary = [*answers.dictionary.to_pylist(), None]
        for key in np.argsort(first):
            cell = order[first[key]]
            codes[key] = self._code(int(column[cell]), dictionary[numbers[cell]], bool(right[cell]))
        codes_of_cells = np.empty(len(order), dtype=np.uint8)
        codes_of_cells[order] = codes[inverse]
        return codes_of_cells

    def _add_texts(self, texts: pa.Table, place: np.ndarray, codes: np.ndarray, order: np.ndarray) -> None:
        """Add outputs that differ from the answer as it is shown, and explanations, as far as there is room."""
        columns = {name: texts[name].to_pylist() for name in TEXTS[1:]}
        methods = [m.name for m, size in zip(self._methods, self._sizes, strict=True) for _ in range(size)]
        labels = [list(codes) for codes in self._codes]
        for cell in order.tolist():
            name, at, code = methods[cell], int(place[cell]), int(codes[cell])
            output, explanation = columns["output"][cell], columns["explanation"][cell]
            if output is not None and (code or not self._has_options):
                answer = None if code == UNPARSED else labels[at % self._width][code][0]
                if output.strip() != answer:
                    self._add_text(self.answers.outputs[name], at, output)
            if explanation:
                self._add_text(self.answers.explanations[name], at, explanation)

    def _code(self, column: int, prediction: str | None, is_right: bool) -> int:
        """Return the code of an answer."""
        codes = self._codes[column]
        if prediction is None:
            return UNPARSED
        key = (cut(prediction, self._longest), is_right)
        if key not in codes:
            if len(codes) >= NOT_ASKED - 2 or len(key[0]) > self._answer_budget:  # two codes for other answers
                key = (ANOTHER, is_right)
            else:
                self._answer_budget -= len(key[0])
        return codes.setdefault(key, len(codes))

    def _add_text(self, texts: dict[int, int], place: int, text: str) -> None:
        text = cut(text, self._longest)
        if text not in self._texts:
            if len(text) > self._output_budget:
                self.answers.left_out += 1
                return
            self._output_budget -= len(text)
        texts[place] = self._texts.setdefault(text, len(self._texts))


def read_texts(grid: Grid, names: Sequence[str] = TEXTS) -> pa.Table:
    """Return columns of texts of a grid, row by row; files of older versions have no explanations."""
    known = parquet.read_schema(grid.path).names
    table = parquet.read_table(grid.path, columns=[name for name in names if name in known])
    columns = {name: table[name] if name in known else pa.nulls(len(table)) for name in names}
    return pa.table({name: column.cast(pa.string()) for name, column in columns.items()})


def cut(text: Any, longest: int = 2000) -> str:
    """Return a text, truncated if it is longer than ``longest`` characters."""
    text = str(text)
    return text if len(text) <= longest else text[:longest] + " [...]"
