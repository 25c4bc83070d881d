"""The paper's tables from runs with failures of format, graded scores, or a single prompt."""

import json
from types import SimpleNamespace

import pytest

from made_up_runs import SKILLS, make_free_text_run, make_run
from paft.experiments.plan import PlannedRun
from paft.experiments.reproduce import write
from paft.experiments.tables import make_table

FAILURES = ["Cut", "Accuracy if read"]


def table_of(name, folder, methods):
    """Return the Markdown and JSON of a table made of one run directory."""
    config = SimpleNamespace(
        methods=list(methods), training=SimpleNamespace(examples=None, epochs=1), evaluation=SimpleNamespace(examples=None)
    )  # fmt: skip
    runs = [PlannedRun(folder.name, config, "t", 0, prompt_count=5)]
    write(name, make_table(name, runs, folder.parent, {}), folder.parent)
    text = (folder.parent / f"{name}.md").read_text()
    return text, json.loads((folder.parent / f"{name}.json").read_text())


def test_a_table_of_accuracies_shows_failures_of_format_where_there_are_any(tmp_path):
    text, table = table_of("table1", make_run(tmp_path / "read", SKILLS), SKILLS)
    assert not any(f"| {header} |" in text for header in FAILURES)
    text, table = table_of("table1", make_run(tmp_path / "cut", SKILLS, outputs=True, cut=True), SKILLS)
    assert "| Unparsed | Cut | Accuracy if read | Two prompts disagree | Right under all |" in text
    row = table["rows"][0]
    assert f"| {row['cut'] / 54:.0%} | {row['parsed_accuracy'] * 100:.1f} |" in text
    assert not any(key.startswith("per_prompt") for key in row)


def test_a_table_of_graded_scores_is_named_so(tmp_path):
    text, _ = table_of("table1", make_free_text_run(tmp_path / "run", SKILLS), SKILLS)
    assert "| Cut | Score if read | Two prompts differ by | Lowest score over the prompts |" in text


@pytest.mark.parametrize("name", ["table1", "table2", "table6", "figure3", "figure4", "figure6"])
def test_every_table_and_figure_takes_a_run_of_one_prompt(tmp_path, name):
    folder = make_run(tmp_path / "run", {"base": [0.5], "paft": [0.8]}, prompts=1)
    text, table = table_of(name, folder, ["base", "paft"])
    assert [row["std"] for row in table["rows"]] == [None, None]
    assert "± 0" not in text
    if name.startswith("figure"):
        pictures = list((tmp_path / "figures").glob("*.png"))
        assert pictures
        assert all(picture.stat().st_size > 1000 for picture in pictures)
    if name in ("table1", "figure3", "figure6"):
        assert " | \N{EN DASH} | " in text
