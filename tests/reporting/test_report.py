"""The report shows what is there, names what is missing, and takes every text as text."""

import json

import pytest
import yaml

from conftest import write_rows
from paft.errors import UserError
from paft.evaluation.grid import evaluate
from paft.models.fake import FakeModel
from paft.reporting.read import read_run
from paft.reporting.report import as_markdown, compare, write_report
from paft.reporting.terminal import show
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_text

TASK = Task("colours", ("thing",), ("red", "green"), "label", 0.5, 2)
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, ("red", "green"), i % 2) for i in range(8)]
PROMPTS = [
    Prompt("plain {thing}"),
    Prompt("<script>alert(1)</script> | {thing}\nsecond line", system="Be | brief"),
]
LOG = [{"step": i, "loss": 1.0, "seconds": 2.0, "examples": 4, "prepare_seconds": 0.01} for i in range(1, 4)]


def make_run(path, skill=(1.0, 0.5), methods=("base", "paft"), finished=("base", "paft"), seed=0):
    config = {
        "model": {"path": "fake"}, "task": {"name": "colours"}, "methods": list(methods), "seed": seed,
        "evaluation": {"mode": "generate"},
        "run": {"top": 0.5, "chance": 0.5, "digest": "d", "paft": "0", "versions": {"torch": "1"}},
    }  # fmt: skip
    write_text(path / "config.yaml", yaml.safe_dump(config))
    write_rows(path / "prompts/test.jsonl", [{"id": p.id, "text": p.text, "system": p.system} for p in PROMPTS])

    def answer(conversation):
        number = int("".join(c for c in conversation.user.split("thing ")[1] if c.isdigit()))
        share = skill[0 if conversation.user.startswith("plain") else 1]
        return "no idea" if number == 7 else ("red", "green")[number % 2 if number < 8 * share else 1 - number % 2]

    for method in finished:
        folder = path / "methods" / method
        evaluate(
            FakeModel(answer), TASK, [make_scorer(None, TASK)], PROMPTS, EXAMPLES, folder, mode="generate", max_new_tokens=5,
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
