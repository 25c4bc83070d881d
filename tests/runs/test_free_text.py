"""A task without options: run, evaluated, searched and served."""

import json

import pytest
import yaml
from pyarrow import parquet

from conftest import WORDS, write_rows
from paft.config.load import load_config
from paft.errors import UserError
from paft.runs.data import TaskData
from paft.scoring.registry import SCORERS
from paft.utils.console import Console
from reported_runs import evaluate, run

QUIET = Console(quiet=True)
TRAIN = ["Write {word} backwards.", "{word} reversed:", "Turn around: {word}", "Spell {word} from its end"]
TEST = ["The mirror of {word} is", "Read {word} from right to left."]


@pytest.fixture
def backwards(tmp_path, tiny_model):
    """A project whose answers are free text, of which some have several accepted spellings."""
    rows = [{"word": word, "reversed": word[::-1]} for word in WORDS]
    rows[0]["reversed"] = [rows[0]["word"][::-1], rows[0]["word"][::-1].upper()]
    write_rows(tmp_path / "train.jsonl", rows[:12])
    write_rows(tmp_path / "test.jsonl", rows[12:])
    write_rows(tmp_path / "prompts/train.jsonl", [{"text": text} for text in TRAIN])
    write_rows(tmp_path / "prompts/test.jsonl", [{"text": text} for text in TEST])
    config = {
        "model": {"path": tiny_model},
        "task": {
            "name": "backwards", "train": "train.jsonl", "test": "test.jsonl", "fields": ["word"], "target": "reversed",
        },
        "prompts": {"train": "prompts/train.jsonl", "test": "prompts/test.jsonl", "user": "{word} backwards:"},
        "training": {"epochs": 1, "batch_size": 4},
        "evaluation": {"max_new_tokens": 6},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    return tmp_path


def start(project, *overrides, how=run):
    how(load_config(project / "config.yaml", list(overrides)), project / "run", QUIET)
    return project / "run"


def rows_of(folder, method):
    return parquet.read_table(folder / "methods" / method / "predictions.parquet").to_pylist()


@pytest.mark.parametrize("name", [name for name in SCORERS.names if name not in ("choice", "python", "judge")])
def test_the_data_of_a_run_can_be_read_with_every_scorer(backwards, name):
    answers = ['{"n": 1}', '{"n": -1}'] if name == "json" else ["3", "-3"]
    for split in ("train", "test"):
        write_rows(backwards / f"{split}.jsonl", [{"word": f"{split}{a}", "reversed": a} for a in answers])
    scorer = {"name": name} | ({"pattern": r"is (\d+)"} if name == "regex" else {})
    config = load_config(backwards / "config.yaml", [f"task.scorer={json.dumps(scorer)}"])
    assert len(TaskData.load(config, [], QUIET).all_examples) == 4


def test_every_method_that_needs_no_language_model_runs_on_free_text(backwards):
    methods = "methods=[base, user, top-accuracy, zopo, paft]"
    folder = start(backwards, methods, "baselines={zopo: {initial: 2, budget: 3}}")
    found = json.loads((folder / "report.json").read_text())
    assert list(found["methods"]) == ["base", "user", "top-accuracy", "zopo", "paft"]
    facts = yaml.safe_load((folder / "config.yaml").read_text())["run"]
    assert (facts["chance"], facts["scorers"], facts["yes_or_no"]) == (None, ["exact"], True)
    for method in found["methods"]:
        rows = rows_of(folder, method)
        assert len(rows) == 2 * 6
        for row in rows:
            assert row["output"] is not None
            assert row["target"] in {word[::-1] for word in WORDS}
            assert row["scores"] is None
    assert "reversed" not in (folder / "examples.jsonl").read_text()
    log = (folder / "methods/paft/train.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["examples"] > 0


def test_the_first_scorer_is_the_score_and_the_others_are_kept_beside_it(backwards):
    (backwards / "lengths.py").write_text(
        "def half(completions, **columns): return [0.5 for _ in completions]\n"
        "def full(completions, **columns): return [1.0 for _ in completions]\n"
    )
    folder = start(backwards, "methods=[base]", "task.scorer=[lengths:half, exact, lengths:full]")
    for row in rows_of(folder, "base"):
        assert row["score"] == 0.5
        assert row["other_scores"] == [0.0, 1.0]
        assert row["correct"] is None


def test_an_answer_ends_before_a_stop_text(backwards):
    free = {r["example_id"]: r["output"] for r in rows_of(start(backwards, "methods=[base]"), "base")}
    stop = next(text for text in free.values() if len(text) > 2)[1]
    again = backwards / "stopped"
    run(
        load_config(backwards / "config.yaml", ["methods=[base]", f"evaluation.stop=[{json.dumps(stop)}]"]),
        again,
        QUIET,
    )
    for row in rows_of(again, "base"):
        assert stop not in row["output"]
    with pytest.raises(UserError, match=r"evaluation\.stop"):
        start(backwards, "methods=[base]", "evaluation.stop=[X]")


def test_likelihood_needs_options(backwards):
    with pytest.raises(UserError, match=r"evaluation\.mode: likelihood .* task\.choices"):
        start(backwards, "evaluation.mode=likelihood")
    assert not (backwards / "run").exists()


def test_choice_needs_options_and_text_needs_none(backwards):
    with pytest.raises(UserError, match=r"task\.scorer: choice needs task\.choices"):
        start(backwards, "task.scorer=choice")
    with pytest.raises(UserError, match=r"task\.choices is missing: task\.answer is letter"):
        start(backwards, "task.answer=letter")


def test_an_added_scorer_is_another_result(backwards):
    (backwards / "lengths.py").write_text("def full(completions, **columns): return [1.0 for _ in completions]\n")
    start(backwards, "methods=[base]")
    with pytest.raises(UserError, match=r"task\.scorer"):
        start(backwards, "methods=[base]", "task.scorer=[exact, lengths:full]")


def test_paft_evaluate_measures_free_text(backwards):
    folder = start(backwards, how=evaluate)
    assert json.loads((folder / "report.json").read_text())["methods"]["base"]["prompts"] == 2
