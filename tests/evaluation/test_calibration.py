"""Batch Calibration on likelihoods."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyarrow import parquet

from paft.errors import UserError
from paft.evaluation.calibration import Offsets, calibrated, consensus, normalised, offsets
from paft.evaluation.option_effects import OptionScores
from paft.evaluation.predictions import SCHEMA
from paft.reporting.options import calibrated_scores, option_scores
from paft.reporting.predictions import read_grid

LOGS = st.floats(-30, 0)


@given(arrays.arrays(float, (3, 5, 4), elements=LOGS))
def test_after_calibration_no_option_is_preferred_on_average(scores):
    assert np.allclose(calibrated(scores, "batch").mean(axis=1), 0, atol=1e-9)


@given(arrays.arrays(float, (3, 5, 4), elements=LOGS))
def test_after_calibration_to_the_consensus_a_prompt_prefers_each_option_as_the_others_do(scores):
    means, before = calibrated(scores, "consensus").mean(axis=1), normalised(scores).mean(axis=1)
    for prompt in range(3):
        assert np.allclose(means[prompt], np.delete(before, prompt, axis=0).mean(axis=0), atol=1e-9)


@given(arrays.arrays(float, (1, 6, 3), elements=LOGS), st.integers(2, 4))
def test_prompts_that_agree_are_left_as_they_are_however_skewed_their_labels(scores, prompts):
    same = np.repeat(scores, prompts, axis=0)
    assert np.allclose(calibrated(same, "consensus"), normalised(same), atol=1e-9)


def test_the_consensus_of_a_part_of_the_cells_takes_each_example_against_its_own_average():
    """Two prompts prefer the same, but have answered examples of which one is far easier."""
    scores = np.log([[[0.9, 0.1], [0.4, 0.6], [np.nan] * 2], [[np.nan] * 2, [0.4, 0.6], [0.2, 0.8]]])
    assert np.allclose(offsets(scores, consensus(scores)), 0)
    assert np.isnan(offsets(scores[:, [0, 2]], consensus(scores[:, [0, 2]]))).all(), (
        "no other prompt answered them"
    )


@pytest.mark.parametrize("kind", ["batch", "consensus"])
def test_an_option_that_a_server_did_not_list_is_not_chosen_and_shifts_no_other_answer(kind):
    """Letters outside the 20 likeliest tokens have a log-likelihood of minus infinity."""
    scores = np.log(np.random.default_rng(0).dirichlet([2, 2, 2, 1], size=(3, 20)))
    scores[0, 0, 3] = -np.inf
    values = calibrated(scores, kind)
    assert values[0, 0, 3] == -np.inf
    assert np.isfinite(values).all(axis=-1).sum() == 3 * 20 - 1
    assert np.allclose(values[0, 1:], calibrated(scores[:, 1:], kind)[0], atol=1e-9)


def test_a_prompt_with_too_few_complete_answers_has_no_calibrated_scores():
    scores = np.log(np.random.default_rng(0).dirichlet([2, 2, 1], size=(2, 20)))
    scores[0, 3:, 2] = -np.inf
    options = OptionScores(scores, np.eye(3)[np.zeros(20, int)].astype(bool))
    answered = np.full((2, 20), True)
    assert calibrated_scores(options, answered, "batch") is None
    options.likelihoods[0, 3:, 2] = -9
    assert calibrated_scores(options, answered, "batch").shape == (2, 20)
    single = np.eye(2, 20, dtype=bool)  # each prompt has an example of its own
    options.likelihoods[~single] = np.nan
    assert calibrated_scores(options, single, "consensus") is None


@given(arrays.arrays(float, (2, 6, 3), elements=LOGS), arrays.arrays(float, (2, 1, 3), elements=st.floats(-9, 9)))
def test_a_preference_that_a_prompt_brings_changes_no_calibrated_difference(scores, preference):
    """Batch Calibration takes out whatever is added to an option under all examples of one prompt, up to normalisation."""
    before, after = calibrated(scores, "batch"), calibrated(scores + preference, "batch")
    assert np.allclose(np.diff(before, axis=-1), np.diff(after, axis=-1), atol=1e-6)


@given(arrays.arrays(float, (4, 3), elements=LOGS))
def test_normalised_log_likelihoods_are_probabilities(scores):
    assert np.allclose(np.exp(normalised(scores)).sum(axis=-1), 1)


def test_an_example_without_an_answer_is_left_out_of_the_offsets():
    scores = np.log([[0.7, 0.3], [np.nan, np.nan], [0.5, 0.5]])
    assert np.allclose(offsets(scores), np.log([0.7, 0.3]) / 2 + np.log(0.5) / 2)
    assert Offsets.measure(["a", "b"], scores).examples == 2
    with pytest.raises(UserError, match="no example has the log-prob"):
        Offsets.measure(["a", "b"], scores[1:2])


@pytest.mark.parametrize(("are_options", "right"), [(False, 1.0), (True, 0.0)])
def test_a_letter_that_is_also_the_text_of_another_option_is_read_as_the_run_says(tmp_path, are_options, right):
    """Blood groups: the letter B stands for the second option, O; the fourth is the text B."""
    row = {"prompt_id": "p", "prediction": "B", "target": "B", "score": 1.0, "generated_tokens": 0}
    rows = [row | {"example_id": str(i), "scores": [i == 0, 9.0 * (i == 1), 0.0, -9.0]} for i in range(2)]
    parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "p.parquet")
    examples = {"0": {"options": ["A", "AB", "O", "B"]}, "1": {"options": ["A", "O", "AB", "B"]}}
    grid = read_grid(tmp_path / "p.parquet")
    scores = calibrated_scores(option_scores(grid, examples, are_options), grid.answered, "batch")
    assert scores[0, 1] == right


def test_offsets_choose_as_the_calibrated_grid_does_and_refuse_other_answers(tmp_path):
    scores = np.log(np.random.default_rng(0).dirichlet([5, 1, 1], size=40))
    measured = Offsets.measure(["x", "y", "z"], scores)
    grid = calibrated(scores[None], "batch")[0].argmax(axis=-1)
    chosen = [measured.best(dict(zip("xyz", row, strict=True))) for row in scores]
    assert chosen == ["xyz"[i] for i in grid]
    assert len(set(chosen)) > len(set(scores.argmax(axis=-1))) - 1
    with pytest.raises(UserError, match="'w' is only in one"):
        measured.best({"x": 0.0, "y": 0.0, "z": 0.0, "w": 0.0})
    assert measured.warning() is None
    assert "standard error of up to" in Offsets.measure(["x", "y", "z"], scores[:4]).warning()
    (tmp_path / "o.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(UserError, match="not a file of"):
        Offsets.read(tmp_path / "o.json")
