"""Tasks take the columns of public data sets as they are, and refuse rows that do not fit."""

import json

import pytest

from conftest import things, write_rows
from paft.config.task import HubSource, OptionColumns, TaskConfig
from paft.errors import UserError
from paft.prompts.template import render
from paft.tasks.load import load_task, subset, task_of_rows
from paft.types import Prompt

ROWS = {
    "hellaswag": {"ctx": "A man sits.", "endings": ["w", "x", "y", "z"], "label": "2"},
    "piqa": {"goal": "open a jar", "sol1": "twist it", "sol2": "eat it", "label": 0},
    "winogrande": {"sentence": "Ann saw _ .", "option1": "Bea", "option2": "Cleo", "answer": "2"},
    "race-middle": {"article": "Text.", "question": "Why?", "options": ["p", "q", "r", "s"], "answer": "D"},
    "race-high": {"article": "Text.", "question": "Why?", "options": ["p", "q", "r", "s"], "answer": "A"},
}
TARGETS = {"hellaswag": 2, "piqa": 0, "winogrande": 1, "race-middle": 3, "race-high": 0}


@pytest.mark.parametrize("name", ROWS)
def test_a_built_in_task_needs_only_its_name_and_paths(name, tmp_path):
    path = write_rows(tmp_path / "test.jsonl", [ROWS[name]])
    task, train, test = load_task(TaskConfig(name=name, test=str(path)))
    assert train == []
    assert test[0].target == TARGETS[name]
    assert task.target(test[0]) == "ABCD"[TARGETS[name]]
    assert task.labels is None


def test_a_task_knows_its_description_its_own_before_the_built_in_one(tmp_path):
    path = str(write_rows(tmp_path / "test.jsonl", [ROWS["piqa"]]))
    assert "Physical commonsense" in load_task(TaskConfig(name="piqa", test=path))[0].description
    own = TaskConfig(name="piqa", test=path, description="Household hints.")
    assert load_task(own)[0].description == "Household hints."


@pytest.mark.parametrize("name", ROWS)
def test_a_built_in_task_reads_the_real_data(name, shared):
    source = shared / name / "train.jsonl"
    task, train, _ = load_task(TaskConfig(name=name, train=str(source)))
    assert len(train) == len(source.read_text(encoding="utf-8").splitlines())
    assert {example.target for example in train} == set(range(task.letters))


def custom(path, **changes) -> TaskConfig:
    values = {"name": "own", "test": str(path), "fields": ["q"], "choices": ["yes", "no"], "target": "a"}
    return TaskConfig(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": ["q", "a"]}, "'a' is the target"),
        ({"fields": ["the question"]}, "cannot be a slot .*; give .* another name, {message: the question}"),
        ({"fields": {"the question": "q"}}, "'the question' cannot be a slot"),
        ({"fields": {"question": "a"}}, "'a' is the target"),
        (
            {"fields": {"one": "q"}, "choices": OptionColumns(columns=["one", "two"])},
            "{one} is the slot of an option",
        ),
        (
            {"choices": [str(i) for i in range(30)], "answer": "letter"},
            "letter takes at most 26 options, found 30",
        ),
        ({"choices": ["yes", "yes"]}, "none twice"),
        ({"choices": ["ab c", "ab\u00a0c"]}, "none twice|cannot tell"),
        ({"choices": ["caf\u00e9", "cafe\u0301"]}, "cannot tell 'caf\u00e9' and 'cafe\u0301' apart"),
        ({"fields": ["\ufb01le", "file"]}, "are the same slot"),
        ({"train": "d.jsonl", "test": "d.jsonl"}, "the test examples are the training examples"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        load_task(custom("d.jsonl", **changes))


@pytest.mark.parametrize("value", ["maybe", 2, -1, "C", 1.5, True, ["yes"]])
def test_a_target_outside_the_choices_is_refused_with_its_line(tmp_path, value):
    path = write_rows(tmp_path / "d.jsonl", [{"q": "x", "a": "yes"}, {"q": "y", "a": value}])
    with pytest.raises(UserError, match=r"d\.jsonl:2: a is .*none of the choices"):
        load_task(custom(path))


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_tables_keep_every_cell_as_the_text_it_is(tmp_path, suffix):
    comma = {"csv": ",", "tsv": "\t"}[suffix]
    path = tmp_path / f"d.{suffix}"
    path.write_text(f'q{comma}a\n"007, two\nlines"{comma}yes\nNULL{comma}no\n', encoding="utf-8")
    examples = load_task(custom(path))[2]
    assert [e.fields["q"] for e in examples] == ["007, two\nlines", "NULL"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_slot_can_have_another_name_than_its_column(tmp_path, suffix):
    rows = [{"Ticket Message": "no tea", "a": "yes"}, {"Ticket Message": "late", "a": "no"}]
    path = tmp_path / f"d.{suffix}"
    if suffix == "jsonl":
        write_rows(path, rows)
    elif suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(rows), path)
    else:
        comma = {"csv": ",", "tsv": "\t"}[suffix]
        lines = [f"\ufeffTicket Message{comma}a", *(comma.join(row.values()) for row in rows)]
        path.write_text("\r\n".join(lines), encoding="utf-8")
    task, _, examples = load_task(custom(path, fields={"message": "Ticket Message"}))
    assert task.fields == ("message",)
    assert [task.slot_values(example)["message"] for example in examples] == ["no tea", "late"]
    with pytest.raises(UserError, match=r"no column 'Ticket Mesage'; did you mean 'Ticket Message'\?"):
        load_task(custom(path, fields={"message": "Ticket Mesage"}))


def test_other_names_of_a_built_in_tasks_slots_give_way_to_its_own_fields(tmp_path):
    path = write_rows(tmp_path / "d.jsonl", [ROWS["winogrande"]])
    task, _, [example] = load_task(TaskConfig(name="winogrande", test=str(path), fields={"prompt": "sentence"}))
    assert render(Prompt("{prompt} {A} {B}"), task, example).user == "Ann saw _ . Bea Cleo"


def test_a_folder_of_save_to_disk_without_splits_is_refused_with_what_to_do(tmp_path):
    import datasets

    datasets.Dataset.from_list(things(3)).save_to_disk(tmp_path / "data")
    config = custom("unused").model_copy(update={"test": HubSource(hub=str(tmp_path / "data"), split="test")})
    with pytest.raises(UserError, match="one data set of save_to_disk, without splits; write it with to_parquet"):
        load_task(config)


def test_parquet_and_a_local_folder_of_the_hubs_layout_are_read(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "data").mkdir()
    table = pa.Table.from_pylist([{"q": "x", "a": "no"}])
    parquet.write_table(table, tmp_path / "data" / "test-00000-of-00001.parquet")
    from_file = load_task(custom(tmp_path / "data" / "test-00000-of-00001.parquet"))[2]
    config = custom("unused").model_copy(update={"test": HubSource(hub=str(tmp_path / "data"), split="test")})
    assert from_file == load_task(config)[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"q": "x", "a": "yes"}\n\n{"q": "y", "a": "no"}\n', r":2: empty line"),
        ('{"q": "x", "a": "yes"}\n{"q": "x", "a"', r":2: not a whole JSON object"),
        ('["q"]\n', r":1: expected a JSON object"),
        ("", "is empty"),
        ('{"a": "yes"}\n', r":1: no column 'q'"),
        ('{"q": ["x"], "a": "yes"}\n', r":1: column 'q' holds a list"),
        ('{"q": "\\ud83d", "a": "yes"}\n', r":1: holds half of a surrogate pair"),
    ],
)
def test_a_broken_data_file_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "d.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_task(custom(path))


def test_a_missing_file_and_a_missing_key_are_named(tmp_path):
    with pytest.raises(UserError, match="no such data file"):
        load_task(custom(tmp_path / "nowhere.jsonl"))
    with pytest.raises(UserError, match=r"task\.fields is missing: 'helaswag'.*did you mean 'hellaswag'"):
        load_task(TaskConfig(name="helaswag"))


def test_options_in_columns_and_own_options_are_laid_out(tmp_path):
    path = write_rows(tmp_path / "d.jsonl", [{"q": "x", "one": "tea", "two": "ink", "a": "ink"}])
    config = custom(path, choices=OptionColumns(columns=["one", "two"]), answer="letter")
    task, _, [example] = load_task(config)
    assert task.slot_values(example)["choices"] == "A. tea\nB. ink"
    assert task.slot_values(example)["B"] == "ink"
    assert task.target(example) == "B"


def test_a_subset_is_seeded_and_keeps_the_order(tmp_path):
    path = write_rows(tmp_path / "d.jsonl", [{"q": json.dumps(i), "a": "yes"} for i in range(50)])
    examples = load_task(custom(path))[2]
    some = subset(examples, 10, seed=1)
    assert some == subset(examples, 10, seed=1) != subset(examples, 10, seed=2)
    assert [int(e.id) for e in some] == sorted(int(e.id) for e in some)
    assert subset(examples, 99, seed=1) == examples


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.tsv", 'thing\tcolour\n"it is great\tred\nbad\tgreen\nso good"\tred\n', r"t\.tsv: row 1: a quote opens a cell"),
        ("t.csv", "thing,colour,colour\na,red,blue\n", r"t\.csv: two columns are called 'colour'"),
        ("t.csv", "thing;colour\na;red\n", r"t\.csv: the header is the one column 'thing;colour'; separate columns by commas"),
        ("t.csv", "thing,colour\na,red\n ,green\n", r"t\.csv: row 2: nothing is asked, thing is empty"),
        ("t.jsonl", '{"thing": NaN, "colour": "red"}\n', r"t\.jsonl:1: column 'thing' holds no value \(NaN\)"),
    ],
)  # fmt: skip
def test_cells_that_are_lost_or_swallowed_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        load_task(TaskConfig(name="colours", fields=["thing"], choices=["red", "green", "blue"], target="colour",
                             test=str(tmp_path / name)))  # fmt: skip


def test_an_empty_option_is_named(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"goal": "g", "sol1": "x", "sol2": " ", "label": 0}\n')
    with pytest.raises(
        UserError, match=r"t\.jsonl:1: an option is empty; fill it .*a column of lists .* 2 to 26 opt"
    ):
        load_task(TaskConfig(name="piqa", test=str(tmp_path / "t.jsonl")))
    (tmp_path / "t.jsonl").write_text('{"goal": "g", "sol1": "x", "sol2": null, "label": 0}\n')
    with pytest.raises(UserError, match=r"t\.jsonl:1: an option is empty; fill it"):
        load_task(TaskConfig(name="piqa", test=str(tmp_path / "t.jsonl")))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("['x', 'y']", r"holds a text, expected a list of texts; a table such as CSV has no lists: .*{columns: "),
        (
            {"text": ["x", "y"], "label": ["A", "B"]},
            "holds a mapping, .* give the list 'text' or 'label' a column",
        ),
        (["x", None], "holds a list, expected a list of texts; one of them is null"),
        (3, "holds int, expected a list of texts"),
    ],
)
def test_options_that_are_no_list_of_texts_are_refused_with_what_to_write(tmp_path, cell, message):
    path = write_rows(tmp_path / "d.jsonl", [{"q": "x", "a": "A", "options": cell}])
    with pytest.raises(UserError, match=rf"d\.jsonl:1: column 'options' {message}"):
        load_task(custom(path, choices="options"))


def test_options_that_are_numbers_become_text_as_those_of_columns_do(tmp_path):
    path = write_rows(tmp_path / "d.jsonl", [{"q": "x", "a": "B", "options": [1, 2.5], "one": 1, "two": 2.5}])
    for choices in ("options", OptionColumns(columns=["one", "two"])):
        [example] = load_task(custom(path, choices=choices))[2]
        assert (example.options, example.target) == (("1", "2.5"), 1)


def test_a_number_of_single_precision_is_the_one_that_people_wrote(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import datasets

    columns = {"q": pa.array([0.1], pa.float32()), "a": pa.array([2.8], pa.float32())}
    parquet.write_table(pa.table(columns), tmp_path / "d.parquet")
    config = custom(tmp_path / "d.parquet").model_copy(update={"choices": None})
    for example in (load_task(config)[2][0], task_of_rows(datasets.Dataset(pa.table(columns)), config)[1][0]):
        assert (example.fields["q"], example.targets) == ("0.1", ("2.8",))


def test_a_decimal_of_a_database_keeps_its_digits_and_a_date_is_refused_with_the_fix(tmp_path):
    from datetime import date
    from decimal import Decimal

    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "q": pa.array([Decimal("12.50"), Decimal("1")], pa.decimal128(10, 2)),
        "a": pa.array([[Decimal("-0.10")], [Decimal(7), Decimal("0.001")]], pa.list_(pa.decimal128(30, 3))),
        "day": [date(2024, 3, 4)] * 2,
    }
    parquet.write_table(pa.table(columns), tmp_path / "d.parquet")
    config = custom(tmp_path / "d.parquet").model_copy(update={"choices": None})
    examples = load_task(config)[2]
    assert [example.fields["q"] for example in examples] == ["12.50", "1.00"]
    assert [example.targets for example in examples] == [("-0.100",), ("7.000", "0.001")]
    with pytest.raises(
        UserError, match=r"row 1: column 'day' holds date, expected text; convert the column to text"
    ):
        load_task(config.model_copy(update={"fields": ["day"]}))
    with pytest.raises(UserError, match=r"row 1: day is date, expected a text, .*; convert the column to text"):
        load_task(config.model_copy(update={"target": "day"}))


@pytest.mark.parametrize(
    "text",
    [
        '[{"q": "x", "a": "yes"}, {"q": "y", "a": "no"}]',
        '\ufeff\n[\r\n {"q": "x", "a": "yes"},\r\n {"q": "y", "a": "no"}\r\n]\r\n',
        '{"q": "x", "a": "yes"}\n{"q": "y", "a": "no"}\n',  # what datasets and pandas (lines=True) write
    ],
)
def test_a_json_file_is_a_list_of_rows_or_one_row_per_line(tmp_path, text):
    (tmp_path / "d.json").write_text(text, newline="")
    examples = load_task(custom(tmp_path / "d.json"))[2]
    assert [(example.fields["q"], example.target) for example in examples] == [("x", 0), ("y", 1)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"q": "x", "a": "yes"},\n {"q": "y"', r"d\.json: not a whole JSON list \(line 2: .*\); fix the file"),
        ('[{"q": "x", "a": "yes"}, ["y", "no"]]', r"d\.json: row 2: expected a JSON object, found list"),
        ('[{"q": "x", "q": "y", "a": "no"}]', r"d\.json: the key 'q' is there twice"),
        (
            '[{"q": "x", "a": "yes"}, {"q": "y", "a": "maybe"}]',
            r"d\.json: row 2: a is 'maybe', which is none of the choices",
        ),
        ("[]", r"no examples in .*d\.json"),
    ],
)
def test_the_error_of_a_json_file_names_the_row(tmp_path, text, problem):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(UserError, match=problem):
        load_task(custom(tmp_path / "d.json"))


def test_rows_of_empty_cells_are_skipped_as_empty_lines_are(tmp_path):
    (tmp_path / "d.csv").write_text("q,a\nx,yes\n,\ny,no\n,\n\n,\n")
    examples = load_task(custom(tmp_path / "d.csv"))[2]
    assert [(example.id, example.fields["q"]) for example in examples] == [("0", "x"), ("1", "y")]


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.csv.gz", "d.jsonl.zip"])
def test_a_compressed_file_is_to_be_unpacked(tmp_path, name):
    import gzip

    (tmp_path / name).write_bytes(gzip.compress(b"q,a\nx,yes\n"))
    with pytest.raises(UserError, match=rf"{name}: .*compressed.*unpack it"):
        load_task(custom(tmp_path / name))
