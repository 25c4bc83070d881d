"""Whatever a file holds, its reader gives a value or a UserError of one line; short runs of what ran for long."""

import json
import tempfile
from pathlib import Path

import pyarrow as pa
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from paft.config.load import load_config
from paft.config.schema import Config, TaskConfig
from paft.config.task import OptionColumns
from paft.errors import UserError
from paft.prompts.files import read_prompts
from paft.prompts.importing import import_prompts
from paft.tasks.load import load_task
from paft.tasks.task import Task

COLOURS = ["red", "green", "blue"]
TASK = Task("colours", ("thing",), tuple(COLOURS), "label", 0.85, 3)

words = st.sampled_from(
    ["text", "system", "thing", "colour", "{thing}", "{choices}", "{{ thing }}", "red", "A", "0", "", "templates", "jinja",
     "answer_choices", "|||", "\ud83d", "\x00", "\u2028", "1e999", "null", "!!python/object", "é", "a\nb", "id", "=", "é" * 70]
)  # fmt: skip
scalars = st.one_of(words, st.text(max_size=12), st.none(), st.booleans(), st.integers(), st.floats())
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
row = st.dictionaries(
    st.sampled_from(["text", "system", "thing", "colour", "prompt", "id", "txet"]), values, max_size=5
)


def tree(keys):
    """Mappings of a config's own keys with anything below them."""
    return st.dictionaries(st.sampled_from(keys) | st.text(max_size=8), values, max_size=5)


def keys_of(model):
    return list(model.model_fields)


def json_lines(rows):
    return "\n".join(json.dumps(r) for r in rows).encode("utf-8", "replace")


def delimited(mark):
    return st.lists(st.lists(words | st.text(max_size=8), max_size=4), max_size=5).map(
        lambda table: "\n".join(mark.join(cells) for cells in table).encode("utf-8", "replace")
    )


def jinja(templates):
    return yaml.safe_dump({"templates": templates}).encode("utf-8", "replace")


PROMPT_FILES = st.one_of(
    st.tuples(st.sampled_from([".jsonl", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".doc"]), st.binary(max_size=200)),
    st.tuples(st.just(".jsonl"), st.lists(row | values, max_size=5).map(json_lines)),
    st.tuples(st.just(".csv"), delimited(",")),
    st.tuples(st.just(".tsv"), delimited("\t")),
    st.tuples(st.just(".txt"), st.text(max_size=100).map(lambda t: t.encode("utf-8", "replace"))),
    st.tuples(st.just(".yaml"), st.text("{}[]!&*:-|> \n\"'ab0<?%@`,#", max_size=80).map(str.encode)),
    st.tuples(
        st.just(".yaml"),
        st.dictionaries(words, st.dictionaries(st.sampled_from(["name", "jinja", "answer_choices"]), scalars), max_size=3).map(jinja),
    ),
)  # fmt: skip


def refusal_of(read) -> str:
    """Return what a reader refuses with; nothing where it gives a value."""
    try:
        read()
    except UserError as error:
        return str(error)
    return ""


def in_file(suffix: str, content: bytes, read) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        line = refusal_of(lambda: read(path))
    assert "\n" not in line, line
    assert len(line) < 2000


@given(PROMPT_FILES)
def test_any_prompt_file_is_read_or_refused(file):
    suffix, content = file
    in_file(suffix, content, lambda path: import_prompts(path, TASK))
    in_file(".jsonl", content, read_prompts)


def table(rows):
    """A parquet file of rows, or of their text where Arrow finds no type for them."""
    sink = pa.BufferOutputStream()
    try:
        parquet.write_table(pa.Table.from_pylist(rows), sink)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist([{k: repr(v) for k, v in r.items()} for r in rows]), sink)
    return sink.getvalue().to_pybytes()


good = st.fixed_dictionaries({"thing": scalars, "colour": st.sampled_from([*COLOURS, "A", 0, 2, True])})
wide = good.flatmap(lambda g: row.map(lambda r: r | g))
clean = st.lists(row.map(lambda r: {k: v for k, v in r.items() if "\ud83d" not in repr(v)}), max_size=4)
DATA_FILES = st.one_of(
    st.tuples(st.sampled_from([".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".xls"]), st.binary(max_size=200)),
    st.tuples(st.just(".jsonl"), st.lists(wide | values, max_size=5).map(json_lines)),
    st.tuples(st.just(".csv"), delimited(",")),
    st.tuples(st.just(".csv"), delimited(",").map(lambda b: b"thing,colour\n" + b)),
    st.tuples(st.just(".tsv"), delimited("\t")),
    st.tuples(st.just(".parquet"), clean.map(lambda rows: table([{str(k).encode("utf-8", "replace").decode(): v for k, v in r.items()} for r in rows]) if rows else b"PAR1")),
    st.tuples(st.just(".parquet"), st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=3)).map(lambda hit: damaged(*hit))),
)  # fmt: skip


def damaged(place: int, noise: bytes) -> bytes:
    whole = table([{"thing": f"thing {i}", "colour": COLOURS[i % 3]} for i in range(9)])
    place %= len(whole)
    return whole[:place] + noise + whole[place + len(noise) :]


TASKS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["colours", "piqa", "hellaswag", "race-high", ""]) | st.text(max_size=5),
        "fields": st.none() | st.just(["thing"]) | st.lists(words, max_size=3),
        "choices": st.none() | st.just(COLOURS) | st.lists(words, max_size=30) | words | st.just(OptionColumns(columns=["thing", "text"])),
        "target": st.none() | st.just("colour") | words,
        "target_format": st.sampled_from([None, "auto", "text", "letter", "zero-based", "one-based"]),
        "answer": st.sampled_from([None, "label", "letter"]),
    }
)  # fmt: skip


@given(DATA_FILES, TASKS)
def test_any_data_file_and_task_is_read_or_refused(file, task):
    suffix, content = file
    in_file(suffix, content, lambda path: load_task(TaskConfig(**task, test=str(path))))


CONFIGS = st.one_of(
    st.binary(max_size=100),
    st.text("{}[]!&*:-|> \n\"'ab0<?%@`,#=.~", max_size=80).map(str.encode),
    st.lists(st.sampled_from(["a: &a [1]", "b: *a", "&x [*x]", "!!timestamp x", "!!int ''", "!!bool q", "!!float z", "? [a]\n: b", "task: {name: piqa}", "!!binary é", "1: 2", "~: 3", "<<: 3", "!!set {a}", "!!omap [a]", "!!pairs [a: 1]"]), max_size=4).map(lambda lines: "\n".join(lines).encode()),
    st.fixed_dictionaries(
        {"task": tree(keys_of(TaskConfig)) | st.just({"name": "piqa"})},
        optional={
            "model": tree(["path", "base_url", "key", "parallel", "adapter", "chat_template", "dtype", "request"]),
            "prompts": tree(["train", "test", "screen", "user"]),
            "training": tree(["examples", "K", "lora", "weight_decay", "max_steps", "report_to", "learning_rate"]),
            "evaluation": tree(["examples", "answers", "max_new_tokens"]),
            "baselines": tree(["top_accuracy", "batprompt", "zopo", "llm"]),
            "methods": values,
            "seed": values,
            "run": values,
        },
    ).map(lambda t: json.dumps(t).encode()),
    tree(keys_of(Config)).map(lambda t: json.dumps(t).encode()),
)  # fmt: skip
OVERRIDES = st.lists(
    st.tuples(st.sampled_from(["seed", "task.name", "model.path", "training.K", "methods", "a.b.c", "", "."]), words | st.text(max_size=8) | st.sampled_from(["2020-13-45", "!!int ''", "[" * 3000, "{a: &b [*b]}"])).map("=".join) | st.text(max_size=8),
    max_size=2,
)  # fmt: skip


@given(CONFIGS, OVERRIDES)
def test_any_config_is_read_or_refused(content, overrides):
    in_file(".yaml", content, lambda path: load_config(path, overrides))
