"""``paft run`` as its user meets it: one command, a run directory, and a second command that goes on."""

import json
import shutil

import pytest
import yaml
from pyarrow import parquet

from conftest import TEST_PROMPTS, TRAIN_PROMPTS, things, write_rows
from paft.config_file import load_config
from paft.console import Console
from paft.errors import UserError
from paft.rundir import RunDirectory
from paft.runner import evaluate, run


def start(project, *overrides, name="run"):
    run(load_config(project / "config.yaml", list(overrides)), project / name, Console(quiet=True))
    return project / name


def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_one_command_leaves_the_run_directory_of_the_contract(project):
    folder = start(project)
    for name in ("config.yaml", "examples.jsonl", "report.html", "report.json", "report.md", "figures/accuracy.svg", "figures/accuracy.png",
                 "prompts/train.jsonl", "prompts/test.jsonl", "prompts/screened.jsonl"):  # fmt: skip
        assert (folder / name).stat().st_size >= 0, name
    assert not (folder / "methods/paft/checkpoints").exists()
    for method in ("base", "user", "paft"):
        rows = parquet.read_table(folder / "methods" / method / "predictions.parquet").to_pylist()
        assert len(rows) == len({(r["prompt_id"], r["example_id"]) for r in rows}) == 12
    assert not (folder / "methods/base/adapter").exists()
    log = [json.loads(line) for line in (folder / "methods/paft/train.jsonl").read_text().splitlines()]
    assert len(log) == 10
    assert {"step", "epoch", "prompt_id", "loss", "learning_rate", "tokens", "seconds"} <= log[0].keys()
    assert len({row["prompt_id"] for row in log}) > 1
    user = [json.loads(line) for line in (folder / "methods/user/train.jsonl").read_text().splitlines()]
    assert len({row["prompt_id"] for row in user}) == 1


def test_report_json_holds_every_figure_of_the_contract(project):
    found = report(start(project))
    assert (found["schema"], found["task"], list(found["methods"])) == (1, "colours", ["base", "user", "paft"])
    keys = {"mean", "std", "top", "worst", "best", "unparsed", "prompts", "examples", "per_prompt", "train_seconds",
            "train_examples_per_second", "eval_seconds", "eval_examples_per_second", "generated_tokens"}  # fmt: skip
    for name, method in found["methods"].items():
        assert keys <= method.keys()
        assert (method["prompts"], method["examples"], len(method["per_prompt"])) == (2, 6, 2)
        assert method["mean"] == pytest.approx(sum(method["per_prompt"].values()) / 2)
        assert (method["train_seconds"] is None) == (name == "base")
        assert method["eval_seconds"] > 0
    assert found["chance"] == pytest.approx(1 / 3, abs=1e-5)


def test_the_same_command_does_nothing_twice(project):
    folder = start(project)
    times = {path: path.stat().st_mtime_ns for path in (folder / "methods").rglob("*") if path.is_file()}
    start(project)
    assert {path: path.stat().st_mtime_ns for path in (folder / "methods").rglob("*") if path.is_file()} == times


@pytest.mark.parametrize("lost", ["methods/paft/predictions.parquet", "methods/paft", "methods", "report.json"])
def test_what_is_missing_is_done_again_and_comes_out_the_same(project, lost):
    folder = start(project)
    before = {m: v["per_prompt"] for m, v in report(folder)["methods"].items()}
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    start(project)
    assert {m: v["per_prompt"] for m, v in report(folder)["methods"].items()} == before


def test_another_config_is_refused_and_the_keys_that_differ_are_named(project):
    folder = start(project, "methods=[base]")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"another config.*seed \(was 0, now 1\); training\.K \(was 2, now 3\)"):
        start(project, "methods=[base]", "training.K=3", "seed=1")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_changed_data_under_the_same_config_is_refused(project):
    start(project, "methods=[base]")
    write_rows(project / "test.jsonl", things(7, 100))
    with pytest.raises(UserError, match=r"task\.test \(the file changed\)"):
        start(project, "methods=[base]")


def test_a_folder_that_holds_something_else_is_left_alone(project):
    (project / "run").mkdir()
    (project / "run/thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty and holds no run"):
        start(project)
    assert [p.name for p in (project / "run").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.path=./nowhere", "model.path: no such folder"),
        ("task.fields=[thing, A]", "'A' cannot be a slot {A}; rename the column"),
        ("model.path=embedded/smollm3", "no embedded model 'embedded/smollm3'; did you mean"),
        ("model.adapter=./nowhere", "model.adapter: no PEFT adapter"),
        ("training.max_length=30", "20 of 20 training examples are longer"),
        ("training.lr_scheduler_type=cosin", "config section training:"),
        ("training.report_to=wandbb", "config section training:"),
        (
            "training.dataloader_drop_last=true",
            "training.dataloader_drop_last cannot be set: each epoch visits every example",
        ),
        ("task.test=train.jsonl", "the test examples are the training examples"),
        ("prompts.user=null", "prompts.user is missing"),
        ("prompts.user=Tell me", "prompts.user: the slot {thing} is missing"),
        ("prompts.user=Is {thing} red?", "prompts.user: names only some of the labels: red"),
        ("task.train=null", "task.train is missing"),
        ("task.test=null", "task.test is missing"),
        ("prompts.test=null", "prompts.test is missing"),
        ("prompts.test=prompts/train.jsonl", "5 test prompt(s) repeat a training prompt"),
        ("task.target=color", "no column 'color'; did you mean 'colour'"),
        ("task.choices=[red, green]", "colour is 'blue', which is none of the choices"),
        (
            "training.lora.targets=[query]",
            "training.lora.targets: the model has no module 'query'; its linear layers are down_proj",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(project, override, message):
    with pytest.raises(UserError) as error:
        start(project, override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (project / "run").exists()


def test_a_model_without_a_chat_template_is_refused_or_used_as_plain_text(project, tmp_path):
    from transformers import AutoTokenizer

    config = yaml.safe_load((project / "config.yaml").read_text())
    bare = tmp_path / "bare"
    shutil.copytree(config["model"]["path"], bare)
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.chat_template = None
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(bare)
    with pytest.raises(UserError, match="no chat template"):
        start(project, f"model.path={bare}", "methods=[base]")
    assert report(start(project, f"model.path={bare}", "model.chat_template=none", "methods=[base]", name="plain"))


def test_defective_test_prompts_are_reported_and_the_grid_runs_without_them(project, capsys):
    write_rows(project / "prompts/test.jsonl", [*TEST_PROMPTS, {"text": "no slot"}, {"text": "red {thing}?"}])
    run(load_config(project / "config.yaml", ["methods=[base]"]), project / "run", Console())
    assert "2 test prompt(s) screened out" in capsys.readouterr().err
    assert report(project / "run")["methods"]["base"]["prompts"] == 2
    screened = [json.loads(line) for line in (project / "run/prompts/screened.jsonl").read_text().splitlines()]
    assert [(s["split"], s["rule"]) for s in screened] == [("test", "missing-slot"), ("test", "answer-leak")]


def test_evaluate_measures_a_model_with_an_adapter(project):
    folder = start(project)
    config = load_config(
        project / "config.yaml", [f"model.adapter={folder}/methods/paft/adapter", "task.train=gone.jsonl"]
    )
    evaluate(config, project / "measured", Console(quiet=True))
    clash = [f"model.adapter={folder}/methods/paft/adapter", "prompts.test=prompts/train.jsonl"]
    with pytest.raises(UserError, match="repeat a training prompt"):
        evaluate(load_config(project / "config.yaml", clash), project / "clash", Console(quiet=True))
    one = report(project / "measured")["methods"]["base"]["per_prompt"]
    assert one == report(folder)["methods"]["paft"]["per_prompt"]


def test_generation_writes_what_the_model_wrote_and_counts_unparsed(project):
    folder = start(project, "methods=[base]", "evaluation.answers=generate", "evaluation.max_new_tokens=5")
    rows = parquet.read_table(folder / "methods/base/predictions.parquet").to_pylist()
    assert all(r["output"] is not None and 1 <= r["generated_tokens"] <= 5 for r in rows)
    base = report(folder)["methods"]["base"]
    assert base["unparsed"] == sum(r["correct"] is None for r in rows)
    assert base["generated_tokens"] == sum(r["generated_tokens"] for r in rows)


def test_the_resolved_config_runs_by_itself(project):
    folder = start(project, "methods=[base]", "seed=3")
    again = load_config(folder / "config.yaml")
    run(again, project / "again", Console(quiet=True))
    assert (
        report(project / "again")["methods"]["base"]["per_prompt"]
        == report(folder)["methods"]["base"]["per_prompt"]
    )
    assert yaml.safe_load((folder / "config.yaml").read_text())["run"]["versions"]["torch"]


def test_two_processes_on_one_run_are_told_apart(project):
    directory = RunDirectory(project / "run")
    with directory.locked(), pytest.raises(UserError, match=r"process \d+ is working on this run"):
        start(project)


def test_a_bank_and_trainer_arguments_by_their_usual_names_work(project):
    write_rows(project / "prompts/train.jsonl", TRAIN_PROMPTS)
    folder = start(
        project, "methods=[paft]", "training.gradient_accumulation_steps=2", "training.weight_decay=0.1",
        "training.lr_scheduler_type=linear", "training.logging_steps=4", "training.max_grad_norm=0.5",
    )  # fmt: skip
    log = [json.loads(line) for line in (folder / "methods/paft/train.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [4, 6]
    assert sum(row["examples"] for row in log) == 40
    assert log[-1]["learning_rate"] < log[0]["learning_rate"]
