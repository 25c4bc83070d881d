"""A grid of which only planned cells are answered: each once, none lost, none asked twice, whenever it is killed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from paft.evaluation.grid import evaluate
from paft.evaluation.plan import plan_cells
from paft.evaluation.predictions import read_scores, seconds_of
from paft.models.fake import FakeModel
from paft.reporting.predictions import read_grid
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import AnswerSettings, Example, Prompt
from paft.utils.console import Console

LABELS = ("red", "green", "blue")
TASK = Task("colours", ("thing",), LABELS, "label", 0.85, 3)
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, LABELS, i % 3) for i in range(8)]
PROMPTS = [Prompt(f"{word} {{thing}}") for word in ("one", "two", "three")]


class KilledError(Exception):
    pass


def colour(conversation) -> str:
    return LABELS[int(conversation.user.split()[-1]) % 3] if "two" not in conversation.user else "red"


def fill(folder, count, kill_after=None):
    """Answer a plan; return the questions asked. The model dies after so many of them."""
    asked: list[str] = []

    def answer(conversation):
        if len(asked) == kill_after:
            raise KilledError
        asked.append(conversation.user)
        return colour(conversation)

    planned = plan_cells(len(PROMPTS), len(EXAMPLES), count, seed=1)
    settings = AnswerSettings("generate", 9)
    how = {"planned": planned, "console": Console(quiet=True)}
    try:
        evaluate(FakeModel(answer), TASK, [make_scorer(None, TASK)], PROMPTS, EXAMPLES, folder, settings, **how)
    except KilledError:
        assert kill_after is not None
    return asked


def rows(folder):
    return parquet.read_table(folder / "predictions.parquet").to_pylist()


def test_only_planned_cells_are_asked_and_the_rest_is_not_taken_for_wrong(tmp_path):
    assert len(fill(tmp_path, 10)) == 10
    planned = plan_cells(3, 8, 10, seed=1)
    grid = read_grid(tmp_path / "predictions.parquet")
    assert (grid.answered == planned).all()
    assert (np.isnan(grid.scores) == ~planned).all()
    assert grid.example_ids == tuple(example.id for example in EXAMPLES), "also those without an answer"
    assert grid.targets == tuple(TASK.target(example) for example in EXAMPLES)
    assert grid.is_binary
    assert not grid.is_complete
    assert np.array_equal(
        read_scores(tmp_path / "predictions.parquet", PROMPTS, EXAMPLES), grid.scores, equal_nan=True
    )


@pytest.mark.medium
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(3, 24), st.integers(0, 24)), min_size=1, max_size=4))
def test_a_grid_killed_anywhere_and_continued_with_any_plan_is_that_of_one_call(tmp_path_factory, calls):
    """Calls of some sizes, each killed after some answers; then all cells."""
    folder = tmp_path_factory.mktemp("grid")
    for count, kill_after in calls:
        fill(folder, count, kill_after)
    fill(folder, 24)
    whole = tmp_path_factory.mktemp("whole")
    fill(whole, 24)
    assert rows(folder) == rows(whole)
    assert parquet.read_schema(folder / "predictions.parquet").metadata.keys() == {b"paft.seconds"}
    assert not (folder / "predictions").exists()
    assert fill(folder, 10) == []


def test_no_answered_cell_is_asked_again_by_a_larger_plan(tmp_path):
    first, second = fill(tmp_path, 6), fill(tmp_path, 24)
    assert len(set(first + second)) == len(first) + len(second) == 24


def test_a_kill_between_merging_and_cleaning_up_doubles_nothing(tmp_path):
    fill(tmp_path, 9)
    seconds, parts = seconds_of(tmp_path / "predictions.parquet"), tmp_path / "predictions"
    table = parquet.read_table(tmp_path / "predictions.parquet").replace_schema_metadata({"paft.seconds": "99"})
    parts.mkdir()
    parquet.write_table(table.slice(0, 3), parts / "0000.parquet")
    assert fill(tmp_path, 9) == []
    fill(tmp_path, 24)
    assert len(rows(tmp_path)) == len({(r["prompt_id"], r["example_id"]) for r in rows(tmp_path)}) == 24
    assert seconds < seconds_of(tmp_path / "predictions.parquet") < 50


def test_a_file_without_some_rows_of_its_grid_is_refused(tmp_path):
    fill(tmp_path, 24)
    table = parquet.read_table(tmp_path / "predictions.parquet")
    parquet.write_table(table.slice(0, 23), tmp_path / "cut.parquet")
    with pytest.raises(ValueError, match="do not form a complete grid"):
        read_grid(tmp_path / "cut.parquet")
    parquet.write_table(table.replace_schema_metadata({"paft.examples": "7"}), tmp_path / "odd.parquet")
    with pytest.raises(ValueError, match="list of examples is damaged"):
        read_grid(tmp_path / "odd.parquet")
