"""One typed config: the paper's values by default, and every mistake a line that names its key."""

import pytest

from conftest import ROOT
from paft.config.load import load_config
from paft.config.schema import Config, TaskConfig, trainer_arguments, variant_name
from paft.errors import UserError

EXAMPLES = [*sorted((ROOT / "examples").glob("*.yaml")), ROOT / "src/paft/tasks/demo/config.yaml"]


def write(tmp_path, text: str):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_shipped_config_is_valid(path):
    config = load_config(path)
    assert config.task.test
    assert any(variant_name(entry).startswith("paft") for entry in config.methods)


def test_left_out_keys_have_the_papers_values():
    config = Config(task=TaskConfig(name="hellaswag"))
    training = config.training
    assert (training.examples, training.epochs, training.K) == (20_000, 3, 4)
    assert (training.learning_rate, training.max_length, training.batch_size) == (1e-4, 1024, 8)
    assert (training.lora.r, training.lora.alpha, training.lora.dropout) == (8, 16, 0)
    assert training.lora.target_modules == ["q_proj", "v_proj"]
    assert (training.lr_scheduler_type, training.warmup_steps) == ("cosine", 0.1)
    assert (config.evaluation.mode, config.evaluation.max_new_tokens) == ("generate", 256)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: {name: piqa}\nmethod: [base]", "config key method is unknown; did you mean 'methods'?"),
        ("task: {name: piqa, choice: x}", "config key task.choice is unknown; did you mean 'choices'?"),
        (
            "task: {name: piqa}\ntraining: {epoch: 3}",
            "config key training.epoch is unknown; did you mean 'epochs'?",
        ),
        ("task: {name: piqa}\ntraining: {lora: {rank: 3}}", "config key training.lora.rank is unknown"),
        (
            "task: {name: piqa}\nprompts: {train: {bank: piqa, sise: 3}}",
            "config key prompts.train.sise is unknown; did",
        ),
        (
            "task: {name: piqa}\ntraining: {K: 0}",
            "config key training.K: Input should be greater than or equal to 1",
        ),
        ("task: {name: piqa}\ntraining: {seed: 1}", "config key training.seed cannot be set: use seed"),
        ("task: {name: piqa}\nmethods: [base, base]", "config key methods: 'base' is listed twice"),
        ("task: {name: piqa}\nmethods: [base, {name: base, method: paft}]", "'base' is listed twice"),
        ("task: {name: piqa}\nmethods: [{name: a/b, method: paft}]", "config key methods.0.name"),
        ("task: {name: piqa}\nmethods: [{name: a}]", "config key methods.0.method is missing"),
        ("task: {name: piqa}\nmethods: paft", "config key methods"),
        ("task: {name: t, choices: [a, b], answer: text}", "config key task.answer: 'text' is called 'label'"),
        *(
            (f"task: {{name: piqa}}\n{tree}", f"config key {old} is called {new} now")
            for tree, old, new in [
                ("evaluation: {answers: generate}", "evaluation.answers", "evaluation.mode"),
                ("training: {too_long: drop}", "training.too_long", "training.on_overlength"),
                ("training: {lora: {targets: [x]}}", "training.lora.targets", "training.lora.target_modules"),
            ]
        ),
        ("task: {name: piqa, targets: letter}", "config key task.targets is called task.target_format now"),
        ("task: {name: piqa, top: 0.5}", "config key task.top is called task.top_threshold now"),
        ("task: {}", "config key task.name is missing"),
        ("task: {name: ../x}", "config key task.name: '../x' is no name"),
        ("task: {name: ''}", "config key task.name: '' is no name"),
        ("seed: 1", "config key task is missing"),
        ("task: {name: piqa}\nevaluation: {mode: guess}", "config key evaluation.mode"),
        ("Task: {name: piqa}\ntask: {name: piqa}", "config key Task is unknown; did you mean 'task'?"),
        ("task: {name: piqa}\nmodel: {Path: x}", "config key model.Path is unknown; did you mean 'path'?"),
        ("task: {name: piqa, train: {hub: x}}", "config key task.train.split is missing"),
        (
            "task: {name: piqa, train: 3}",
            "config key task.train takes a path, or {hub: ID, config: C, split: S}; found 3",
        ),
        (
            "task: {name: piqa}\ntraining:\n  K: 1\n  K: 4",
            "c.yaml:4: not YAML: the key 'K' appears twice; remove one",
        ),
        (
            "task: {name: piqa}\nevaluation: {until: {worst: 2}}",
            "config key evaluation.until.worst is unknown; use",
        ),
        ("task: {name: piqa}\ntraining: [K, 1]", "config key training takes keys of its own; found ['K', 1]"),
        ("task: {name: piqa, fields: goal}", "config key task.fields takes a list of columns, or a mapping"),
        ("task: {name: piqa, fields: {goal: 3}}", "config key task.fields takes a list of columns, or a mapping"),
        ("task: {name: piqa, choices: [yes, no]}", "config key task.choices takes a list of labels (quote yes"),
        (
            "task: {name: piqa, choices: {columns: [a]}}",
            "config key task.choices.columns: List should have at least 2",
        ),
        (
            "task: {name: piqa}\nprompts: {train: {bank: trec, size: 0}}",
            "config key prompts.train.size: Input should be",
        ),
        ("task: {name: piqa}\nseed: -1", "config key seed: Input should be greater"),
        ("task: {name: 2020-13-45}", "put it in quotes"),
        ("- a", "a config is a mapping"),
        ("task: {name: piqa", ":1: not YAML"),
        ("task: {name: piqa}\ntask: [", "not YAML"),
    ],
)
def test_a_mistake_in_the_config_names_its_key(tmp_path, text, message):
    with pytest.raises(UserError) as error:
        load_config(write(tmp_path, text))
    assert message in str(error.value)
    assert "c.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_section_left_empty_is_a_section_left_out(tmp_path):
    assert load_config(write(tmp_path, "task: {name: piqa}\ntraining:\nprompts:")).training.K == 4
    assert load_config(tmp_path / "c.yaml", ["training.K=2"]).training.K == 2


def test_a_key_is_the_word_it_is_and_no_truth_value(tmp_path):
    path = write(tmp_path, "task: {name: piqa}\nprompts:\n  screen: {off: [other-task]}")
    assert load_config(path).prompts.screen.off == ["other-task"]


@pytest.mark.parametrize(
    "text",
    ["Route {goal} ### Department:", "### Message: {goal}", "{goal}", "Say: {goal}", "# {goal}", "a\nb {goal}"],
)
def test_the_text_of_an_override_is_taken_whole(tmp_path, text):
    config = load_config(write(tmp_path, "task: {name: piqa}"), [f"prompts.user={text}"])
    assert config.prompts.user is not None
    assert config.prompts.user.text == text


def test_overrides_replace_values_by_their_keys(tmp_path):
    path = write(tmp_path, "task: {name: piqa}\ntraining: {K: 2}")
    overrides = [
        "training.K=7",
        "training.lora.target_modules=[c_attn]",
        "methods=[paft]",
        "prompts.user=Do {goal}: {choices}",
    ]
    config = load_config(path, overrides)
    assert (config.training.K, config.training.lora.target_modules, config.methods) == (7, ["c_attn"], ["paft"])
    assert config.prompts.user is not None
    assert config.prompts.user.text == "Do {goal}: {choices}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.K", "write it as key.sub=value"),
        ("task.name.x=1", "single value"),
        ("training.k=3", "mean 'K'"),
        ("methods.0=base", "'methods' is a list; give the whole of it"),
    ],
)
def test_a_mistake_in_an_override_is_named(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path, "task: {name: piqa}\nmethods: [paft]"), [override])


def test_a_path_on_the_command_line_is_relative_to_where_you_are(tmp_path, monkeypatch):
    for folder in ("sub", "here"):
        (tmp_path / folder / "adapter").mkdir(parents=True)
    path = write(tmp_path / "sub", "task: {name: piqa, train: a.jsonl}\nmodel: {adapter: adapter}")
    monkeypatch.chdir(tmp_path / "here")
    assert load_config(path).model.adapter == str(tmp_path / "sub/adapter")
    config = load_config(
        path, ["model.adapter=adapter", "task.test=b.jsonl", "model.path=./m", "prompts.test=p.jsonl"]
    )
    assert config.model.adapter == str(tmp_path / "here/adapter")
    assert (config.task.train, config.task.test) == (str(tmp_path / "sub/a.jsonl"), str(tmp_path / "here/b.jsonl"))
    assert (config.model.path, config.prompts.test) == (str(tmp_path / "here/m"), str(tmp_path / "here/p.jsonl"))


def test_names_of_methods_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("base", "paft", "zopo"):
        (tmp_path / name).mkdir()
    path = write(tmp_path, "task: {name: piqa}\nmethods: [base, {name: paft, method: zopo}]")
    first, second = load_config(path, ["methods=[base, {name: paft, method: zopo}]"]).methods
    assert (first, second.name, second.method) == ("base", "paft", "zopo")


def test_paths_are_relative_to_the_config_file(tmp_path):
    (tmp_path / "model").mkdir()
    config = load_config(
        write(
            tmp_path,
            "model: {path: model}\ntask: {name: piqa, train: a.jsonl, test: {hub: ybisk/piqa, split: test}}",
        )
    )
    assert config.task.train == str(tmp_path / "a.jsonl")
    assert config.model.path == str(tmp_path / "model")
    assert load_config(write(tmp_path, "model: {path: org/name}\ntask: {name: piqa}")).model.path == "org/name"


def test_trainer_arguments_go_by_their_usual_names(tmp_path):
    path = write(
        tmp_path, "task: {name: piqa}\ntraining: {weight_decay: 1e-1, epochs: 2, gradient_accumulation_steps: 4}"
    )
    arguments = trainer_arguments(load_config(path).training)
    assert arguments["weight_decay"] == 0.1
    assert arguments["gradient_accumulation_steps"] == 4
    assert arguments["num_train_epochs"] == 2
    assert not {"K", "examples", "lora"} & arguments.keys()
