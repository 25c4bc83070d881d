"""What the report says of the prompts as a sample of all prompts: in report.json, the sentence and the second table."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from made_up_runs import LABELS, SKILLS, make_free_text_run, make_run
from paft.evaluation.predictions import SCHEMA
from paft.reporting.multi_run import compare
from paft.reporting.predictions import read_grid
from paft.reporting.read import read_run
from paft.reporting.report import as_json, as_markdown, write_report
from paft.reporting.sentences import sentence

FIGURES = ("std_noise_free", "quantile_05", "worst_of_20", "consistency")


@pytest.mark.parametrize("first", [False, True])
def test_every_figure_is_in_the_report_with_an_interval_also_of_a_run_of_the_first_version(tmp_path, first):
    result = read_run(make_run(tmp_path, SKILLS, outputs=True, first=first, examples=30))
    for method in as_json(result)["methods"].values():
        for key in FIGURES:
            low, high = method[f"{key}_interval"]
            assert 0 <= low <= method[key] <= high <= 1
        assert method["std_noise_free"] < method["std"]
        assert method["worst"] <= method["worst_of_20"] <= method["mean"]
        assert set(method["per_label"]) == set(LABELS)
        assert method["balanced_accuracy"] == pytest.approx(sum(method["per_label"].values()) / len(LABELS))


def test_the_sentence_gives_the_mean_and_the_5_percent_quantile_of_each_method_by_its_name(tmp_path):
    result = read_run(make_run(tmp_path, SKILLS, examples=30))
    found = as_json(result)["methods"]["paft"]
    mean, quantile = (f"{100 * found[key]:.0f}" for key in ("mean", "quantile_05"))
    text = f"Accuracy on 6 unseen prompts: paft {mean}% on average, one prompt in 20 below {quantile}%; "
    assert sentence(result).startswith(text)
    assert "; base (the base model) " in sentence(result), "the table calls it base"
    assert text in as_markdown(result)


def test_the_sentence_gives_an_interval_where_the_prompts_may_not_differ(tmp_path):
    result = read_run(make_run(tmp_path / "a", {"paft": [0.3, 0.5, 0.5, 0.5, 0.6, 0.6]}, examples=30))
    found = as_json(result)["methods"]["paft"]
    assert found["std_noise_free_interval"][0] == 0
    low, up = (f"{100 * value:.0f}" for value in found["quantile_05_interval"])
    text = f"% on average, one prompt in 20 below {100 * found['quantile_05']:.0f}% [{low}, {up}]"
    assert text in sentence(result)


def test_the_sentence_does_not_set_a_quantile_beside_an_equal_mean(tmp_path):
    result = read_run(make_run(tmp_path / "a", {"paft": [0.5] * 6}, examples=30))
    found = as_json(result)["methods"]["paft"]
    assert found["quantile_05"] == found["mean"]
    low = f"{100 * found['quantile_05_interval'][0]:.0f}"
    assert f"{100 * found['mean']:.0f}% on average, one prompt in 20 may be below {low}%." in sentence(result)
    same = read_run(make_run(tmp_path / "same", {"paft": [1] * 6}, examples=30))
    assert sentence(same).endswith("100% on average, one prompt in 20 may be below 89%.")


def test_the_second_table_is_in_the_report_the_page_and_the_comparison(tmp_path):
    folders = [make_run(tmp_path / name, SKILLS, examples=30) for name in ("a", "b")]
    runs = [write_report(folders[0]), read_run(folders[1])]
    header = "| Method | Noise-free Std | 5% quantile | Worst of 20 | Same answer |"
    assert header in (tmp_path / "a/report.md").read_text()
    page = (tmp_path / "a/report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert all(f'<th scope="col">{name}</th>' in page for name in header.strip("| ").split(" | ")[1:])
    assert header.replace("| ", "| Run | ", 1) in compare(runs)


def test_a_single_prompt_has_no_second_table(tmp_path):
    write_report(make_free_text_run(tmp_path, {"base": [0.5]}, prompts=1))
    found = json.loads((tmp_path / "report.json").read_text())["methods"]["base"]
    assert [found[key] for key in FIGURES] == [None] * 4
    assert "Noise-free" not in (tmp_path / "report.md").read_text() + (tmp_path / "report.html").read_text()


def test_free_text_answers_are_the_same_if_they_differ_in_the_space_around_them_only(tmp_path):
    answers = [["Paris", "in Lagos", None], [" Paris\n", "Lagos", None]]
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {
            "prompt_id": f"p{p}",
            "example_id": str(e),
            "prediction": answers[p][e],
            "target": "Paris",
            "score": 0.5,
        }
        for p in range(2)
        for e in range(3)
    ]
    parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "predictions.parquet")
    first, second = read_grid(tmp_path / "predictions.parquet").answers
    assert (first == second).tolist() == [True, False, True]
    assert (first == -1).tolist() == [False, False, True]


def test_where_a_label_is_frequent_the_report_and_the_page_show_the_accuracy_on_each_label(tmp_path):
    folder = make_run(tmp_path, {"base": [1.0, 0.5]}, prompts=2, examples=9)
    file = folder / "methods/base/predictions.parquet"
    rows = parquet.read_table(file).to_pylist()
    for row in rows:
        rare = row["example_id"] == "0"
        row |= {"target": "green" if rare else "red", "score": float(not rare)}
    parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), file)
    write_report(folder)
    found = json.loads((folder / "report.json").read_text())["methods"]["base"]
    assert (found["per_label"], found["balanced_accuracy"]) == ({"green": 0, "red": 1}, 0.5)
    for name in ("report.md", "report.html"):
        assert "Accuracy by label, in %: base green 0.0, red 100.0." in (folder / name).read_text()
