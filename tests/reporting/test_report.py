"""The report shows what is there, names what is missing, and takes every text as text."""

import json

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from conftest import write_rows
from made_up_runs import SKILLS, make_free_text_run
from made_up_runs import make_run as make_choice_run
from paft.errors import UserError
from paft.evaluation.grid import evaluate
from paft.models.fake import FakeModel
from paft.reporting.formatting import MISSING
from paft.reporting.multi_run import compare
from paft.reporting.read import read_run
from paft.reporting.report import as_json, as_markdown, write_report
from paft.reporting.sentences import baselines, by_label, sentence
from paft.reporting.tables import columns
from paft.reporting.terminal import show
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import AnswerSettings, Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_text

SCORES = {"base": [0.2, 0.3, 0.3, 0.3, 0.4, 0.4], "paft": [0.7] * 6}
TASK = Task("colours", ("thing",), ("red", "green"), "label", 0.5, 2)
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, ("red", "green"), i % 2) for i in range(8)]
PROMPTS = [
    Prompt("plain {thing}"),
    Prompt("<script>alert(1)</script> | {thing}\nsecond line", system="Be | brief"),
]
LOG = [{"step": i, "loss": 1.0, "seconds": 2.0, "examples": 4, "prepare_seconds": 0.01} for i in range(1, 4)]


def make_run(
    path, skill=(1.0, 0.5), methods=("base", "paft"), finished=("base", "paft"), seed=0, prompts=PROMPTS, examples=EXAMPLES, always=None
):  # fmt: skip
    """Write a run directory: share of right answers under each prompt, or one answer to every question."""
    config = {
        "model": {"path": "fake"}, "task": {"name": "colours"}, "methods": list(methods), "seed": seed,
        "evaluation": {"mode": "generate"},
        "run": {"top": 0.5, "chance": 0.5, "digest": "d", "paft": "0", "versions": {"torch": "1"}, "labels": ["red", "green"]},
    }  # fmt: skip
    write_text(path / "config.yaml", yaml.safe_dump(config))
    write_rows(path / "prompts/test.jsonl", [{"id": p.id, "text": p.text, "system": p.system} for p in prompts])

    def answer(conversation):
        if always:
            return always
        number = int("".join(c for c in conversation.user.split("thing ")[1] if c.isdigit()))
        share = skill[0 if conversation.user.startswith("plain") else 1]
        return "no idea" if number == 7 else ("red", "green")[number % 2 if number < 8 * share else 1 - number % 2]

    for method in finished:
        folder = path / "methods" / method
        evaluate(
            FakeModel(answer), TASK, [make_scorer(None, TASK)], prompts, examples, folder, AnswerSettings("generate", 5),
            console=Console(quiet=True),
        )  # fmt: skip
        if method != "base":
            write_rows(folder / "train.jsonl", LOG)
    return path


def test_figures_of_the_report_are_those_of_the_predictions(tmp_path):
    write_report(make_run(tmp_path))
    found = json.loads((tmp_path / "report.json").read_text())["methods"]["paft"]
    assert found["per_prompt"] == {PROMPTS[0].id: 7 / 8, PROMPTS[1].id: 4 / 8}
    assert (found["mean"], found["top"], found["worst"], found["best"]) == (11 / 16, 1, 0.5, 7 / 8)
    assert found["std"] == pytest.approx((2 * (3 / 16) ** 2) ** 0.5)
    assert (found["unparsed"], found["prompts"], found["examples"]) == (2, 2, 8)
    assert (found["train_seconds"], found["train_examples_per_second"]) == (6, 2)
    assert found["generated_tokens"] == 2 * (7 * 2 + 3)


def test_methods_that_are_not_finished_are_named_and_the_rest_is_shown(tmp_path):
    folder = make_run(tmp_path, methods=("base", "user", "paft"), finished=("base",))
    (folder / "methods/user").mkdir(parents=True)
    (folder / "methods/user/predictions.parquet").write_bytes(b"PAR1 torn")
    write_report(folder)
    assert json.loads((folder / "report.json").read_text())["unfinished"] == ["user", "paft"]
    assert "Not finished: user, paft" in (folder / "report.md").read_text()


def test_the_terminal_shows_the_result_and_whether_the_methods_differ(tmp_path, capsys):
    result = write_report(make_choice_run(tmp_path, SKILLS, examples=30))
    show(result)
    for text in (" ".join(capsys.readouterr().out.split()), compare([result])):
        assert sentence(result) in text
        assert "paft is above user by " in text
        assert "significant difference." in text


def test_the_command_to_reproduce_a_run_is_the_one_that_made_it(tmp_path):
    assert read_run(make_choice_run(tmp_path / "run", SKILLS)).command == "paft run config.yaml"
    folder = make_choice_run(tmp_path / "evaluate", {"base": [0.5] * 6})
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {"methods": ["base"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert read_run(folder).command == "paft evaluate config.yaml"


def test_a_run_without_anything_finished_has_a_report_that_says_so(tmp_path):
    write_report(make_run(tmp_path, finished=()))
    assert "No method is finished yet." in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("content", [None, "", "just text", "a: [", "\x00"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_run(tmp_path)


def test_prompts_are_shown_as_the_text_they_are(tmp_path, capsys):
    result = write_report(make_run(tmp_path))
    markdown = as_markdown(result)
    assert "    <script>alert(1)</script> | {thing}\n    second line" in markdown
    assert "<script>" not in (tmp_path / "figures/accuracy.svg").read_text()
    show(result)
    assert "paft" in capsys.readouterr().out


def test_several_seeds_are_summed_up(tmp_path):
    runs = [
        read_run(make_run(tmp_path / f"run{seed}", (1.0, skill), seed=seed))
        for seed, skill in ((0, 0.5), (1, 0.25))
    ]
    text = compare(runs)
    assert "| run0 | base |" in text
    assert "Over 2 seeds" in text
    assert "| paft | 62.5 ± 8.8 |" in text
    assert "Over" not in compare(runs[:1])
    assert "Over" not in compare([runs[0], runs[0]])  # one seed twice
    half = read_run(make_run(tmp_path / "half", finished=("base",), seed=2))
    assert "| paft | 62.5" not in compare([*runs, half])


def test_line_ends_within_a_prompt_do_not_break_the_report(tmp_path):
    folder = make_run(tmp_path)
    odd = [{"id": p.id, "text": "a\u2028b\u0085c"} for p in PROMPTS]
    (folder / "prompts/test.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in odd))
    write_report(folder)


def read_json(folder):
    return json.loads((folder / "report.json").read_text())


def cell(folder, header, row=0):
    """Return a cell of the first table of ``report.md``."""
    lines = [line for line in (folder / "report.md").read_text().splitlines() if line.startswith("|")]
    head, *rows = [line.strip("| ").split(" | ") for line in lines]
    return rows[1 + row][head.index(header)]


def test_where_most_examples_have_one_label_accuracy_is_shown_beside_what_knowing_nothing_would_get(
    tmp_path, capsys
):
    examples = [Example(str(i), {"thing": f"thing {i}"}, ("red", "green"), int(i == 0)) for i in range(10)]
    result = write_report(make_run(tmp_path, examples=examples, always="red"))
    found = read_json(tmp_path)
    assert (found["majority"], found["methods"]["paft"]["mean"]) == (0.9, 0.9)
    assert found["methods"]["paft"]["balanced_accuracy"] == 0.5
    assert cell(tmp_path, "Balanced accuracy") == "50.0"
    show(result)
    note = "Majority baseline 90%: always the most frequent label."
    for text in (capsys.readouterr().out, *((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))):
        assert note in text


def test_letters_that_are_uneven_and_calibration_of_uneven_labels_are_pointed_out(tmp_path):
    examples = [Example(str(i), {"thing": f"thing {i}"}, ("red", "green"), int(i == 0)) for i in range(10)]
    result = read_run(make_run(tmp_path, examples=examples, always="red"))
    assert "Calibration by batch" not in by_label(result)
    result.config["evaluation"] = {"calibrate": "batch"}
    assert by_label(result).endswith("takes labels to be balanced, which these are not; see consensus.")
    result.facts["labels"] = None
    result.config["task"]["choices"] = "options"
    assert baselines(result) == "Chance 50%. Majority baseline 90%: always the most frequent answer."


def test_where_labels_are_equally_frequent_the_table_has_no_further_column(tmp_path):
    result = read_run(make_run(tmp_path))
    assert (result.majority, result.chance) == (0.5, 0.5)
    assert "Balanced accuracy" not in columns([result])


def test_a_single_prompt_has_no_std_anywhere(tmp_path, capsys):
    folders = [make_run(tmp_path / f"run{s}", seed=s, prompts=PROMPTS[:1]) for s in range(2)]
    runs = [write_report(folders[0]), read_run(folders[1])]
    for method in read_json(tmp_path / "run0")["methods"].values():
        assert (method["std"], method["std_interval"], method["disagreement"]) == (None, None, None)
    assert cell(tmp_path / "run0", "Std") == MISSING
    assert sentence(runs[0]) == "Accuracy on 1 unseen prompt: paft 88%; base (the base model) 88%."
    texts = [(tmp_path / f"run0/report.{kind}").read_text() for kind in ("md", "html")]
    show(runs[0])
    assert not any("± 0" in text or "±\u00a00" in text for text in (*texts, capsys.readouterr().out))
    assert f"| paft | 87.5 ± 0.0 | {MISSING} |" in compare(runs), "over seeds: the mean has a Std, Std has none"
    assert (tmp_path / "run0/figures/accuracy.png").stat().st_size > 1000
    assert "±" not in (tmp_path / "run0/figures/accuracy.svg").read_text()


def test_failures_of_format_are_shown_apart_from_wrong_answers(tmp_path, capsys):
    folder = make_choice_run(tmp_path, SKILLS, outputs=True, examples=40, cut=True)
    show(write_report(folder))
    found = read_json(folder)["methods"]["base"]
    read = 240 - found["unparsed"]
    assert 0 < found["cut"] == found["unparsed"] < 240
    assert (found["refused"], found["errors"]) == (0, 0)
    assert found["parsed_accuracy"] == pytest.approx(found["mean"] * 240 / read)
    assert sum(found["per_prompt_unparsed"].values()) * 40 == pytest.approx(found["unparsed"])
    assert found["per_prompt_cut"] == found["per_prompt_unparsed"]
    assert cell(folder, "Unparsed") == cell(folder, "Cut") == f"{found['unparsed'] / 240:.1%}"
    assert cell(folder, "Accuracy if read") == f"{found['parsed_accuracy'] * 100:.1f}"
    line = f"base: of 240 answers, {found['unparsed']} could not be read and score 0, {found['cut']} cut at evaluation.max_new_tokens"
    for text in (capsys.readouterr().out, *((folder / f"report.{kind}").read_text() for kind in ("md", "html"))):
        assert line in text


def test_the_table_of_likelihoods_has_no_column_for_failures_of_format(tmp_path):
    result = read_run(make_choice_run(tmp_path, SKILLS))
    assert list(columns([result])) == ["Method", "Mean", "Std", "Top", "Worst", "Best", "Training", "Answering"]


@pytest.mark.parametrize("prompts", [1, 6])
def test_graded_scores_are_called_scores_and_further_scorers_have_a_table(tmp_path, prompts):
    result = read_run(make_free_text_run(tmp_path, SCORES, prompts=prompts))
    found, text = as_json(result), as_markdown(result)
    assert (found["scorers"], found["yes_or_no"]) == (["f1", "includes", "rouge"], False)
    assert (found["chance"], found["majority"]) == (None, None)
    method = found["methods"]["paft"]
    assert method["balanced_accuracy"] is None
    assert list(method["other_scores"]) == ["includes", "rouge"]
    assert method["other_scores"]["rouge"]["mean"] == pytest.approx(method["mean"] / 2)
    assert (method["other_scores"]["rouge"]["std"] is None) == (prompts == 1)
    assert method["refused"] == 1
    assert sentence(result).startswith("F1 score on ")
    assert "Chance" not in text
    assert "Other scores, mean ± Std over the prompts, in %:" in text
    assert ("Lowest score over the prompts" in text) == (prompts > 1)
    assert "ccuracy" not in text.replace("figures/accuracy.svg", "")
    assert "Score if read" in text


def test_a_graded_score_has_the_value_that_the_scorer_gave(tmp_path):
    folder = make_free_text_run(tmp_path, {"base": [0.6] * 6})
    path = folder / "methods/base/predictions.parquet"
    table = parquet.read_table(path)
    column = table.schema.get_field_index("score")
    for value in (0.6, 0.7, 0.9):  # of which single precision holds something larger or smaller
        same = pa.array([value] * len(table), pa.float32())
        parquet.write_table(table.set_column(column, table.schema.field(column), same), path)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["run"]["top"] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        summary = read_run(folder).methods[0].summary
        assert (summary.mean, summary.worst) == pytest.approx((value, value), abs=1e-15)
        assert summary.top == 1


def test_a_task_of_exact_free_text_is_right_or_wrong(tmp_path):
    result = read_run(make_free_text_run(tmp_path, SCORES, binary=True))
    found = as_json(result)
    assert (found["yes_or_no"], found["chance"], found["majority"]) == (True, None, 0.2)
    assert "Majority" not in as_markdown(result), "a free-text task has no labels"
    assert sentence(result).startswith("Accuracy on 6 unseen prompts: paft ")


def test_what_the_judge_was_asked_is_in_the_report(tmp_path):
    write_report(make_free_text_run(tmp_path, SCORES, judge=True))
    text = (tmp_path / "report.md").read_text()
    assert "    Grade the answer from 1 to 5.\n" in text
    assert "paft: the judge grader graded 6 answers twice, 50% with the same grade." in text
    assert read_json(tmp_path)["methods"]["paft"]["judge"]["same"] == 0.5
    assert "What the judge was asked</summary><pre>Grade the answer" in (tmp_path / "report.html").read_text()


def test_scores_are_graded_if_a_run_says_so_or_its_scores_are(tmp_path):
    folder = make_free_text_run(tmp_path, SCORES)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["run"]["yes_or_no"]  # a run of an older version with a scorer of the user's own
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    assert not read_run(folder).is_binary
    exact = make_free_text_run(tmp_path / "exact", SCORES, binary=True)
    assert read_run(exact).is_binary
    config["run"]["yes_or_no"] = False
    write_text(exact / "config.yaml", yaml.safe_dump(config))
    assert not read_run(exact).is_binary
    config["evaluation"]["mode"] = "likelihood"  # which uses no scorer
    write_text(exact / "config.yaml", yaml.safe_dump(config))
    assert read_run(exact).is_binary
