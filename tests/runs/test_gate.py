"""`paft gate` asks no more than it needs, never twice, and its exit code is its answer."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from command import assert_refused, paft_here
from conftest import COLOURS, make_model, things, write_rows
from endpoints import answer
from paft.config.load import load_config
from paft.evaluation.intervals import Interval
from paft.evaluation.option_effects import OptionScores
from paft.evaluation.sequential import ALPHA, Decision
from paft.evaluation.tail import quantile_05_from_options
from paft.prompts.files import read_prompts
from paft.runs.directory import RunDirectory
from paft.runs.gate import _caveat
from paft.utils.console import Console
from paft.utils.io import read_log
from reported_runs import evaluate

pytestmark = pytest.mark.medium
QUIET = Console(quiet=True)


def number_of(body):
    return int("".join(c for c in body["messages"][-1]["content"].split("thing ")[1][:4] if c.isdigit()))


def question(request):
    return request[0]["messages"][-1]["content"]


def right_about(share):
    """Return a reply that is right about this share of the things."""

    def reply(body):
        number = number_of(body)
        return 200, answer(COLOURS[number % 3] if number * 7 % 100 < share * 100 else "none"), {}

    return reply


def gated(project, server, *, prompts=6, examples=40, first=1000):
    """Return the project's config with its model behind a server, more prompts and more examples."""
    write_rows(project / "test.jsonl", things(examples, first))
    write_rows(project / "prompts/test.jsonl", [{"text": f"{'Well, ' * i}{{thing}}?"} for i in range(prompts)])
    text = (project / "config.yaml").read_text().split("\n", 1)[1]
    model = {"path": "m", "base_url": server.url, "retries": 0, "timeout": 2.0}
    path = project / "gated.yaml"
    path.write_text(f"model: {json.dumps(model)}\n" + text.replace("likelihood", "generate"))
    return path


def gate(*arguments):
    return paft_here("gate", *arguments, "--output", "out", "--quiet")


def verdict():
    return json.loads(Path("out/gate.json").read_text())


def test_a_model_that_is_right_passes_before_the_grid_is_asked_and_a_second_call_asks_nothing(project, serve):
    server = serve(right_about(1))
    done = gate(gated(project, server), "--at-least", "mean>=0.8")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert done.stdout.startswith("passed: mean >= 0.8; mean about 1.00")
    result = verdict()
    assert result["asked"] == len(server.requests) - 1 < result["most"] == 240  # one to see whether it answers
    again = gate("gated.yaml", "--at-least", "mean>=0.8")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert len(server.requests) == result["asked"] + 1


def test_a_part_of_the_cells_does_not_limit_a_gate_and_the_result_says_so(project, serve):
    gate(gated(project, serve(right_about(1))), "--at-least", "mean>=0.8", "evaluation.cells=0.1")
    [note] = verdict()["notes"]
    assert note.startswith("evaluation.cells and evaluation.until do not limit a gate")


def test_a_model_that_is_often_wrong_falls_short_in_all_three_files(project, serve):
    done = gate(gated(project, serve(right_about(0.5))), "--at-least", "quantile_05>=0.8")
    assert done.returncode == 1
    assert verdict()["verdict"] == "fell short"
    assert "fell short" in (project / "out/gate.md").read_text()
    [case] = ElementTree.parse(project / "out/junit.xml").getroot().iter("testcase")
    assert case.find("failure").get("message").startswith("fell short: quantile_05 >= 0.8")


def test_a_gate_that_fails_leaves_no_earlier_result_behind(project, serve):
    path = gated(project, serve(right_about(1)))
    assert gate(path, "--at-least", "mean>=0.5").returncode == 0
    for arguments in ([path, "evaluation.examples=7"], ["missing.yaml"], ["--from", "missing.json"]):
        (project / "out/gate.md").write_text("passed")
        assert gate(*arguments, "--at-least", "mean>=0.5").returncode == 2
        assert not [name for name in ("gate.json", "gate.md", "junit.xml") if (project / "out" / name).exists()]


def test_answers_that_are_none_are_in_the_notes(project, serve):
    path = gated(project, serve(right_about(0.7)), prompts=2, examples=40)
    assert gate(path, "--at-least", "mean>=0.9").returncode == 1
    [note] = verdict()["notes"]
    asked = verdict()["asked"]
    wrong = asked - round(verdict()["estimate"] * asked)
    assert note == f"of {asked} answers, {wrong} could not be read and score 0"
    assert note in (project / "out/gate.md").read_text()


def test_an_unchanged_model_is_no_worse_by_a_margin_of_0(project, serve):
    (project / "graded.py").write_text(
        "class Third:\n    name, is_binary = 'third', False\n    def score(self, output, example):\n"
        "        from paft.types import Score\n        return Score(1 / 3, output)\n"
    )
    path = gated(project, serve(right_about(1)), prompts=2, examples=6)
    evaluate(load_config(path, ["task.scorer=graded:Third"]), project / "old", QUIET)
    done = gate(path, "task.scorer=graded:Third", "--no-worse-than", "old", "--margin", "0")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("choice", "code", "element"), [("pass", 0, "skipped"), ("fail", 1, "failure")])
def test_an_undecided_end_counts_as_what_was_asked_for(project, serve, choice, code, element):
    path = gated(project, serve(right_about(0.8)), examples=100)
    done = gate(path, "--at-least", "mean>=0.8", "--questions", "60", "--undecided", choice)
    assert (done.returncode, verdict()["asked"]) == (code, 60)
    assert done.stdout.startswith("undecided, which counts as")
    [case] = ElementTree.parse(project / "out/junit.xml").getroot().iter("testcase")
    assert case.find(element) is not None


def test_a_gate_that_was_interrupted_asks_only_for_the_rest(project, serve):
    server = serve(*[right_about(0.75)] * 70, (500, {}, {}))
    path = gated(project, server, examples=60)
    broken = gate(path, "--at-least", "mean>=0.74")
    assert broken.returncode == 1
    assert not (project / "out/gate.json").exists()
    answered = set(map(question, server.requests[1:70]))  # the first request is to see whether it answers
    server.replies[:] = [right_about(0.75)]
    before = len(server.requests)
    assert gate("gated.yaml", "--at-least", "mean>=0.74").returncode == 0
    later = list(map(question, server.requests[before:]))
    assert not answered & set(later)
    assert len(set(later)) == len(later) <= verdict()["asked"] - len(answered)
    rows = read_log(project / "out/methods/base/cells.jsonl")
    assert len({(row["prompt_id"], row["example_id"]) for row in rows}) == len(rows) == verdict()["asked"]


def test_a_whole_grid_gives_the_figure_that_evaluate_reports(project, tmp_path):
    """In this process, with an adapter of the config."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(make_model(), LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(project / "adapter")
    write_rows(project / "test.jsonl", things(9, 100))
    config = load_config(project / "config.yaml", ["model.adapter=adapter"])
    evaluate(config, project / "whole", QUIET)
    mean = json.loads((project / "whole/report.json").read_text())["methods"]["base"]["mean"]
    done = gate("config.yaml", "model.adapter=adapter", "--at-least", f"mean>={mean:.4f}")
    assert verdict()["is_exact"]
    assert verdict()["estimate"] == pytest.approx(mean)
    assert done.returncode == (verdict()["estimate"] < round(mean, 4))


def test_the_quantile_is_judged_by_the_likelihoods_of_the_options_that_were_scored(project):
    write_rows(project / "test.jsonl", things(40, 100))
    write_rows(project / "prompts/test.jsonl", [{"text": f"{'Well, ' * i}{{thing}}?"} for i in range(5)])
    gate("config.yaml", "--at-least", "quantile_05>=0.3", "--questions", "60")
    directory = RunDirectory(project / "out")
    prompts = [prompt.id for prompt in read_prompts(directory.prompts("test"))]
    examples = read_log(directory.examples)
    ids = [example["id"] for example in examples]
    right = np.array([[option in row["targets"] for option in row["options"]] for row in examples])
    grid, likelihoods = np.full((5, 40), np.nan), np.full((5, 40, 3), np.nan)
    for row in read_log(project / "out/methods/base/cells.jsonl"):
        cell = prompts.index(row["prompt_id"]), ids.index(row["example_id"])
        grid[cell], likelihoods[cell] = row["score"], row["scores"]
    expected = quantile_05_from_options(grid, OptionScores(likelihoods, right), ALPHA).value
    assert verdict()["estimate"] == pytest.approx(expected, abs=1e-9)


def test_a_model_is_compared_with_a_run_on_what_both_have(project, serve):
    """The run lacks a prompt and has its examples under other row numbers."""
    server = serve(right_about(0.9))
    path = gated(project, server, prompts=4, examples=60)
    evaluate(
        load_config(path, ["task.test=" + str(write_rows(project / "more.jsonl", things(50, 1010)))]),
        project / "old",
        QUIET,
    )
    gated(project, server, prompts=5, examples=60)
    same = gate(path, "--no-worse-than", "old")
    assert same.returncode == 0
    unread = sum(row["prediction"] is None for row in read_log(project / "out/methods/base/cells.jsonl"))
    assert verdict()["notes"] == [
        "4 of 5 test prompts: the others are not in old",
        "50 of 60 test examples: the others are not in old",
        f"of {verdict()['asked']} answers, {unread} could not be read and score 0",
    ]
    server.replies[:] = [right_about(0.6)]
    worse = paft_here("gate", path, "model.path=worse", "--no-worse-than", "old", "--output", "other", "--quiet")
    assert worse.returncode == 1
    assert worse.stdout.startswith("fell short: mean - mean of old/base >= -0.02; difference")


def test_a_run_without_common_cells_or_asked_in_another_way_is_no_baseline(project, serve):
    server = serve(right_about(1))
    path = gated(project, server, prompts=2, examples=6)
    evaluate(load_config(path, []), project / "old", QUIET)
    gated(project, server, prompts=2, examples=6, first=2000)
    assert_refused(gate(path, "--no-worse-than", "old"), "no test examples in common")
    other = paft_here("gate", path, "evaluation.max_new_tokens=5", "--no-worse-than", "old", "-o", "b", "-q")
    assert_refused(other, "was measured in another way", "evaluation.max_new_tokens (was 256, now 5)")
    assert_refused(gate(path, "--no-worse-than", "old", "--method", "paft"), "no method 'paft'")


def test_a_prompt_that_was_edited_beside_its_id_is_not_compared_with_its_earlier_text(project, serve):
    path = gated(project, serve(right_about(1)), prompts=2, examples=6)
    rows = [
        {"id": f"p{i}"} | json.loads(line)
        for i, line in enumerate(Path("prompts/test.jsonl").read_text().splitlines())
    ]
    write_rows(project / "prompts/test.jsonl", rows)
    evaluate(load_config(path, []), project / "old", QUIET)
    write_rows(project / "prompts/test.jsonl", [rows[0], rows[1] | {"text": "Now, {thing}?"}])
    gate(path, "--no-worse-than", "old")
    assert verdict()["notes"] == ["1 of 2 test prompts: the others are not in old"]


def test_marks_in_a_prompt_are_shown_in_the_comment_as_they_are(project, serve):
    path = gated(project, serve(right_about(0)), prompts=2)
    write_rows(project / "prompts/test.jsonl", [{"text": "{thing} -> #1 | <b> @all"}, {"text": "{thing}?"}])
    gate(path, "--at-least", "mean>=0.8")
    assert r"| {thing} -&#62; \#1 \| &#60;b&#62; &#64;all | 0.00 |" in (project / "out/gate.md").read_text()


REFUSED = {
    "a percentage": (["--at-least", "mean>=80"], "from 0 to 1"),
    "no threshold": (["--at-least", "mean"], "expected a figure and a threshold"),
    "a figure without a test": (["--at-least", "std>=0.1"], "mean, quantile_05, worst"),
    "nothing required": ([], "--at-least"),
    "both": (["--at-least", "mean>=0.8", "--no-worse-than", "x"], "one of them"),
    "no run": (["--no-worse-than", "x"], "no run directory"),
    "a margin without a run": (["--at-least", "mean>=0.8", "--margin", "0.1"], "--no-worse-than"),
    "logs and a run": (["--from", "x.json", "--no-worse-than", "x"], "use --at-least"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_refused_before_a_question_is_asked(project, serve, case):
    arguments, words = REFUSED[case]
    server = serve(right_about(1))
    assert_refused(gate(gated(project, server), *arguments), words)
    assert not server.requests


def test_a_figure_over_prompts_and_other_looks_are_refused(project, serve):
    server = serve(right_about(0.8))
    assert_refused(gate(gated(project, server, prompts=1), "--at-least", "quantile_05>=0.8"), "there is one")
    path = gated(project, server, examples=100)
    assert gate(path, "--at-least", "quantile_05>=0.75", "--questions", "60", "-o", "b").returncode in (0, 1)
    more = gate(path, "--at-least", "quantile_05>=0.75", "--questions", "90", "-o", "b")
    assert_refused(more, "planned for 60 questions, now for 90")


def test_a_gate_that_was_interrupted_keeps_its_planned_looks_and_so_does_one_of_another_figure(project, serve):
    server = serve(*[right_about(0.8)] * 30, (500, {}, {}))
    path = gated(project, server, examples=100)
    quantile = ["--at-least", "quantile_05>=0.75", "--questions"]
    assert gate(path, *quantile, "60").returncode == 1
    assert not (project / "out/gate.json").exists()
    server.replies[:] = [right_about(0.8)]
    assert_refused(gate(path, *quantile, "90"), "planned for 60 questions, now for 90")
    assert gate(path, "--at-least", "mean>=0.5").returncode == 0
    assert_refused(gate(path, *quantile, "90"), "planned for 60 questions, now for 90")
    gate(path, *quantile, "60")
    assert verdict()["most"] == 60


def test_planned_looks_bind_only_once_a_question_is_answered(project, serve):
    server = serve((401, {}, {}))
    path = gated(project, server, examples=100)
    quantile = ["--at-least", "quantile_05>=0.75", "--questions"]
    assert gate(path, *quantile, "60").returncode in (1, 2)
    server.replies[:] = [right_about(0.8)]
    gate(path, *quantile, "90")
    assert verdict()["most"] == 90


@pytest.mark.slow
def test_a_real_server_is_gated(real_server, project):
    """`transformers serve` with the embedded model: right about half of the things or less, so never 0.9."""
    url, name = real_server
    path = gated(project, type("Server", (), {"url": url}), examples=40)
    arguments = [f"model.path={name}", "model.timeout=120", "evaluation.max_new_tokens=4"]
    done = gate(path, *arguments, "--at-least", "mean>=0.9", "--questions", "120")
    assert done.returncode == 1
    assert verdict()["asked"] < 120


def test_a_pass_that_takes_the_prompts_to_be_alike_says_so():
    passed = Decision("passed", 1.0, Interval(0.9, 1.0), is_exact=False)
    few, many = np.ones((8, 3)), np.ones((60, 3))
    [note] = _caveat(passed, few, 0.9)
    assert "from its own 8 answers, the worst one may score as little as 0.69;" in note
    assert _caveat(passed, many, 0.9) == _caveat(replace(passed, verdict="undecided"), few, 0.9) == []
