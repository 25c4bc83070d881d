"""``paft run`` as its user meets it: one command, a run directory, and a second command that goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from conftest import TEST_PROMPTS, TRAIN_PROMPTS, make_model, make_project, things, write_rows
from endpoints import Server
from paft.config.load import load_config
from paft.config.schema import Config
from paft.errors import UserError, WorkError
from paft.methods.registry import resolve
from paft.runs import hashes, resume
from paft.runs.directory import RunDirectory
from paft.runs.fingerprint import NEUTRAL, flatten
from paft.utils.console import Console
from reported_runs import evaluate, run

QUIET = Console(quiet=True)


def start(project, *overrides, name="run", console=QUIET):
    run(load_config(project / "config.yaml", list(overrides)), project / name, console)
    return project / name


def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, tiny_model):
    return start(make_project(tmp_path_factory.mktemp("first"), tiny_model))


@pytest.fixture
def finished(project, first_run):
    """The folder of a finished run of the project's config."""
    return shutil.copytree(first_run, project / "run")


def test_one_command_leaves_the_run_directory_of_the_contract(finished):
    for name in ("config.yaml", "examples.jsonl", "report.html", "report.json", "report.md", "figures/accuracy.svg", "figures/accuracy.png",
                 "prompts/train.jsonl", "prompts/test.jsonl", "prompts/screened.jsonl"):  # fmt: skip
        assert (finished / name).stat().st_size >= 0, name
    assert not (finished / "methods/paft/checkpoints").exists()
    for method in ("base", "user", "paft"):
        rows = parquet.read_table(finished / "methods" / method / "predictions.parquet").to_pylist()
        assert len(rows) == len({(r["prompt_id"], r["example_id"]) for r in rows}) == 12
    assert not (finished / "methods/base/adapter").exists()
    log = [json.loads(line) for line in (finished / "methods/paft/train.jsonl").read_text().splitlines()]
    assert len(log) == 10
    assert {"step", "epoch", "prompt_ids", "loss", "learning_rate", "tokens", "seconds"} <= log[0].keys()
    assert len({p for row in log for p in row["prompt_ids"]}) > 1
    user = [json.loads(line) for line in (finished / "methods/user/train.jsonl").read_text().splitlines()]
    assert len({p for row in user for p in row["prompt_ids"]}) == 1


def test_report_json_holds_every_figure_of_the_contract(finished):
    found = report(finished)
    assert (found["schema"], found["task"], list(found["methods"])) == (2, "colours", ["base", "user", "paft"])
    keys = {"mean", "std", "top", "worst", "best", "unparsed", "prompts", "examples", "per_prompt", "train_seconds",
            "train_examples_per_second", "eval_seconds", "eval_examples_per_second", "generated_tokens"}  # fmt: skip
    for name, method in found["methods"].items():
        assert keys <= method.keys()
        assert (method["prompts"], method["examples"], len(method["per_prompt"])) == (2, 6, 2)
        assert method["mean"] == pytest.approx(sum(method["per_prompt"].values()) / 2)
        assert (method["train_seconds"] is None) == (name == "base")
        assert method["eval_seconds"] > 0
    assert found["chance"] == pytest.approx(1 / 3, abs=1e-5)


def test_the_same_command_does_nothing_twice(project, finished):
    times = written(finished)
    start(project)
    assert written(finished) == times


def written(folder):
    """Return when each file of the methods was written, locks apart."""
    files = (
        path for path in (folder / "methods").rglob("*") if path.is_file() and not path.name.startswith(".lock")
    )
    return {path: path.stat().st_mtime_ns for path in files}


def test_methods_are_added_to_a_finished_run_and_nothing_is_redone(project, capsys):
    folder = start(project, "methods=[base, user]")
    before = written(folder)
    more = "methods=[base, user, paft, {name: paft-k1, method: paft, training: {K: 1, lora: {r: 2}}}]"
    start(project, more, "training.logging_steps=2", "evaluation.batch_tokens=512", console=Console())
    after = written(folder)
    assert {path: time for path, time in after.items() if path in before} == before
    assert list(report(folder)["methods"]) == ["base", "user", "paft", "paft-k1"]
    said = capsys.readouterr().err
    assert "training paft" in said
    assert "training user" not in said
    assert "evaluating base" not in said
    adapter = json.loads((folder / "methods/paft-k1/adapter/adapter_config.json").read_text())
    assert adapter["r"] == 2
    assert "paft-k1" in (folder / "report.md").read_text()
    assert "paft-k1" in (folder / "report.html").read_text()
    start(project, "methods=[zopo]", "baselines={zopo: {budget: 3, initial: 2, examples: 4}}")
    assert list(report(folder)["methods"]) == ["base", "user", "paft", "paft-k1", "zopo"]
    assert {path: time for path, time in written(folder).items() if path in after} == after


def test_a_setting_of_another_method_and_of_the_report_changes_nothing(project):
    folder = start(project, "methods=[base, user]")
    before = written(folder)
    start(
        project,
        "methods=[base, user]",
        "baselines={zopo: {budget: 9}}",
        "task.top_threshold=0.3",
        "training.save_steps=9",
    )
    assert written(folder) == before
    assert report(folder)["top_threshold"] == 0.3


def test_answers_of_an_adapter_that_was_removed_are_not_kept_beside_another_training(project):
    folder = start(project, "methods=[base, user]")
    shutil.rmtree(folder / "methods/user/adapter")
    with pytest.raises(UserError, match=r"results of user .*Different: training\.learning_rate"):
        start(project, "methods=[base, user]", "training.learning_rate=0.02")
    start(project, "methods=[base, user]")  # trained again as before
    assert (folder / "methods/user/adapter").is_dir()


def test_what_changes_a_finished_training_is_refused_and_what_it_leaves_alone_is_not(project):
    folder = start(project, "methods=[base, user]")
    shutil.rmtree(folder / "methods/user")
    start(project, "methods=[base, user]", "training.learning_rate=0.02")  # nothing of user was there any more
    with pytest.raises(
        UserError, match=r"results of user .*Different: training\.learning_rate \(was 0\.02, now 0\.01\)"
    ):
        start(project, "methods=[user]")
    (folder / "methods/user/predictions.parquet").unlink()
    (folder / "methods/base/predictions.parquet").unlink()
    adapter = folder / "methods/user/adapter/adapter_model.safetensors"
    trained = adapter.stat().st_mtime_ns
    start(project, "methods=[base, user]", "training.learning_rate=0.02", "evaluation.examples=3")
    assert adapter.stat().st_mtime_ns == trained  # the evaluation had not begun, so it may change
    assert report(folder)["methods"]["user"]["examples"] == 3


def test_a_search_that_has_begun_is_not_continued_with_other_answers(project):
    """Its evaluations are kept by prompt and examples; those of likelihoods and of written answers must not mix."""
    methods = ("methods=[top-accuracy]", "baselines.top_accuracy.examples=4")
    folder = start(project, *methods)
    (folder / "methods/top-accuracy/predictions.parquet").unlink()
    (folder / "methods/top-accuracy/choice.json").unlink()
    shutil.rmtree(folder / "methods/top-accuracy/adapter")
    with pytest.raises(UserError, match=r"evaluation\.mode \(was likelihood, now generate\)"):
        start(project, *methods, "evaluation={mode: generate, max_new_tokens: 4}")
    start(project, *methods, "evaluation.examples=3")  # a search sees no test example
    assert report(folder)["methods"]["top-accuracy"]["examples"] == 3


def test_what_a_method_does_not_use_is_no_part_of_its_fingerprint(project):
    folder = start(project, "methods=[user]")
    before = written(folder)
    start(project, "methods=[user]", "training.sampler=mixed", "training.prompts_per_step=2", "task.scorer=choice")
    assert written(folder) == before


def test_too_little_memory_while_answering_is_fixed_on_the_same_run(project, monkeypatch):
    from paft.engine.engine import Engine

    score = Engine.score

    def hungry(self, *arguments):
        if self.batch_tokens > 600:
            raise MemoryError
        return score(self, *arguments)

    monkeypatch.setattr(Engine, "score", hungry)
    with pytest.raises(MemoryError):
        start(project, "methods=[user]", "evaluation.batch_tokens=601")
    trained = (project / "run/methods/user/adapter").stat().st_mtime_ns
    start(project, "methods=[user]", "evaluation.batch_tokens=600")
    assert (project / "run/methods/user/adapter").stat().st_mtime_ns == trained
    assert report(project / "run")["unfinished"] == []


def test_a_run_of_the_first_version_is_refused_with_what_still_reads_it(project):
    folder = start(project, "methods=[base]")
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    del tree["run"]["version"]
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(
        UserError, match=r"run directory of version 1, .*another --output .*paft report. still reads"
    ):
        start(project, "methods=[base]")


@pytest.mark.parametrize("lost", ["methods/paft/predictions.parquet", "methods/paft", "methods", "report.json"])
def test_what_is_missing_is_done_again_and_comes_out_the_same(project, finished, lost):
    before = {m: v["per_prompt"] for m, v in report(finished)["methods"].items()}
    path = finished / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    start(project)
    assert {m: v["per_prompt"] for m, v in report(finished)["methods"].items()} == before


def test_another_config_is_refused_and_the_keys_that_differ_are_named(project):
    folder = start(project, "methods=[base, paft]")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError,
        match=r"results of paft with another config.*seed \(was 0, now 1\); training\.K \(was 2, now 3\)",
    ):
        start(project, "methods=[base, paft]", "training.K=3", "seed=1")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_field_to_group_by_that_the_task_lacks_is_refused_with_those_that_it_has(project):
    with pytest.raises(
        UserError, match=r"training\.group_by: 'article' is no field of the task 'colours'; use thing"
    ):
        start(project, "training.group_by=article")


def test_changed_data_under_the_same_config_is_refused(project):
    start(project, "methods=[base]")
    write_rows(project / "test.jsonl", things(7, 100))
    with pytest.raises(
        UserError,
        match=r"task\.test \(its content changed, or which of it evaluation\.examples and the seed draw\)",
    ):
        start(project, "methods=[base]")


def test_a_run_goes_on_where_its_data_have_been_moved_to(project):
    start(project, "methods=[base]")
    moved = project.rename(project.with_name("moved"))
    before = (moved / "run/methods/base/predictions.parquet").stat().st_mtime_ns
    start(moved, "methods=[base]")
    assert (moved / "run/methods/base/predictions.parquet").stat().st_mtime_ns == before
    write_rows(moved / "test.jsonl", things(7, 100))
    with pytest.raises(
        UserError,
        match=r"task\.test \(its content changed, or which of it evaluation\.examples and the seed draw\)",
    ):
        start(moved, "methods=[base]")


@pytest.mark.parametrize("sampled", [False, True])
def test_another_model_at_the_same_path_is_refused_and_a_copy_of_the_same_is_not(
    project, tiny_model, monkeypatch, sampled
):
    if sampled:
        monkeypatch.setattr(hashes, "DATA", 1_000)  # so that the weights count as too large to be read whole
    own = ("methods=[base]", "model.path=./own")
    monkeypatch.chdir(project)
    shutil.copytree(tiny_model, project / "own")
    start(project, *own)
    shutil.rmtree(project / "own")
    shutil.copytree(tiny_model, project / "own", copy_function=shutil.copyfile)
    (project / "own/README.md").write_text("notes")
    start(project, *own)
    other = make_model()
    other.lm_head.weight.data[100] += 0.1
    other.save_pretrained(project / "own")
    with pytest.raises(UserError, match=r"model\.path \(its content changed\)"):
        start(project, *own)


def test_an_evaluation_names_its_adapter_and_calls_no_prompt_unseen(project, finished):
    adapter = finished / "methods/paft/adapter"
    assert "unseen" in (finished / "report.md").read_text()
    evaluate(
        load_config(project / "config.yaml", [f"model.adapter={adapter}"]),
        project / "measured",
        Console(quiet=True),
    )
    text = (project / "measured/report.md").read_text()
    assert f"with the adapter {adapter} " in text
    assert "unseen" not in text
    assert "unseen" not in (project / "measured/report.html").read_text().split("<script")[0]


def test_a_run_with_a_method_without_a_result_does_not_end_well(project, finished):
    """Nothing is overwritten: a damaged file may be somebody's only copy."""
    predictions = finished / "methods/user/predictions.parquet"
    predictions.write_bytes(b"PAR1")
    with pytest.raises(
        WorkError, match=r"predictions\.parquet: damaged .*remove the file.*; user is not finished"
    ):
        start(project)
    assert predictions.read_bytes() == b"PAR1"
    predictions.unlink()
    assert "user" in report(start(project))["methods"]


def test_an_adapter_with_other_settings_is_another_adapter(project, finished):
    adapter = finished / "methods/paft/adapter"
    wearing = ("methods=[base]", f"model.adapter={adapter}")
    start(project, *wearing, name="measured")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"lora_alpha": 64}))
    with pytest.raises(UserError, match=r"model\.adapter \(its content changed\)"):
        start(project, *wearing, name="measured")


def test_test_examples_that_are_trained_on_are_counted_and_refused_where_all_are(project, capsys):
    write_rows(project / "test.jsonl", things(3) + things(3, 100))
    start(project, console=Console())
    assert "3 of 6 test examples ask the same as a training example" in capsys.readouterr().err
    write_rows(project / "test.jsonl", things(6))
    with pytest.raises(UserError, match=r"task\.test: the test examples are training examples"):
        start(project, name="copied")
    assert report(start(project, "methods=[base]", name="measured"))


def test_a_kill_while_the_config_is_written_leaves_a_folder_that_a_run_can_begin_in(project):
    (project / "run").mkdir()
    (project / "run/.config.yaml.4711.tmp").write_text("task: {na")
    assert report(start(project, "methods=[base]"))


def test_a_run_goes_on_however_its_served_models_are_reached():
    llm = {"model": "writer", "base_url": "http://127.0.0.1:1/v1"}
    tree = {
        "task": {"name": "piqa"},
        "prompts": {"train": {"generate": {"models": [llm]}}},
        "baselines": {"batprompt": {"llm": llm}},
    }

    def keys():
        config = Config.model_validate(tree)
        [variant] = resolve(["batprompt"], config.training, config.baselines)
        settings = flatten(variant.method.model_dump(mode="json", exclude_none=True), variant.key)
        kept = {key: value for key, value in settings.items() if not NEUTRAL.fullmatch(key)}
        return kept | resume._generate_keys(config.model_dump(mode="json", exclude_none=True)["prompts"]["train"])

    before = keys()
    llm |= {"timeout": 900, "parallel": 2, "retries": 1, "base_url": "http://127.0.0.1:2/v1"}
    tree["prompts"]["train"]["generate"]["max_request_factor"] = 6
    assert keys() == before
    llm["model"] = "another"
    changed = {key for key, value in keys().items() if before.get(key) != value}
    assert changed == {"baselines.batprompt.llm.model", "prompts.train.generate.models.0.model"}


@pytest.mark.parametrize(
    ("key", "neutral"),
    [
        ("model.device", True),
        ("task.scorer.1.model.timeout", True),
        ("training.logging_steps", True),
        ("methods.grpo.log_completions", True),
        ("training.sampler.parallel", False),
        ("training.sampler.save_last", False),
        ("training.objective.log_eps", False),
        ("methods.mine.timeout", False),
        ("methods.mine.log_scale", False),
    ],
)
def test_settings_of_a_users_own_parts_are_never_taken_for_how_a_model_is_reached(key, neutral):
    assert bool(NEUTRAL.fullmatch(key)) is neutral


def test_a_folder_that_holds_something_else_is_left_alone(project):
    (project / "run").mkdir()
    (project / "run/thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="the folder is not empty and is not a run"):
        start(project)
    assert [p.name for p in (project / "run").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.path=./nowhere", "model.path: no such folder"),
        ("task.fields=[thing, A]", "'A' cannot be a slot {A}; give the slot of a column another name"),
        ("model.path=embedded/smollm3", "no embedded model 'embedded/smollm3'; did you mean"),
        ("model.adapter=./nowhere", "model.adapter: no PEFT adapter"),
        (
            "evaluation={mode: generate, max_new_tokens: 2040}",
            "and an answer of up to 2040 do not fit the model's 2048 positions",
        ),
        ("training.max_length=30", "20 of 20 training examples are longer"),
        ("training.lr_scheduler_type=cosin", "config section training:"),
        ("training.report_to=wandbb", "config section training:"),
        ("training.lr_scheduler_type=cosine_with_min_lr", "config section training:"),
        ("training.lr_scheduler_kwargs={num_circles: 2}", "config section training:"),
        ("training.optim=lomo", "config section training:"),
        ("training.report_to=tensorboard", "config section training: TensorBoardCallback requires tensorboard"),
        ("training.weight_decay=abc", "training.weight_decay: Input should be a valid number, found 'abc'"),
        ("training.push_to_hub=true", "training.push_to_hub cannot be set: upload RUN/methods/METHOD/adapter"),
        ("training.save_strategy=best", "training.save_strategy cannot be set: use training.save_steps"),
        (
            "training.lora.target_modules=[self_attn]",
            "no linear layer 'self_attn'; its linear layers are down_proj",
        ),
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
            "training.lora.target_modules=[query]",
            "training.lora.target_modules: the model has no linear layer 'query'; its linear layers are down_proj",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(project, override, message):
    with pytest.raises(UserError) as error:
        start(project, override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (project / "run").exists()


def test_a_question_that_is_too_long_is_named_by_its_row_and_prompt(project):
    with pytest.raises(UserError, match=r"test\.jsonl:\d+ under prompt \w{12}: a question of \d+ tokens"):
        start(project, "evaluation={mode: generate, max_new_tokens: 2040}", "methods=[base]")


def test_a_chat_template_that_drops_the_question_is_refused(project):
    (project / "bad.jinja").write_text("{{ 'hello' }}")
    with pytest.raises(UserError, match=r"model\.chat_template: the template leaves out what the user says"):
        start(project, "model.chat_template=bad.jinja", "methods=[base]")


def _spoil(folder: Path, how: str) -> None:
    """Damage a model's folder."""
    from safetensors.torch import load_file, save_file

    weights, config = folder / "model.safetensors", folder / "config.json"
    tree = json.loads(config.read_text())
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "a weight is missing":
        save_file(dict(sorted(load_file(weights).items())[:-1]), weights, {"format": "pt"})
    elif how == "a layer more":
        config.write_text(
            json.dumps(tree | {"num_hidden_layers": tree["num_hidden_layers"] + 1, "layer_types": None})
        )
    elif how == "wider":
        config.write_text(json.dumps(tree | {"hidden_size": 2 * tree["hidden_size"]}))
    elif how == "a list":
        config.write_text("[1]")


@pytest.mark.parametrize("how", ["truncated", "a weight is missing", "a layer more", "wider", "a list"])
def test_a_damaged_model_is_one_line_and_never_filled_up_with_random_weights(project, tmp_path, tiny_model, how):
    shutil.copytree(tiny_model, tmp_path / "spoilt")
    _spoil(tmp_path / "spoilt", how)
    with pytest.raises(UserError, match=r"config key model\.path: cannot load \S+: .+") as error:
        start(project, f"model.path={tmp_path / 'spoilt'}", "methods=[base]")
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


def test_evaluate_measures_a_model_with_an_adapter(project, finished):
    config = load_config(
        project / "config.yaml", [f"model.adapter={finished}/methods/paft/adapter", "task.train=gone.jsonl"]
    )
    evaluate(config, project / "measured", Console(quiet=True))
    clash = [f"model.adapter={finished}/methods/paft/adapter", "prompts.test=prompts/train.jsonl"]
    with pytest.raises(UserError, match="repeat a training prompt"):
        evaluate(load_config(project / "config.yaml", clash), project / "clash", Console(quiet=True))
    one = report(project / "measured")["methods"]["base"]["per_prompt"]
    assert one == report(finished)["methods"]["paft"]["per_prompt"]


def test_generation_writes_what_the_model_wrote_and_counts_unparsed(project):
    folder = start(project, "methods=[base]", "evaluation.mode=generate", "evaluation.max_new_tokens=5")
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


def test_the_lock_goes_with_its_process_even_if_that_is_killed(project):
    code = (
        "import sys, time; from pathlib import Path; from paft.runs.directory import RunDirectory\n"
        f"with RunDirectory(Path({str(project / 'run')!r})).locked():\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    directory = RunDirectory(project / "run")
    try:
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):  # the attempt leaves the process's id in place
            with (
                pytest.raises(UserError, match=rf"process {holder.pid} is working on this run"),
                directory.locked(),
            ):
                pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with directory.locked():
        assert (project / "run/.lock").read_text() == str(os.getpid())


def test_another_device_resumes_a_run(project):
    folder = start(project, "methods=[base]")
    before = written(folder)
    start(project, "methods=[base]", "model.device=cpu")
    assert written(folder) == before


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("prompts.user=null", "prompts.user is missing"), ("prompts.user='{thng}'", "prompts.user: "),
     ("model.path=./nowhere", "no such folder"), ("training.lora.target_modules=[query]", "no linear layer 'query'"),
     ("training.max_length=8", "raise training.max_length")],
)  # fmt: skip
def test_nothing_is_paid_for_a_run_that_cannot_begin(project, wrong, message):
    server = Server((500, {}, {}))
    models = f"[{{model: m, base_url: '{server.url}', retries: 0}}]"
    made = f"prompts.train={{generate: {{models: {models}, zero_shot: 3, few_shot: 3, few_shot_prompts: ['Name it: {{thing}}']}}}}"
    with pytest.raises(UserError, match=message):
        start(project, made, wrong)
    assert server.requests == []
    assert not (project / "run/config.yaml").exists()


@pytest.mark.parametrize("kind", ["batch", "consensus"])
def test_calibration_is_reported_beside_the_plain_figures_and_redoes_nothing(project, kind):
    folder = start(project, "evaluation.mode=likelihood")
    before, times = report(folder), written(folder)
    assert {method["calibrated"] for method in before["methods"].values()} == {None}
    start(project, "evaluation.mode=likelihood", f"evaluation.calibrate={kind}")
    after = report(folder)
    assert (before["calibration"], after["calibration"]) == (None, kind)
    assert written(folder) == times
    for name, method in after["methods"].items():
        assert 0 <= method["calibrated"]["worst"] <= method["calibrated"]["mean"] <= 1
        assert {k: v for k, v in method.items() if k != "calibrated"} == {
            k: v for k, v in before["methods"][name].items() if k != "calibrated"
        }
    assert f"accuracy, calibrated ({kind})" in (folder / "report.md").read_text()
    with pytest.raises(UserError, match=rf"evaluation\.calibrate: {kind} needs evaluation\.mode: likelihood"):
        start(project, "evaluation.mode=generate", f"evaluation.calibrate={kind}", name="other")


def test_a_consensus_of_one_test_prompt_is_refused(project):
    write_rows(project / "one.jsonl", TEST_PROMPTS[:1])
    with pytest.raises(UserError, match="consensus needs two test prompts or more"):
        start(project, "evaluation.mode=likelihood", "evaluation.calibrate=consensus", "prompts.test=one.jsonl")
