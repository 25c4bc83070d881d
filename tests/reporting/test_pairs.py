"""Two methods, runs or prompts are compared on what both have, by a paired test, with the examples that changed."""

import json

import numpy as np
import pytest
from pyarrow import parquet
from scipy.stats import binomtest

from command import assert_refused, paft_here
from conftest import write_rows
from made_up_runs import SKILLS, keep_cells, make_free_text_run, make_run
from paft.errors import UserError
from paft.evaluation.paired import over_examples
from paft.reporting.comparison import describe
from paft.reporting.pairs import changes, compare_sides, differences_of_all, example_keys, find_side
from paft.reporting.read import read_run


def compared(results, left, right):
    return compare_sides(find_side(left, results), find_side(right, results))


def rows(folder, method):
    found = parquet.read_table(folder / "methods" / method / "predictions.parquet").to_pylist()
    return {(r["prompt_id"], r["example_id"]): r for r in found}


def test_two_methods_are_compared_as_in_the_report(tmp_path):
    folder = make_run(tmp_path, {"base": [0.3] * 6, "paft": [0.8] * 6}, examples=40)
    run = read_run(folder)
    found = compared([run], "base", "paft")
    of_report = run.differences[0]
    assert (found.difference.difference, found.difference.interval) == (of_report.difference, of_report.interval)
    assert (found.difference.p, found.over) == (of_report.p, "prompts")
    left, right = rows(folder, "base"), rows(folder, "paft")
    lost = {e for (p, e), r in left.items() if r["score"] > right[p, e]["score"]}
    assert {int(c.question.rpartition(" ")[2]) for c in changes(found, rises=False)} == set(map(int, lost))
    most = next(changes(found, rises=True))
    example = most.question.rpartition(" ")[2]
    won = [p for (p, e), r in left.items() if e == example and r["score"] < right[p, e]["score"]]
    assert most.count == len(won)
    assert most.prompts[0] == most.prompts[1] == won[0]
    assert most.answers == tuple(of[won[0], example]["prediction"] for of in (left, right))


def test_the_interval_of_a_comparison_has_its_name(tmp_path):
    folder = make_run(tmp_path, {"base": [0.3] * 6, "paft": [0.8] * 6}, examples=40)
    assert "95 % bootstrap interval" in describe(compared([read_run(folder)], "base", "paft"))
    keep_cells(folder, "paft", 0.5, seed=0)
    assert "95 % two-way clustered interval" in describe(compared([read_run(folder)], "base", "paft"))


def test_prompts_are_matched_by_their_text_and_not_by_an_id_beside_which_it_was_edited(tmp_path):
    one, other = (make_run(tmp_path / name, {"base": [0.5] * 6}, examples=9) for name in ("one", "other"))
    texts = [json.loads(line) for line in (other / "prompts/test.jsonl").read_text().splitlines()]
    texts[0]["text"], texts[1]["id"] = "quite another text", "p9"
    write_rows(other / "prompts/test.jsonl", texts)
    path = other / "methods/base/predictions.parquet"
    table = parquet.read_table(path)
    ids = ["p9" if i == "p1" else i for i in table["prompt_id"].to_pylist()]
    parquet.write_table(table.set_column(0, "prompt_id", [ids]), path)
    results = [read_run(one), read_run(other)]
    assert compared(results, "one", "other").cells.prompts == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    keys = [example_keys(result, result.methods[0]) for result in results]
    [difference] = differences_of_all([(result, result.methods[0]) for result in results], keys).values()
    assert difference.cells == 5 * 9


def test_two_prompts_are_compared_over_examples_and_those_that_changed_are_listed(tmp_path):
    folder = make_run(tmp_path, SKILLS, examples=40)
    found = compared([read_run(folder)], "user:p1", "user:p4")
    of = rows(folder, "user")
    change = np.array([of["p4", str(e)]["score"] - of["p1", str(e)]["score"] for e in range(40)])
    won, lost = int((change > 0).sum()), int((change < 0).sum())
    assert found.difference.difference == pytest.approx(change.mean())
    assert found.difference.p == pytest.approx(binomtest(won, won + lost).pvalue)
    text = describe(found)
    assert f"## Wrong -> right: {won} examples" in text
    assert f"| user:p1 wrong | {won} |" in text
    assert "    prompt number 4 for {thing}" in text
    assert len(list(changes(found, rises=True))) == won


def test_the_interval_of_two_prompts_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for examples, lost, won in ((50, 0.05, 0.1), (200, 0.02, 0.02), (200, 0.1, 0.3)):
        held = rejected = 0
        for _ in range(200):
            draw = rng.random(examples)
            left, right = (draw < lost) | (draw > 0.6), ((draw >= lost) & (draw < lost + won)) | (draw > 0.6)
            found = over_examples("left", "right", left.astype(float), right.astype(float))
            held += found.interval.low <= won - lost <= found.interval.high
            rejected += found.p < 0.05
        assert 0.92 <= held / 200 <= 1, (examples, lost, won)
        assert lost != won or rejected / 200 <= 0.05


def renumber(folder, ids):
    """Give the examples of a run other ids, as the same rows have in another file."""
    for method in (folder / "methods").iterdir():
        path = method / "predictions.parquet"
        table = parquet.read_table(path)
        new = [ids[e] for e in table["example_id"].to_pylist()]
        parquet.write_table(table.set_column(1, "example_id", [new]), path)
    parts = [read_run(folder).examples[e] | {"id": new} for e, new in ids.items()]
    write_rows(folder / "examples.jsonl", parts)


def test_examples_are_matched_by_what_they_ask_and_only_those_in_common_count(tmp_path):
    one = make_run(tmp_path / "one", {"base": [0.5] * 6}, examples=9)
    other = make_run(tmp_path / "other", {"base": [0.5] * 6}, examples=7, prompts=6, seed=1)
    renumber(other, {str(e): str(e + 3) for e in range(7)})
    found = compared([read_run(one), read_run(other)], "one", "other")
    assert found.cells.examples == (list(range(7)), list(range(7)))
    assert "the 7 examples that both have (one 9, other 7)" in describe(found)
    (other / "examples.jsonl").unlink()
    found = compared([read_run(one), read_run(other)], "one", "other")
    assert found.cells.examples == (list(range(3, 9)), list(range(6)))
    assert "matched by their ids" in describe(found)


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path):
    make_run(tmp_path / "one", SKILLS)
    make_free_text_run(tmp_path / "graded", {"base": [0.5] * 6})
    far = make_run(tmp_path / "far", {"base": [0.5] * 6})
    renumber(far, {str(e): str(e) for e in range(9)})
    write_rows(far / "examples.jsonl", [{"id": str(e), "fields": {"thing": f"else {e}"}} for e in range(9)])

    def refused(runs, left, right, *words):
        with pytest.raises(UserError) as error:
            compared([read_run(tmp_path / name) for name in runs], left, right)
        assert all(word in str(error.value) for word in words)

    refused(["one", "graded"], "one:base", "graded", "accuracy", "f1 score")
    refused(["one"], "base:p1", "paft", "one names a prompt")
    refused(["one"], "p1", "p2", "base:p1, user:p1, paft:p1")
    refused(["one"], "pfat", "base", "did you mean 'paft'?")
    refused(["one", "far"], "base", "one:user", "one:base, far")
    done = paft_here("report", "one", "far", "--compare", "one:base", "far", cwd=tmp_path)
    assert_refused(done, "no test example in common")


def test_graded_answers_are_compared_by_their_scores(tmp_path):
    folder = make_free_text_run(tmp_path, {"base": [0.2] * 6, "paft": [0.7] * 6}, examples=30)
    text = describe(compared([read_run(folder)], "base:p1", "paft:p1"))
    assert "## Higher score: " in text
    assert "right |" not in text
    with pytest.raises(UserError, match="no run, method or prompt"):
        find_side("base:p1:x", [read_run(folder)])
