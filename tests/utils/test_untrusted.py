"""Files from a stranger: nothing in them runs, nothing is written outside, nothing fills the memory unsaid."""

import json
import pickle
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from conftest import make_model, make_tokenizer, things, write_rows
from paft.config.load import load_config
from paft.config.model import ModelConfig
from paft.config.schema import TaskConfig
from paft.config.task import HubSource
from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.models.load import load_model
from paft.prompts.files import read_prompts
from paft.prompts.importing import import_prompts
from paft.reporting.report import write_report
from paft.tasks import rows
from paft.tasks.load import load_task
from paft.tasks.task import Task
from paft.types import Conversation
from paft.utils import safe_io as limits
from paft.utils.console import Console
from reported_runs import evaluate, run

QUIET = Console(quiet=True)
TASK = Task("colours", ("thing",), ("red", "green", "blue"), "label", 0.85, 3)


class Payload:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def poison(path: Path, mark: Path) -> Path:
    path.write_bytes(pickle.dumps({"weight": Payload(mark)}))
    return path


def colours(path: Path, **more) -> TaskConfig:
    task = {"fields": ["thing"], "choices": ["red", "green", "blue"], "target": "colour", "test": str(path)}
    return TaskConfig(name="colours", **(task | more))


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "expand to more than 100,000 values"),
        ("task: {name: piqa}\nmodel: {request: &a [*a]}", "contains itself"),
        ("task: " + "[" * 5000, "nested too deeply"),
        ("task: " + "[" * 300 + "]" * 300, "nested too deeply"),
        ("task: " + "{" * 900_000, "nested too deeply"),
        ("- " * 400_000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [echo]", "not YAML"),
        ("a: !!int ''", "a value is no"),
        ("a: !!bool perhaps", "a value is no"),
        ("a: !!timestamp never", "a value is no"),
        ("a: " + "1" * 5000, "a value is no"),
        ('"\\ud800": 1', "half of a surrogate pair"),
        ("#" * (limits.CONFIG + 1), "more than 1,000,000 bytes"),
    ],
    ids=["billion laughs", "itself", "deep", "deep and closed", "deepest", "deep block", "object", "int", "bool", "date", "digits", "half", "large"],
)  # fmt: skip
def test_yaml_that_hurts_is_refused_at_once(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    started = time.monotonic()
    with pytest.raises(UserError, match=said):
        load_config(path)
    with pytest.raises(UserError):
        import_prompts(path, TASK)
    assert time.monotonic() - started < 5


def test_aliases_within_reason_stay_allowed(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: {name: piqa, train: &file a.jsonl}\nprompts: {train: *file}")
    assert load_config(path).prompts.train == str(tmp_path / "a.jsonl")


@pytest.mark.parametrize("override", ["seed=2020-13-45", "seed=!!int ''", f"seed={'[' * 3000}", "seed=\udcff"])
def test_an_override_that_is_no_yaml_is_text_and_named(tmp_path, override):
    path = tmp_path / "c.yaml"
    path.write_text("task: {name: piqa}")
    with pytest.raises(UserError, match="config key seed"):
        load_config(path, [override])


def test_a_file_that_is_too_large_is_refused_before_it_is_read_whole(tmp_path, monkeypatch):
    prompts = tmp_path / "prompts.jsonl"
    with prompts.open("wb") as file:
        file.truncate(limits.PROMPTS + 1)
    for read in (read_prompts, lambda path: import_prompts(path, TASK)):
        with pytest.raises(UserError, match="more than 50,000,000 bytes"):
            read(prompts)
    monkeypatch.setattr(rows, "DATA", 1000)
    for name in ("data.jsonl", "data.csv"):
        write_rows(tmp_path / name, things(50))
        with pytest.raises(UserError, match="more than 1,000 bytes"):
            load_task(colours(tmp_path / name))


@pytest.mark.parametrize("kind", ["rows", "values"])
def test_a_table_that_unpacks_to_more_than_is_taken_is_refused(tmp_path, kind):
    path = tmp_path / "bomb.parquet"
    if kind == "rows":
        columns = {"thing": pa.nulls(6_000_000, pa.string()), "colour": pa.nulls(6_000_000, pa.string())}
    else:
        values = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["x" * 1_000_000])
        columns = {"thing": values, "colour": values}
    parquet.write_table(pa.table(columns), path, compression="zstd")
    assert path.stat().st_size < 200_000
    started = time.monotonic()
    with pytest.raises(UserError, match="more than 500,000,000 bytes"):
        load_task(colours(path))
    assert time.monotonic() - started < 60


def test_a_folder_with_a_loading_script_runs_no_code(tmp_path):
    mark = tmp_path / "mark"
    folder = tmp_path / "data"
    write_rows(folder / "rows.jsonl", things(3))
    (folder / "data.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    poison(folder / "rows.pkl", mark)
    try:
        load_task(colours(Path("unused"), test=HubSource(hub=str(folder), split="train")))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert not mark.exists()


def test_a_model_is_neither_a_pickle_nor_code(tmp_path, tiny_model):
    mark = tmp_path / "mark"
    pickled = Path(shutil.copytree(tiny_model, tmp_path / "pickled"))
    (pickled / "model.safetensors").unlink()
    poison(pickled / "pytorch_model.bin", mark)
    coded = Path(shutil.copytree(tiny_model, tmp_path / "coded"))
    config = json.loads((coded / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "mine.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    for folder in (pickled, coded):
        with pytest.raises(UserError, match=r"model\.path: cannot load"):
            load_model(ModelConfig(path=str(folder)), lambda line: None)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, b"GGUF\x03\x00\x00\x00" + b"\x01\x00" * 60]
)
def test_a_damaged_gguf_file_is_one_line(tmp_path, monkeypatch, content):  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read") as error:
        load_model(ModelConfig(path=str(path)), lambda line: None)
    assert "\n" not in str(error.value)


@pytest.fixture
def adapter(tmp_path, tiny_model):
    from peft import LoraConfig, get_peft_model

    folder = tmp_path / "adapter"
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(make_model(), lora).save_pretrained(folder)
    return folder


def change(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_an_adapter_is_no_pickle_and_claims_no_more_than_it_holds(tmp_path, tiny_model, adapter):
    mark = tmp_path / "mark"

    def refused(said):
        with pytest.raises(UserError, match=said) as error:
            load_model(ModelConfig(path=tiny_model, adapter=str(adapter)), lambda line: None)
        assert "\n" not in str(error.value)

    load_model(ModelConfig(path=tiny_model, adapter=str(adapter)), lambda line: None)
    change(adapter, r=10**7)
    refused("names rank 10000000, its matrices have 2")
    change(adapter, r=2, rank_pattern={"q_proj": 10**7})
    refused("names rank 10000000, its matrices have 2")
    weights = adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for damage in (b"", whole[:-9], b"\xff" * 8 + whole[8:], whole[:8] + b"{" * 40):
        weights.write_bytes(damage)
        refused("damaged")
    weights.write_bytes(whole)
    for text in ("[]", "{", "[" * 10_000, '{"r": "two", "rank_pattern": 3}'):
        (adapter / "adapter_config.json").write_text(text)
        refused("damaged")
    weights.unlink()
    poison(adapter / "adapter_model.bin", mark)
    refused("a .bin is a pickle and not loaded")
    assert not mark.exists()


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}", "{{ 1 / 0 }}", "{{ 'x' + 1 }}", "{{ nothing.here.at.all }}",
     "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "{% for i in range(10 ** 9) %}x{% endfor %}", "{% if %}"],
    ids=["objects", "changes", "division", "types", "undefined", "recursion", "range", "syntax"],
)  # fmt: skip
def test_a_chat_template_computes_in_a_sandbox(template):
    with pytest.raises(UserError, match=r"chat_template: the template fails"):
        ChatFormat(make_tokenizer(template)).prompts([Conversation("question")])


def test_a_chat_template_file_that_is_no_text_is_one_line(tmp_path):
    path = tmp_path / "t.jinja"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        ChatFormat(make_tokenizer(), str(path))


@pytest.mark.parametrize("name", [".lock", "figures", "methods", "report.json", "methods/base/predictions"])
def test_a_run_directory_with_a_link_out_of_it_is_refused_and_the_target_untouched(project, name):
    folder = project / "run"
    config = load_config(project / "config.yaml", ["methods=[base]"])
    run(config, folder, QUIET)
    outside = project / "outside"
    link = folder / name
    if name == "methods" or link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    outside.write_text("years of work")
    link.symlink_to(outside)
    for work in (lambda: run(config, folder, QUIET), lambda: write_report(folder)):
        with pytest.raises(UserError, match="a link out of the run directory"):
            work()
    assert outside.read_text() == "years of work"


def test_a_link_within_the_run_directory_and_to_it_are_no_matter(project):
    folder = project / "run"
    config = load_config(project / "config.yaml", ["methods=[base]"])
    run(config, folder, QUIET)
    (folder / "latest").symlink_to("report.md")
    (project / "link").symlink_to(folder)
    run(config, project / "link", QUIET)


def test_the_name_of_a_method_is_no_path(project):
    folder = project / "run"
    run(load_config(project / "config.yaml", ["methods=[base]"]), folder, QUIET)
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    for name in ("../../other/methods/base", "/etc", "..", ""):
        (folder / "config.yaml").write_text(yaml.safe_dump(tree | {"methods": [name]}))
        with pytest.raises(UserError, match="is not the name of a method"):
            write_report(folder)


def test_a_checkpoint_runs_nothing_when_training_goes_on_from_it(project, monkeypatch):
    mark, folder = project / "mark", project / "run"
    config = load_config(project / "config.yaml", ["methods=[user]"])
    with monkeypatch.context() as patch:
        patch.setattr("paft.training.finetune.shutil.rmtree", lambda *a, **k: None)
        run(config, folder, QUIET)
    method = folder / "methods/user"
    shutil.rmtree(method / "adapter")
    (method / "predictions.parquet").unlink()
    (method / "checkpoints/checkpoint-last").mkdir()
    (method / "checkpoints/checkpoint-last/trainer_state.json").write_text("{}")
    *_, newest, last = sorted(
        method.glob("checkpoints/checkpoint-[0-9]*"), key=lambda p: int(p.name.split("-")[1])
    )
    shutil.rmtree(last)  # the one at the end: nothing would be trained on from it
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        whole = (newest / name).read_bytes()
        poison(newest / name, mark)
        with pytest.raises(UserError, match=r"holds a file that is not part of a checkpoint"):
            run(config, folder, QUIET)
        (newest / name).write_bytes(whole)
    assert not mark.exists()
    run(config, folder, QUIET)
    assert (method / "adapter").is_dir()


def test_a_prompt_never_becomes_a_path_or_code(project):
    rows = [
        {"text": "{thing} ../../{choices}", "id": "../../../x"},
        {"text": "{thing.__class__} {thing} {{7*7}}", "id": "/etc"},
    ]
    write_rows(project / "prompts/test.jsonl", rows)
    evaluate(load_config(project / "config.yaml"), project / "run", QUIET)
    outside = {p.name for p in project.iterdir()}
    assert outside == {"run", "prompts", "train.jsonl", "test.jsonl", "config.yaml"}


@pytest.mark.parametrize("name", ["a\nb", "\x1b]0;title\x07\x1b[2J", "line\u2028line", "half \ud83d", "x" * 10**6])
def test_an_error_is_one_short_printable_line_whatever_it_quotes(tmp_path, name):
    with pytest.raises(UserError) as error:
        load_task(colours(tmp_path / "none.jsonl", fields=[name]))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1100
