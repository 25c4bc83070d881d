"""The grid: every cell once, unparsed apart from wrong, finished prompts kept; the figures made of it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from conftest import write_rows
from endpoints import Server, answer
from paft.evaluation.grid import evaluate
from paft.evaluation.metrics import std_interval, summarise
from paft.evaluation.predictions import seconds_of
from paft.models.endpoint import Endpoint
from paft.models.endpoint_model import EndpointModel
from paft.models.fake import FakeModel
from paft.models.response_cache import read_answers
from paft.reporting.predictions import read_grid
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import AnswerSettings, Conversation, Example, Generation, Prompt, Score
from paft.utils.console import Console
from paft.utils.io import read_log

LABELS = ("red", "green", "blue")
TASK = Task("colours", ("thing",), LABELS, "label", 0.85, 3)
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, LABELS, i % 3) for i in range(6)]
PROMPTS = [Prompt("one {thing}"), Prompt("two {thing}"), Prompt("three {thing}")]
QUIET = Console(quiet=True)


def right(conversation) -> str:
    return LABELS[int(conversation.user.split()[-1]) % 3]


def fill(model, folder, prompts=PROMPTS, mode="likelihood", task=TASK, max_new_tokens=9, scorer=None):
    evaluate(
        model, task, [scorer or make_scorer(None, task)], prompts, EXAMPLES, folder, AnswerSettings(mode, max_new_tokens), console=QUIET
    )  # fmt: skip
    return parquet.read_table(folder / "predictions.parquet").to_pylist()


@pytest.mark.parametrize("mode", ["likelihood", "generate"])
def test_every_prompt_meets_every_example_once_in_order(tmp_path, mode):
    rows = fill(FakeModel(right), tmp_path, mode=mode)
    assert [(r["prompt_id"], r["example_id"]) for r in rows] == [(p.id, e.id) for p in PROMPTS for e in EXAMPLES]
    assert all(r["correct"] and r["prediction"] == r["target"] for r in rows)
    assert all((r["scores"] is None) == (mode == "generate") for r in rows)
    assert {r["generated_tokens"] for r in rows} == ({2} if mode == "generate" else {0})
    assert {r["finish"] for r in rows} == ({"stop"} if mode == "generate" else {None})
    assert {r["score"] for r in rows} == {1}


def test_an_answer_that_cannot_be_read_is_null_and_not_wrong(tmp_path):
    rows = fill(FakeModel(lambda c: "perhaps" if "two" in c.user else right(c)), tmp_path, mode="generate")
    unread = [r for r in rows if r["prompt_id"] == PROMPTS[1].id]
    assert all(r["correct"] is None and r["prediction"] is None and r["output"] == "perhaps" for r in unread)
    assert {r["score"] for r in unread} == {0}
    grid = read_grid(tmp_path / "predictions.parquet")
    assert grid.unparsed.sum(axis=1).tolist() == [0, 6, 0]
    assert list(grid.prompt_ids) == [p.id for p in PROMPTS]
    assert grid.right.mean(axis=1).tolist() == [1, 0, 1]


def test_of_two_options_with_one_text_either_is_right(tmp_path):
    twins = [Example("0", {"thing": "thing 0"}, ("red", "red", "blue"), 1)]
    task = replace(TASK, labels=None)
    evaluate(
        FakeModel(lambda c: "red"), task, [make_scorer(None, task)], PROMPTS, twins, tmp_path, AnswerSettings("likelihood", 9), console=QUIET
    )  # fmt: skip
    assert all(row["correct"] for row in parquet.read_table(tmp_path / "predictions.parquet").to_pylist())


def test_options_that_are_all_equally_likely_give_no_answer(tmp_path):
    class Undecided(FakeModel):
        def score(self, conversations, options):
            yield from ([[-1.5] * len(own)] for own in options)

    rows = fill(Undecided(right), tmp_path)
    assert {(row["prediction"], row["score"], row["correct"]) for row in rows} == {(None, 0, None)}


def test_a_letter_task_is_answered_by_letter(tmp_path):
    task = Task("colours", ("thing",), LABELS, "letter", 0.85, 3)
    rows = fill(FakeModel(lambda c: "The answer is B."), tmp_path, mode="generate", task=task)
    assert {r["prediction"] for r in rows} == {"B"}
    assert {r["target"] for r in rows} == {"A", "B", "C"}


def test_an_answer_that_hit_the_limit_is_marked(tmp_path):
    rows = fill(FakeModel(lambda c: f"{right(c)} and more words"), tmp_path, mode="generate", max_new_tokens=2)
    assert {r["finish"] for r in rows} == {"length"}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "refused"), ("tool_calls", None), (None, None)],
)
def test_why_an_endpoint_stopped_is_kept(tmp_path, reason, finish):
    reply = answer("red")
    reply["choices"][0]["finish_reason"] = reason
    server = Server((200, reply, {}))
    model = EndpointModel(Endpoint("m", server.url, retries=0), tmp_path / "answers.jsonl")
    rows = fill(model, tmp_path, prompts=PROMPTS[:1], mode="generate")
    server.shutdown()
    assert {r["finish"] for r in rows} == {finish}
    for row in (written := read_log(tmp_path / "answers.jsonl")):
        del row["finish"]
    write_rows(tmp_path / "answers.jsonl", written)  # as it was written before the reason was kept
    assert {a.finish for a in read_answers(tmp_path / "answers.jsonl").values()} == {None}


class Share:
    """Half of the points for any colour."""

    name, is_binary = "share", False

    def score(self, output, example):
        if output not in LABELS:
            return Score(0.0, None)
        return Score(1.0 if output == LABELS[example.target] else 0.5, output)


def test_a_graded_score_is_kept_and_is_neither_right_nor_wrong(tmp_path):
    model = FakeModel(lambda c: {"one": "red", "two": "what?"}.get(c.user.split()[0]) or right(c))
    rows = fill(model, tmp_path, mode="generate", scorer=Share())
    assert [r["score"] for r in rows] == [1, 0.5, 0.5, 1, 0.5, 0.5, *[0] * 6, *[1] * 6]
    assert all(r["correct"] is None for r in rows)
    grid = read_grid(tmp_path / "predictions.parquet")
    assert grid.unparsed.sum(axis=1).tolist() == [0, 6, 0]
    assert grid.scores.mean(axis=1) == pytest.approx([4 / 6, 0, 1])
    assert grid.right.sum(axis=1).tolist() == [2, 0, 6]
    found = summarise(grid.scores, 0.6, is_binary=False)
    assert found.per_prompt == pytest.approx((4 / 6, 0, 1))
    assert (found.top, found.right_under_all) == (pytest.approx(2 / 3), 0)
    assert found.disagreement == pytest.approx((4 / 6 + 2 / 6 + 1) / 3)


def test_answers_that_are_equal_to_the_scorer_are_the_same_answer(tmp_path):
    written = {"one": "The cat.", "two": "cat", "three": "**Cat**"}
    model = FakeModel(lambda c: written[c.user.split()[0]])
    rows = fill(model, tmp_path, mode="generate", scorer=make_scorer("exact", TASK))
    assert {(row["prediction"], row["comparison_key"]) for row in rows} == {
        ("The cat.", "cat"),
        ("cat", None),
        ("**Cat**", "cat"),
    }
    assert len(set(read_grid(tmp_path / "predictions.parquet").answers.ravel())) == 1


def test_a_finished_grid_of_an_older_version_is_completed(tmp_path):
    fill(FakeModel(right), tmp_path, PROMPTS[:1])
    file = tmp_path / "predictions.parquet"
    table = parquet.read_table(file)
    parquet.write_table(table.drop_columns(["comparison_key"]), file)
    assert len(fill(FakeModel(right), tmp_path)) == len(PROMPTS) * len(EXAMPLES)


def test_with_likelihoods_no_scorer_is_asked(tmp_path):
    rows = fill(FakeModel(right), tmp_path, scorer=None)
    assert fill(FakeModel(right), tmp_path / "graded", scorer=Share()) == rows


def test_finished_prompts_are_kept_when_the_work_is_broken_off(tmp_path):
    class KilledError(Exception):
        pass

    def dying(conversation):
        if conversation.user == "three thing 4":
            raise KilledError
        return right(conversation)

    with pytest.raises(KilledError):
        fill(FakeModel(dying), tmp_path)
    assert len(list((tmp_path / "predictions").glob("*.parquet"))) == 2
    (tmp_path / "predictions" / "0001.parquet").write_bytes(b"PAR1 torn")
    model = FakeModel(right)
    rows = fill(model, tmp_path)
    assert len(rows) == 18
    assert {c.user.split()[0] for c in model.asked} == {"two", "three"}
    assert not (tmp_path / "predictions").exists()
    assert seconds_of(tmp_path / "predictions.parquet") > 0


def test_a_finished_grid_is_not_filled_again(tmp_path):
    fill(FakeModel(right), tmp_path)
    model = FakeModel(right)
    fill(model, tmp_path)
    assert model.asked == []


GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 999)).map(
    lambda size: (np.random.default_rng(size[2]).random(size[:2]) < 0.7).astype(np.int8)
)


@given(GRIDS, st.floats(0, 1))
def test_figures_are_those_of_the_definition(grid, top):
    found = summarise(grid, top, is_binary=True)
    accuracy = [sum(row) / len(row) for row in grid.tolist()]
    assert found.per_prompt == pytest.approx(accuracy)
    assert found.mean == pytest.approx(sum(accuracy) / len(accuracy))
    if len(accuracy) > 1:
        spread = sum((a - found.mean) ** 2 for a in accuracy) / (len(accuracy) - 1)
        assert found.std == pytest.approx(spread**0.5, abs=1e-9)
    assert (found.worst, found.best) == (min(accuracy), max(accuracy))
    assert found.top == pytest.approx(sum(a >= top - 1e-12 for a in accuracy) / len(accuracy))
    assert found.right_under_all == pytest.approx(sum(all(column) for column in grid.T.tolist()) / grid.shape[1])
    pairs = list(itertools.combinations(grid, 2))
    expected = sum((a != b).mean() for a, b in pairs) / len(pairs) if pairs else None
    assert found.disagreement == pytest.approx(expected)
    intervals = [(found.top, found.top_interval), (found.right_under_all, found.right_under_all_interval)]
    for value, interval in [*intervals, (found.std, found.std_interval)] if found.std else intervals:
        assert interval.low - 1e-9 <= value <= interval.high + 1e-9


@pytest.mark.medium
def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Grids drawn from prompts and examples of known difficulty; 95 % intervals, 120 of them."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(120):
        prompt, example = rng.normal(0, 0.7, 25)[:, None], rng.normal(0, 1.0, 80)[None]
        grid = (rng.random((25, 80)) < 1 / (1 + np.exp(-(1 + prompt + example)))).astype(np.int8)
        interval = summarise(grid, 0.85, is_binary=True).mean_interval
        covered += interval.low <= 0.6960 <= interval.high
    assert covered / 120 > 0.9  # two-way resampling is a little wide, never narrow


@pytest.mark.parametrize("prompts", [5, 20])
def test_the_interval_of_std_covers_the_truth_about_as_often_as_it_says(prompts):
    """Prompts of skewed difficulty on the same examples, 400 grids; the truth from 20,000 prompts."""
    rng = np.random.default_rng(3)
    example = rng.normal(0, 1.0, 60)[None]

    def drawn(count):
        chance = 1 / (1 + np.exp(-(0.5 - rng.exponential(0.8, count)[:, None] + example)))
        return (rng.random(chance.shape) < chance).astype(np.int8)

    truth = drawn(20_000).mean(axis=1).std()
    intervals = [std_interval(drawn(prompts).mean(axis=1)) for _ in range(400)]
    covered = sum(one.low <= truth <= one.high for one in intervals)
    assert 0.9 < covered / 400 < 0.99


def test_intervals_do_not_change_from_one_report_to_the_next():
    grid = np.random.default_rng(0).integers(0, 2, (7, 30))
    assert summarise(grid, 0.5, is_binary=True) == summarise(grid, 0.5, is_binary=True)
    assert (
        summarise(grid, 0.5, is_binary=True).mean_interval.low
        < grid.mean()
        < summarise(grid, 0.5, is_binary=True).mean_interval.high
    )


class RunOn(FakeModel):
    """Answers, then goes on with a prompt of its own in the form of the one that it was given."""

    def generate(self, conversations, max_new_tokens, stop=()):
        for conversation in conversations:
            colour = right(Conversation(conversation.user.removesuffix("\nColour:")))
            yield [Generation(f"{colour}\nThing: another\nColour: blue", 9, "length")]


def test_what_a_base_model_writes_after_its_answer_is_not_judged_but_kept(tmp_path):
    prompts = [Prompt("Thing: {thing}\nColour:")]
    rows = fill(RunOn(right), tmp_path, prompts, mode="generate", scorer=make_scorer("exact", TASK))
    assert {row["score"] for row in rows} == {1.0}
    assert all("Thing: another" in row["output"] for row in rows)


class Verbatim(FakeModel):
    """Writes the same text to every question, line ends included."""

    def generate(self, conversations, max_new_tokens, stop=()):
        for conversation in conversations:
            yield [Generation(self.answer(conversation), 9, "stop")]


@pytest.mark.parametrize(
    ("prompt", "output", "answer_format"),
    [
        ("Thing: {thing}\nA) {A}\nB) {B}\nC) {C}\nColour:", "The colour is:\nB) green", "letter"),
        (
            "Reply as\nReason: a sentence\nColour: a word\n\nThing: {thing}",
            "Reason: grass\nColour: green",
            "label",
        ),
        ("{thing}\nColour: {choices}", "It is grass.\nColour: green", "label"),
    ],
)
def test_an_answer_in_the_form_of_the_prompts_own_options_or_instructions_is_read(
    tmp_path, prompt, output, answer_format
):
    task = Task("colours", ("thing",), LABELS, answer_format, 0.85, 3)
    rows = fill(Verbatim(lambda c: output), tmp_path, [Prompt(prompt)], mode="generate", task=task)
    assert {row["prediction"] for row in rows} == {"B" if answer_format == "letter" else "green"}
