"""docs/extending.md: each part that it shows works as a user's own file, outside the package."""

import importlib
import json
import re
import shutil
import sys
import textwrap

import pytest
import yaml
from pyarrow import parquet

from conftest import ROOT
from paft.config.load import load_config
from paft.errors import UserError, WorkError
from paft.runs.finished import FinishedMethod
from paft.utils.console import Console
from reported_runs import run

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCKS = {
    match[1]: match[0]
    for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    if (match := re.match(r"# (\w+)\.py .*", text, re.DOTALL))
}
"""The files of the page by the name of their module."""
QUIET = Console(quiet=True)


@pytest.fixture
def own(project, monkeypatch):
    """The project, with the files of the page beside its config; each test imports its own."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in (*BLOCKS, "mine", "broken", "rewards"):
        sys.modules.pop(name, None)
    for name, text in BLOCKS.items():
        (project / f"{name}.py").write_text(text)
    return project


def start(project, *overrides):
    run(load_config(project / "config.yaml", list(overrides)), project / "run", QUIET)
    return project / "run"


def rows(folder, method):
    return parquet.read_table(folder / "methods" / method / "predictions.parquet").to_pylist()


def test_the_page_shows_a_scorer_a_sampler_an_objective_and_a_method_in_under_30_lines_each():
    assert set(BLOCKS) == {"strict", "shuffled", "focal", "longest"}
    assert all(text.count("\n") < 30 for text in BLOCKS.values())


def test_a_users_scorer_sampler_objective_and_method_work_in_one_run(own):
    folder = start(
        own,
        "methods=[base, {name: longest, method: longest:Longest, count: 2}]",
        "task.scorer=strict:Strict",
        "training.sampler=shuffled:OnePerExample",
        "training.objective=focal:Focal",
        "evaluation={mode: generate, max_new_tokens: 4}",
    )
    report = json.loads((folder / "report.json").read_text())
    assert list(report["methods"]) == ["base", "longest"]
    log = [json.loads(line) for line in (folder / "methods/longest/train.jsonl").read_text().splitlines()]
    assert any(len(row["prompt_ids"]) == 2 for row in log)  # several prompts in one step
    assert len({prompt for row in log for prompt in row["prompt_ids"]}) == 2
    for row in rows(folder, "longest"):
        assert row["score"] == 0.0 or row["output"] == row["target"]
    keys = json.loads((folder / "methods/longest/fingerprint").read_text())
    for key in ("training.sampler (its code)", "training.objective (its code)", "method (its code)"):
        assert key in keys["training"]
    assert "task.scorer (its code)" in keys["evaluation"]


def test_a_method_named_by_its_class_alone_is_reported_by_its_name(own):
    folder = start(own, "methods=[longest:Longest]", "training.epochs=1")
    assert list(json.loads((folder / "report.json").read_text())["methods"]) == ["Longest"]


def test_the_modules_of_a_run_are_found_again_from_its_folder(own, monkeypatch):
    """As `paft calibrate` and `paft prompts attack` open it, in another process and working directory."""
    folder = start(own, "methods=[longest:Longest]", "training.epochs=1")
    sys.modules.pop("longest")
    plugins = importlib.import_module("paft.utils.plugins")
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.chdir(own.parent)
    assert FinishedMethod.of(folder, "Longest").adapter


def test_of_two_configs_in_different_folders_each_finds_its_own_modules(own, tmp_path):
    other = load_config(own / "config.yaml", ["methods=[longest:Longest]", "training.epochs=1"])
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(own / "config.yaml", tmp_path / "elsewhere")
    load_config(tmp_path / "elsewhere/config.yaml")
    run(other, own / "run", QUIET)
    assert (own / "run/report.json").exists()


def test_a_part_whose_code_changed_is_another_part(own):
    overrides = ("methods=[base]", "task.scorer=strict:Strict", "evaluation={mode: generate, max_new_tokens: 4}")
    start(own, *overrides)
    (own / "strict.py").write_text(BLOCKS["strict"] + "\n# changed\n")
    with pytest.raises(UserError, match=r"task\.scorer \(its code\) \(its content changed\)"):
        start(own, *overrides)


def test_a_reward_function_is_a_scorer(own):
    [code] = re.findall(r"`(def exact.*?)`", PAGE)
    (own / "rewards.py").write_text(code + "\n")
    folder = start(
        own, "methods=[base]", "task.scorer=rewards:exact", "evaluation={mode: generate, max_new_tokens: 4}"
    )
    assert {row["score"] for row in rows(folder, "base")} <= {0.0, 1.0}


def test_the_task_of_the_page_is_read(own):
    [text] = re.findall(r"```yaml\n(task:.*?)```", PAGE, re.DOTALL)
    (own / "own.yaml").write_text(text + "prompts: {test: prompts/test.jsonl}\n")
    assert load_config(own / "own.yaml").task.choices == yaml.safe_load(text)["task"]["choices"]


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["methods=[base, papt]"], None, "config key methods: no method 'papt'; did you mean 'paft'"),
        (["training.sampler=unifrom"], None, "config key training.sampler: no sampler 'unifrom'; did you mean 'uniform'"),
        (["training.objective=cross-entrophy"], None, "no objective 'cross-entrophy'; did you mean 'cross-entropy'"),
        (["task.scorer=chioce"], None, "config key task.scorer: no scorer 'chioce'; did you mean 'choice'"),
        (["methods=[gone:Mine]"], None, "config key methods: cannot import 'gone'"),
        (["methods=[mine:Mien]"], "class Mine: ...", "config key methods: 'mine' has no 'Mien'; did you mean 'Mine'"),
        (["methods=[mine:Mine]"], "class Mine: ...", "'mine:Mine' is not a subclass of paft.methods.method.Method"),
        (["methods=[mine:Mine]"], "from paft.methods.method import Method\nclass Mine(Method): ...", "does not define plan"),
        (["methods=[mine:Mine]"], "1 / 0", r"cannot import 'mine': ZeroDivisionError: division by zero (.*mine.py:1)"),
        (["methods=[mine:Mine]"], "def f(:", "cannot import 'mine': SyntaxError: invalid syntax"),
        (["methods=[{name: x, method: longest:Longest, coutn: 1}]"], None, "methods.x.coutn is unknown; did you mean 'count'"),
        (["methods=[{name: x, method: paft, trainig: {K: 1}}]"], None, "methods.x.trainig is unknown; did you mean 'training'"),
        (["methods=[{name: x, method: paft, K: 1}]"], None, "methods.x.K is unknown; write training: {K: ...}"),
        (["methods=[{name: x, method: paft, training: {epoch: 1}}]"], None, "methods.x.training.epoch is unknown; did you mean 'epochs'"),
    ],
)  # fmt: skip
def test_a_mistake_names_what_is_wrong_before_anything_runs(own, overrides, code, message):
    if code is not None:
        (own / "mine.py").write_text(code + "\n")
    with pytest.raises(UserError) as error:
        start(own, *overrides)
    assert re.search(re.escape(message).replace(r"\.\*", ".*"), str(error.value)), error.value
    assert not (own / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "code", "line"),
    [
        (["task.scorer=broken:Broken", "evaluation={mode: generate, max_new_tokens: 4}"],
         "class Broken:\n    name, is_binary = 'b', True\n    def score(self, output, example):\n        return 1 / 0", 4),
        (["training.sampler=broken:Broken"],
         "from paft.training.samplers import PromptSampler\nclass Broken(PromptSampler):\n    def draw(self, step, examples):\n        raise KeyError('no')", 4),
        (["training.objective=broken:Broken"], "from paft.training.objectives import Objective\nclass Broken(Objective):\n    def loss(self, rows):\n        return rows.nothing", 4),
        (["methods=[broken:Broken]"],
         "from paft.methods.method import Method\nclass Broken(Method):\n    def plan(self, context):\n        return [][1]", 4),
    ],
)  # fmt: skip
def test_an_error_in_a_users_code_is_one_line_with_its_file_and_line_and_the_run_resumes(
    own, overrides, code, line
):
    (own / "broken.py").write_text(textwrap.dedent(code) + "\n")
    with pytest.raises(WorkError) as error:
        start(own, "methods=[paft]", *overrides)
    assert f"{own / 'broken.py'}:{line}" in str(error.value)
    assert "run the same command again" in str(error.value)
    start(own, "methods=[paft]")
    assert json.loads((own / "run/report.json").read_text())["methods"]
