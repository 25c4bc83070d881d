"""Several models on several tasks make a matrix: of what all runs of a task have, and it says what was left out."""

import json
import os

import numpy as np
import pytest
import yaml
from pyarrow import parquet

from made_up_runs import SKILLS, make_run
from paft.errors import UserError
from paft.evaluation.metrics import summarise
from paft.reporting.matrix import matrix_of
from paft.reporting.multi_run import compare, read_all, write_all
from paft.reporting.page import render
from paft.reporting.read import read_run
from paft.utils.io import write_text


def make(folder, model, task, skills=SKILLS, **more):
    make_run(folder, skills, **more)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"]["path"], config["task"]["name"] = f"hub/{model}", task
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    return folder


def scores(folder, method, prompts, examples):
    rows = parquet.read_table(folder / "methods" / method / "predictions.parquet").to_pylist()
    of = {(r["prompt_id"], r["example_id"]): r["score"] for r in rows}
    return np.array([[of[f"p{p}", str(e)] for e in range(examples)] for p in range(prompts)])


def test_a_matrix_has_the_figures_of_every_run_and_says_nothing_where_there_is_none(tmp_path):
    folders = [
        make(tmp_path / "a-x", "a", "x"), make(tmp_path / "a-y", "a", "y"), make(tmp_path / "b-x", "b", "x", seed=0),
    ]  # fmt: skip
    results, _ = read_all(folders)
    matrix = matrix_of(results)
    assert matrix.columns == ["x", "y"]
    assert matrix.rows == [f"{model}, {method}" for model in "ab" for method in SKILLS]
    assert matrix.notes == []
    text = compare(results)
    mean = results[1].methods[2].summary
    shown = f"{mean.mean * 100:.1f} [{mean.mean_interval.low * 100:.1f}, {mean.mean_interval.high * 100:.1f}]"
    assert f"| a, paft | {shown} | {shown} |" in text, "the same made-up answers in both tasks"
    assert f"| b, paft | {shown} |  |" in text, "and in both models; b was not run on y"
    assert "% intervals:\n\n| Model, method | x | y |" in text
    assert matrix_of(results[:1]) is None


def test_tables_of_one_model_and_task_say_where_runs_have_other_questions(tmp_path):
    whole = make_run(tmp_path / "whole", SKILLS, prompts=6, examples=40)
    part = make_run(tmp_path / "part", {"base": [0.4] * 6}, prompts=6, examples=30)
    again = make_run(tmp_path / "again", {"base": [0.5] * 6}, prompts=6, examples=30)
    note = "the runs have different prompts or examples (prompts x examples: whole 6 x 40, part 6 x 30)"
    results, _ = read_all([whole, part])
    assert note in compare(results)
    assert note in render(results)
    write_all(results, [], tmp_path / "c.html")
    assert note in " ".join(json.loads((tmp_path / "c.json").read_text())["notes"])
    assert "the runs have" not in compare(read_all([part, again])[0])


def test_questions_in_another_order_are_the_same_questions(tmp_path):
    one, other = (
        make_run(tmp_path / name, {"base": [0.4] * 6}, prompts=6, examples=9) for name in ("one", "other")
    )
    path = other / "methods/base/predictions.parquet"
    table = parquet.read_table(path)
    backwards = sorted(range(len(table)), key=lambda row: (-(row // 9), row % 9))
    parquet.write_table(table.take(backwards), path)
    results, _ = read_all([one, other])
    assert "different prompts" not in compare(results)


def test_runs_of_other_prompts_and_examples_are_compared_on_what_all_have_and_marked(tmp_path):
    large = make(tmp_path / "large", "a", "x", prompts=6, examples=40)
    small = make(tmp_path / "small", "b", "x", {"base": [0.4] * 4}, prompts=4, examples=30)
    results, _ = read_all([large, small])
    matrix = matrix_of(results)
    [entry] = matrix.entries["a, paft", "x"]
    expected = summarise(scores(large, "paft", 4, 30), 0.5, is_binary=True)
    assert (entry.summary.mean, entry.summary.quantile_05) == (expected.mean, expected.quantile_05)
    assert (entry.is_part, matrix.entries["b, base", "x"][0].is_part) == (True, False)
    (note,) = matrix.notes
    assert "large 6 x 40, small 4 x 30" in note
    assert "on the 4 prompts x 30 examples that all have" in note
    assert f"| a, paft | {expected.mean * 100:.1f}* [" in compare(results)


def test_runs_with_nothing_in_common_are_shown_and_said_to_be_incomparable(tmp_path):
    results, _ = read_all([make(tmp_path / "one", "a", "x"), make(tmp_path / "two", "b", "x")])
    rows = [row | {"fields": {"thing": f"else {row['id']}"}} for row in results[1].examples.values()]
    write_text(tmp_path / "two/examples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    results, _ = read_all([tmp_path / "one", tmp_path / "two"])
    text = compare(results)
    assert "x: not to be compared, for the runs have no test example in common (one 6 x 9, two 6 x 9)." in text
    assert "*" not in text


def test_runs_with_little_in_common_keep_figures_of_their_own(tmp_path):
    folders = [make(tmp_path / name, name, "x") for name in ("one", "two")]
    rows = read_all(folders)[0][1].examples.values()
    rows = [row | {"fields": {"thing": f"{row['fields']} {i}"}} if i > 2 else row for i, row in enumerate(rows)]
    write_text(tmp_path / "two/examples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    results, _ = read_all(folders)
    text = compare(results)
    assert "the 6 prompts x 3 examples that all have are too few to compare them on" in text
    assert "*" not in text


def test_runs_that_differ_only_in_the_seed_share_a_cell_that_has_their_mean_and_spread(tmp_path):
    """Each seed has its own examples, and both models those of the seed: nothing is missing and nothing is said of it."""
    skills = {"a": {"paft": [0.5] * 6}, "b": {"paft": [0.8] * 6}}
    folders = [
        make(tmp_path / f"{model}-{seed}", model, "x", skills[model], seed=seed)
        for model in "ab"
        for seed in (0, 1, 2)
    ]
    for folder in folders:
        rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
        rows = [row | {"fields": {"thing": f"{folder.name[-1]} {row['id']}"}} for row in rows]
        write_text(folder / "examples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    results, _ = read_all(folders)
    matrix = matrix_of(results)
    assert matrix.rows == ["a, paft", "b, paft"]
    assert [entry.result.seed for entry in matrix.entries["b, paft", "x"]] == [0, 1, 2]
    values = [100 * result.methods[0].summary.quantile_05 for result in results[3:]]
    shown = f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"
    assert f"| b, paft | {shown} |" in compare(results)
    assert matrix.notes == ["x: mean of 3 runs that differ only in the seed, ± their sample standard deviation."]
    of_json = json.loads((write_all(results, []).parent / "comparison.json").read_text())["matrix"]
    assert [(e["row"], e["run"]) for e in of_json] == [(f"{f.name[0]}, paft", f.name) for f in folders]
    (note,) = matrix_of([*results[:3], results[3]]).notes[1:]
    assert "not to be compared, for the runs have no test example in common" in note, "b has the first seed only"


def test_runs_in_one_cell_that_differ_in_more_than_the_seed_have_a_row_each(tmp_path):
    def rows(*runs):
        folders = [
            make(tmp_path / f"{len(runs)}-{i}", "a", task, {"paft": [0.5] * 6}, seed=seed)
            for i, (task, seed, _) in enumerate(runs)
        ]
        for folder, (_, _, epochs) in zip(folders, runs, strict=True):
            config = yaml.safe_load((folder / "config.yaml").read_text())
            config["training"]["epochs"] = epochs
            write_text(folder / "config.yaml", yaml.safe_dump(config))
        return matrix_of(read_all(folders)[0]).rows

    assert rows(("x", 0, 2), ("y", 1, 2)) == ["a, paft"]
    assert rows(("x", 0, 2), ("x", 1, 3), ("y", 1, 2)) == ["a, paft, seed 0", "a, paft, seed 1"]
    assert rows(("x", 0, 2), ("x", 0, 2), ("y", 1, 2), ("y", 1, 3)) == [
        "a, paft",
        "a, paft (4-1)",
        "a, paft (4-3)",
    ]


def test_a_comparison_is_written_as_page_markdown_and_json(tmp_path):
    folders = [make(tmp_path / name, name, "x") for name in "ab"]
    results, errors = read_all([*folders, tmp_path / "nowhere"])
    page = write_all(results, errors)
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert found["runs"] == {"a": str(folders[0]), "b": str(folders[1])}
    entry = next(e for e in found["matrix"] if (e["run"], e["method"]) == ("b", "paft"))
    summary = results[1].methods[2].summary
    assert (entry["mean"], entry["quantile_05"]) == (summary.mean, summary.quantile_05)
    assert entry["mean_interval"] == [summary.mean_interval.low, summary.mean_interval.high]
    for text in (page.read_text(), (tmp_path / "comparison.md").read_text()):
        assert "b, paft" in text
        assert f"{summary.mean * 100:.1f}" in text
    write_all(results, errors)
    (tmp_path / "comparison.md").write_text("my notes")
    with pytest.raises(UserError, match=r"comparison\.md: this file exists and is not a paft report"):
        write_all(results, errors)


def test_the_reports_of_the_runs_are_written_where_they_are_missing_or_older_than_the_predictions(
    tmp_path, monkeypatch
):
    folders = [make(tmp_path / name, name, "x") for name in "abc"]
    for folder in folders[1:]:
        (folder / "report.html").write_text("")
    os.utime(folders[1] / "methods/base/predictions.parquet", (2**31, 2**31))
    written = []
    monkeypatch.setattr("paft.reporting.multi_run.write_result", lambda result: written.append(result.path))
    write_all(*read_all(folders))
    assert written == folders[:2]


def test_the_page_of_a_matrix_links_to_each_run(tmp_path):
    results = [read_run(make(tmp_path / name, name, "x")) for name in "ab"]
    assert render(results).count('href="') >= 2
