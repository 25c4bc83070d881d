"""``evaluation.cells`` and ``evaluation.until``: a run that answers a part of its grid, and says so everywhere."""

import json

import pytest
from pyarrow import parquet

from conftest import write_rows
from endpoints import answer
from paft.config.load import load_config
from paft.errors import UserError
from paft.reporting.comparison import describe
from paft.reporting.multi_run import read_all, write_all
from paft.reporting.pairs import compare_sides, find_side
from paft.reporting.read import read_run
from paft.reporting.terminal import show
from paft.utils.console import Console
from reported_runs import evaluate

pytestmark = pytest.mark.medium


@pytest.fixture
def wide(project):
    """The small project with 8 test prompts and 30 test examples."""
    texts = [f"{word} {end}" for word in ("Think of", "Look at", "Consider", "Read")
             for end in ("{thing}. Which of {choices}?", "this and name its colour: {thing}")]  # fmt: skip
    write_rows(project / "prompts/test.jsonl", [{"text": text} for text in texts])
    rows = [{"thing": f"thing {i}", "colour": ("red", "green", "blue")[i % 3]} for i in range(100, 130)]
    write_rows(project / "test.jsonl", rows)
    return project


def measure(project, *overrides, name="run"):
    console = Console(quiet=True)
    evaluate(load_config(project / "config.yaml", list(overrides)), project / name, console)
    return project / name


def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def answers(folder):
    table = parquet.read_table(folder / "methods/base/predictions.parquet")
    return {(r["prompt_id"], r["example_id"]): r["prediction"] for r in table.to_pylist()}


def test_a_part_of_the_grid_is_answered_and_every_report_calls_its_figures_estimates(wide):
    folder = measure(wide, "evaluation.cells=0.25")
    base = report(folder)["methods"]["base"]
    assert base["cells"] == {"answered": 60, "of": 240, "estimated": True}
    assert (base["prompts"], base["examples"]) == (8, 30)
    low, high = base["whole_grid_intervals"]["mean"]
    assert base["mean_interval"][0] <= low < base["mean"] < high <= base["mean_interval"][1]
    assert base["right_under_all"] is None
    text = (folder / "report.md").read_text()
    assert "estimated from 25 % of the cells" in text.splitlines()[2], "the sentence at the top"
    assert text.count("25 % (estimated)") == 2, "both tables"
    assert "60 of 240 cells answered" in text
    page = (folder / "report.html").read_text()
    assert page.count("estimated from 25 % of the cells") == 1
    assert page.count("25 %\N{NO-BREAK SPACE}(estimated)") + page.count("25\N{NO-BREAK SPACE}%\N{NO-BREAK SPACE}(estimated)") + page.count("25 % (estimated)") == 2  # fmt: skip
    assert "estimated from 25 % of the cells" in (folder / "figures/accuracy.svg").read_text()


def test_going_on_to_all_cells_reuses_the_answers_and_is_an_uninterrupted_run(wide):
    folder = measure(wide, "evaluation.cells=60")
    first = answers(folder)
    assert len(first) == 60
    measure(wide)
    assert answers(folder) == answers(measure(wide, name="whole"))
    assert first.items() <= answers(folder).items()
    figures = [report(wide / name)["methods"]["base"] for name in ("run", "whole")]
    for found in figures:
        assert found["cells"] == {"answered": 240, "of": 240, "estimated": False}
        del found["eval_seconds"], found["eval_examples_per_second"]
    assert figures[0] == figures[1]


def test_a_smaller_share_of_a_finished_run_asks_nothing_and_another_seed_of_the_plan_is_refused(wide):
    measure(wide, "evaluation.cells=0.25")
    folder = measure(wide, "evaluation.cells=0.1")
    assert len(answers(folder)) == 60
    with pytest.raises(UserError, match=r"seed \(of evaluation.cells\) \(was 0, now 1\)"):
        measure(wide, "evaluation.cells=0.25", "seed=1")


def test_an_endpoint_is_asked_for_the_planned_cells_only_and_for_none_of_them_twice(wide, serve):
    server = serve((200, answer("red"), {}))
    model = f"model={{path: m, base_url: '{server.url}', retries: 0}}"
    for share, count in ((0.25, 60), (0.5, 120)):
        folder = measure(wide, model, f"evaluation={{mode: generate, max_new_tokens: 4, cells: {share}}}")
        assert len((folder / "answers.jsonl").read_text().splitlines()) == len(answers(folder)) == count
    base = report(folder)["methods"]["base"]
    assert base["cells"] == {"answered": 120, "of": 240, "estimated": True}
    assert base["generated_tokens"] > 0


def test_calibrated_scores_of_a_part_are_those_of_the_answered_cells_without_a_spread(wide):
    found = report(measure(wide, "evaluation.cells=0.5", "evaluation.calibrate=batch"))["methods"]["base"]
    assert 0 <= found["calibrated"]["mean"] <= 1
    assert (found["calibrated"]["std"], found["calibrated"]["worst"]) == (None, None)
    assert sum(found["per_label"].values()) / 3 == pytest.approx(found["balanced_accuracy"])


def test_until_stops_as_soon_as_the_mean_is_known_and_says_how_far_it_got(wide, capsys):
    def lines(*overrides, name):
        evaluate(load_config(wide / "config.yaml", list(overrides)), wide / name, Console())
        found = capsys.readouterr()
        return [line for line in (found.out + found.err).splitlines() if "is known within" in line]

    rounds = lines("evaluation.until=9", name="until")
    base = report(wide / "until")["methods"]["base"]
    assert 16 <= base["cells"]["answered"] < 240
    low, high = base["whole_grid_intervals"]["mean"]
    assert high - low <= 0.18
    assert f"after {base['cells']['answered']} cells, the mean of all 240 cells is known within " in rounds[-1]
    assert lines("evaluation.until=9", name="until") == rounds, "the same, and nothing is asked"
    [*_, last] = lines("evaluation.until=0.1", "evaluation.cells=0.2", name="far")
    assert "after 48 cells, " in last
    assert "evaluation.until (mean 0.1) is not reached with evaluation.cells" in last


def test_the_result_says_that_the_mean_of_the_grid_is_known_better_than_the_brackets_of_the_table(wide, capsys):
    folder = measure(wide, "evaluation.cells=0.5")
    show(read_run(folder))
    low, high = report(folder)["methods"]["base"]["whole_grid_intervals"]["mean"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "The mean over exactly these 8 prompts x 30 examples has the 95 % interval" in shown
    assert f"evaluation.until narrows: base [{100 * low:.1f}, {100 * high:.1f}]. The wider brackets" in shown
    show(read_run(measure(wide, name="whole")))
    assert "evaluation.until" not in capsys.readouterr().out


def test_until_takes_the_5_percent_quantile_too_and_then_asks_more(wide, capsys):
    counts = {}
    for until in ("{mean: 9}", "{mean: 9, quantile_05: 1}"):
        folder = measure(wide, f"evaluation.until={until}", name=until[1:5] + str(len(until)))
        base = report(folder)["methods"]["base"]
        counts[until] = base["cells"]["answered"]
    low, high = base["whole_grid_intervals"]["quantile_05"] or (0, 0)
    assert high - low <= 0.02
    assert counts["{mean: 9}"] < counts["{mean: 9, quantile_05: 1}"]


def test_methods_are_compared_on_the_cells_that_both_have(wide):
    whole = measure(wide, name="whole")
    part = measure(wide, "evaluation.cells=0.5", name="part")
    results, _ = read_all([whole, part])
    assert [m.is_estimated for result in results for m in result.methods] == [False, True]
    assert "50 % (estimated)".replace(" ", "\N{NO-BREAK SPACE}") in write_all(results, []).read_text()
    comparison = compare_sides(*(find_side(name, results) for name in ("whole", "part")))
    assert comparison.difference.cells == 120
    assert comparison.difference.difference == 0, "the same model gives the same answers"
    assert "120 of 240 cells answered by both" in describe(comparison)
    prompt = results[1].methods[0].prompt_ids[0]
    sides = [find_side(f"{name}:{prompt}", results) for name in ("whole", "part")]
    assert compare_sides(*sides).difference.cells == results[1].methods[0].grid.answered[0].sum()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.cells=0", "evaluation.cells takes a share of the grid such as 0.2"),
        ("evaluation.cells=.inf", "evaluation.cells takes a share of the grid such as 0.2"),
        ("evaluation.cells=1.5", "evaluation.cells takes a share of the grid such as 0.2"),
        ("evaluation.cells=true", "evaluation.cells takes a share of the grid such as 0.2"),
        ("evaluation.cells=20%", "evaluation.cells takes a share of the grid such as 0.2"),
        ("evaluation.cells=0.01", "fewer than the 8 prompts; use at least 8"),
        ("evaluation.cells=241", "have only 240"),
        ("evaluation.until=0", "config key evaluation.until"),
        ("evaluation.until={}", "evaluation.until: name a figure, such as {quantile_05: 6}"),
        ("evaluation.until={worst: 3}", "config key evaluation.until"),
    ],
)
def test_a_wrong_number_of_cells_is_one_line_and_leaves_nothing_behind(wide, override, message):
    with pytest.raises(UserError) as error:
        measure(wide, override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (wide / "run").exists()
