"""``paft calibrate``: offsets of one prompt that can be deployed."""

import json
import math
import shutil

import numpy as np
import pytest
import yaml
from pyarrow import parquet

from conftest import COLOURS, ROOT, TEST_PROMPTS, make_project, things, write_rows
from paft.config.load import load_config
from paft.errors import UserError
from paft.evaluation.calibration import Offsets, consensus, normalised, offsets
from paft.runs.calibrate import calibrate
from paft.runs.run import run
from paft.utils.console import Console

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, tiny_model):
    project = make_project(tmp_path_factory.mktemp("first"), tiny_model)
    config = load_config(project / "config.yaml", ["methods=[base, user]", "training.epochs=1"])
    run(config, project / "run", QUIET)
    return project


@pytest.fixture
def finished(project, first_run):
    """A finished run, one prompt, and the test examples without their answers."""
    shutil.copytree(first_run, project, dirs_exist_ok=True)
    write_rows(project / "unlabelled.jsonl", [{"thing": row["thing"]} for row in things(6, 100)])
    write_rows(project / "prompt.jsonl", TEST_PROMPTS[:1])
    return project


def start(project, method="user", prompt="prompt.jsonl", examples="unlabelled.jsonl", reference=None):
    output = project / "offsets.json"
    reference = project / reference if reference else None
    return calibrate(project / "run", method, project / prompt, project / examples, output, QUIET, reference)


@pytest.mark.parametrize("method", ["base", "user"])
def test_the_offsets_are_those_of_the_grid_and_choose_as_it_does(finished, method):
    found = start(finished, method)
    rows = parquet.read_table(finished / "run/methods" / method / "predictions.parquet").to_pylist()
    scores = np.array([row["scores"] for row in rows[: len(rows) // 2]])  # of the first of two prompts
    assert list(found.values) == COLOURS
    assert list(found.values.values()) == pytest.approx(normalised(scores).mean(axis=0), abs=1e-5)
    read = Offsets.read(finished / "offsets.json")
    for row in scores:
        assert (
            read.best(dict(zip(COLOURS, row, strict=True)))
            == COLOURS[int((normalised(row) - list(found.values.values())).argmax())]
        )
    record = json.loads((finished / "offsets.json").read_text())
    assert record["prompt"]["text"] == TEST_PROMPTS[0]["text"]
    assert record["logit_bias"] is None, "the tiny tokenizer writes a label in several tokens"


def test_with_the_test_prompts_as_reference_the_offsets_are_those_of_the_consensus(finished):
    write_rows(finished / "both.jsonl", TEST_PROMPTS)
    measured = start(finished, "base", reference="both.jsonl")  # of which the prompt itself is left out
    rows = parquet.read_table(finished / "run/methods/base/predictions.parquet").to_pylist()
    scores = np.array([row["scores"] for row in rows]).reshape(2, -1, len(COLOURS))
    assert list(measured.values.values()) == pytest.approx(offsets(scores, consensus(scores))[0], abs=1e-5)
    assert len(json.loads((finished / "offsets.json").read_text())["references"]) == 1


def test_of_many_reference_prompts_eight_are_drawn_and_said(finished, capsys):
    many = [{"text": f"{number}. {{thing}} is {{choices}}?"} for number in range(20)]
    write_rows(finished / "many.jsonl", many)
    file = finished / "o.json"
    arguments = finished / "run", "base", finished / "prompt.jsonl", finished / "unlabelled.jsonl", file
    calibrate(*arguments, Console(), finished / "many.jsonl")
    assert "using 8 of 20 reference prompts" in capsys.readouterr().err
    assert len(set(json.loads(file.read_text())["references"])) == 8


def test_few_examples_are_said_with_their_error(finished, capsys):
    rows = (finished / "unlabelled.jsonl").read_text().splitlines()
    (finished / "one.jsonl").write_text(rows[0] + "\n")
    calibrate(
        finished / "run", "base", finished / "prompt.jsonl", finished / "one.jsonl", finished / "o.json", Console()
    )
    assert "measured on 1 examples only and have an unknown error" in capsys.readouterr().err
    assert all(math.isnan(error) for error in Offsets.read(finished / "o.json").errors.values())


def test_offsets_of_a_task_with_uneven_labels_come_with_a_warning(finished, capsys):
    def warned():
        calibrate(
            finished / "run", "user", finished / "prompt.jsonl", finished / "unlabelled.jsonl", finished / "o.json", Console()
        )  # fmt: skip
        return "offsets without --reference take labels to be balanced" in capsys.readouterr().err

    assert not warned()
    write_rows(finished / "uneven.jsonl", [{"thing": f"thing {i}", "colour": "red"} for i in range(10)])
    config = yaml.safe_load((finished / "run/config.yaml").read_text())
    config["task"]["test"] = str(finished / "uneven.jsonl")
    (finished / "run/config.yaml").write_text(yaml.safe_dump(config))
    assert warned()


def test_what_cannot_be_calibrated_is_refused_in_one_line(finished):
    write_rows(finished / "two.jsonl", TEST_PROMPTS)
    write_rows(finished / "bad.jsonl", [{"text": "no slot"}])
    for changes, message in [
        ({"method": "usr"}, "no method 'usr'; did you mean 'user'"),
        ({"prompt": "two.jsonl"}, "2 prompts; offsets belong to one"),
        ({"prompt": "bad.jsonl"}, "does not fit the task"),
        ({"reference": "prompt.jsonl"}, r"prompt\.jsonl: no prompt but the one whose offsets are measured"),
        ({"reference": "bad.jsonl"}, r"bad\.jsonl: prompt .* does not fit the task"),
        ({"examples": "prompt.jsonl"}, "no column 'thing'"),
    ]:
        with pytest.raises(UserError, match=message):
            start(finished, **changes)
    assert not (finished / "offsets.json").exists()
    adapter = finished / "run/methods/user/adapter"
    adapter.rename(adapter.with_name("gone"))
    with pytest.raises(UserError, match="user is not trained yet"):
        start(finished)


def test_the_snippet_of_the_documentation_runs(finished, monkeypatch):
    start(finished)
    text = (ROOT / "docs/beyond.md").read_text(encoding="utf-8")
    snippet = text.partition("## Calibration")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(finished)
    names: dict = {}
    exec(snippet, names)
    assert names["label"] in COLOURS


def test_a_module_of_the_users_own_that_is_not_found_is_told_where_it_was_looked_for(finished, monkeypatch):
    config = finished / "run/config.yaml"
    config.write_text(config.read_text().replace("- base\n", "- base\n- nowhere_to_be_found:Method\n"))
    with pytest.raises(UserError, match=r"No module named .*; it is looked for in .*/run, .*; start paft in its"):
        start(finished, "base")


def test_a_file_of_something_else_is_not_replaced(finished):
    (finished / "offsets.json").write_text("[1]\n")
    with pytest.raises(UserError, match="the file exists and is not of `paft calibrate`"):
        start(finished, "base")
    assert (finished / "offsets.json").read_text() == "[1]\n"
