"""``paft run --validate``: settings are chosen on training data that is held out, never on test data."""

import json
from pathlib import Path

import pytest

from paft.cli.run import run
from paft.config.load import load_config
from paft.errors import UserError
from paft.runs.validation import held_out_examples
from paft.types import Example


def ids(file):
    return [json.loads(line)["id"] for line in file.read_text().splitlines()]


def texts(file):
    return {json.loads(line)["text"] for line in file.read_text().splitlines()}


def rows(file):
    return {json.loads(line)["thing"] for line in file.read_text().splitlines()}


def test_a_part_of_the_training_data_takes_the_place_of_the_test_data(project):
    for name in ("test.jsonl", "prompts/test.jsonl"):
        (project / name).unlink()  # neither is read
    run(project / "config.yaml", ["methods=[paft]"], validate=True, quiet=True)
    folder = project / "runs/config-validate"
    held_out = folder / "held-out"
    train, test = texts(held_out / "train-prompts.jsonl"), texts(held_out / "test-prompts.jsonl")
    assert len(test) == 2
    assert not train & test
    assert train | test == texts(project / "prompts/train.jsonl")
    assert set(ids(folder / "prompts/test.jsonl")) == set(ids(held_out / "test-prompts.jsonl"))
    known, asked = rows(held_out / "train-examples.jsonl"), rows(held_out / "test-examples.jsonl")
    assert len(asked) == 2
    assert not known & asked
    assert known | asked == rows(project / "train.jsonl")
    assert json.loads((folder / "report.json").read_text())["methods"]["paft"]["prompts"] == 2
    config = load_config(folder / "config.yaml")  # the run can be opened again, from anywhere
    assert all(Path(str(file)).is_file() for file in (config.task.train, config.task.test, config.prompts.test))


def test_the_same_command_goes_on_with_the_same_parts_and_adds_methods(project, capsys):
    run(project / "config.yaml", ["methods=[base]"], validate=True)
    said = capsys.readouterr().err
    assert "held-out: 2 of 5 training prompts and 2 of 20 training examples are held out" in said
    report = json.loads((project / "runs/config-validate/report.json").read_text())
    run(project / "config.yaml", ["methods=[base, user]"], validate=True)
    after = json.loads((project / "runs/config-validate/report.json").read_text())
    assert after["methods"].keys() == {"base", "user"}
    assert after["methods"]["base"] == report["methods"]["base"]


def test_parts_of_another_seed_are_not_mixed_in(project):
    run(project / "config.yaml", ["methods=[base]"], validate=True, quiet=True)
    held_out = project / "runs/config-validate/held-out"
    before = {file.name: file.read_bytes() for file in held_out.iterdir()}
    with pytest.raises(UserError, match=r"holds the parts of another config or seed; choose another --output"):
        run(project / "config.yaml", ["methods=[base]", "seed=1"], validate=True, quiet=True)
    assert {file.name: file.read_bytes() for file in held_out.iterdir()} == before


def test_prompts_that_are_not_written_yet_cannot_be_held_out(project):
    generate = "prompts.train={generate: {models: [{model: m, base_url: 'http://localhost:1/v1'}]}}"
    with pytest.raises(UserError, match="--validate holds some of the prompts out; name a file or a bank"):
        run(project / "config.yaml", [generate], validate=True, quiet=True)
    assert not (project / "runs").exists()


def test_rows_that_share_a_long_text_with_most_others_stay_for_training():
    texts = ["the policy of the house, which is long"] * 90 + [f"a text of its own, number {i}" for i in range(10)]
    examples = [Example(str(i), {"text": text, "n": str(i)}, targets=("yes",)) for i, text in enumerate(texts)]
    for seed in range(8):
        assert held_out_examples(examples, 11, seed) == set(range(90, 100))
    halves = [Example(str(i), {"text": f"half {i % 2}, which is long"}, targets=("yes",)) for i in range(20)]
    assert len(held_out_examples(halves, 2, 0)) == 10
