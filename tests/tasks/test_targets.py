"""A target column is read in the one way that fits, whatever rows there are, or the config has to say how."""

import json
from itertools import product

import pytest

from conftest import write_rows
from paft.config.load import load_config
from paft.config.task import HubSource, TaskConfig
from paft.errors import UserError
from paft.scoring.registry import SCORERS, make_scorer
from paft.tasks.describe import equal_answers
from paft.tasks.load import check_targets, load_task, stored_rows, task_of_rows
from paft.tasks.rows import read_rows

STARS = ["1", "2", "3", "4", "5"]


def load(path, rows, choices=("yes", "no"), **more):
    """Return the task and the indices that the rows' targets are read as."""
    write_rows(path / "d.jsonl", [{"q": f"x{i}"} | (row if isinstance(row, dict) else {"a": row})
                                  for i, row in enumerate(rows)])  # fmt: skip
    choices = list(choices) if isinstance(choices, tuple) else choices
    config = {"name": "own", "test": str(path / "d.jsonl"), "fields": ["q"], "choices": choices, "target": "a"}
    task, _, examples = load_task(TaskConfig(**(config | more)))
    return task, [example.target for example in examples]


def indices(path, rows, choices=("yes", "no"), **more):
    return load(path, rows, choices, **more)[1]


@pytest.mark.parametrize("rows", [[1, 4], [0, 1, 4], [5], ["5"], ["1"], [0], [2.0], ["3.0"]])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_numbers_that_may_be_texts_or_positions_are_refused_whatever_rows_there_are(tmp_path, rows, suffix):
    path = tmp_path / f"d.{suffix}"
    if suffix == "csv":
        path.write_text("q,a\n" + "".join(f"x,{value}\n" for value in rows))
    else:
        write_rows(path, [{"q": "x", "a": value} for value in rows])
    config = {"name": "stars", "test": str(path), "fields": ["q"], "choices": STARS, "target": "a"}
    with pytest.raises(UserError, match=r"text of a choice or its position .*set task\.target_format to text"):
        load_task(TaskConfig(**config))


def test_what_numbers_mean_is_what_the_config_says(tmp_path):
    assert indices(tmp_path, [1, 4], STARS, target_format="text") == [0, 3]
    assert indices(tmp_path, [1, 4], STARS, target_format="zero-based") == [1, 4]
    assert indices(tmp_path, [1, 4], STARS, target_format="one-based") == [0, 3]
    assert indices(tmp_path, [1, 4], STARS, target_format={1: "5", 4: "2"}) == [4, 1]


@pytest.mark.parametrize("rows", [[0, 1], [0], [1], ["0"], ["1"], [1.0]])
def test_numbers_beside_named_choices_need_their_meaning_said(tmp_path, rows):
    with pytest.raises(
        UserError, match=r"say what the numbers mean: set task\.target_format to a mapping .*zero-b"
    ):
        indices(tmp_path, rows, ("positive", "negative"))


@pytest.mark.parametrize(
    ("mapping", "rows", "read"),
    [
        ("{0: negative, 1: positive}", [0, 1, "1", 1.0, "0.0"], [1, 0, 0, 0, 1]),
        ("{'0': negative, '1': positive}", [0, 1], [1, 0]),
        ("{true: positive, false: negative}", [True, False, "true", "FALSE"], [0, 1, 0, 1]),
        ("{yes: positive, no: negative}", ["yes", "no", "No"], [0, 1, 1]),
        ("{neg: negative, pos: positive, meh: negative}", ["pos", "meh"], [0, 1]),
        ("{-1: negative, 1: positive}", [-1, 1], [1, 0]),
    ],
)
def test_a_mapping_names_the_choice_of_each_value(tmp_path, mapping, rows, read):
    write_rows(tmp_path / "d.jsonl", [{"q": "x", "a": value} for value in rows])
    (tmp_path / "c.yaml").write_text(
        "task: {name: own, test: d.jsonl, fields: [q], choices: [positive, negative], target: a}\n"
        "prompts: {test: p.jsonl}\n"
    )
    config = load_config(tmp_path / "c.yaml", [f"task.target_format={mapping}"])
    task, _, examples = load_task(config.task)
    assert [example.target for example in examples] == read
    assert "a is read by task.target_format: " in task.target_reading


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {0: "negative", 1: "positiv"},
            r"target_format\.1: 'positiv' is none of task\.choices; did you mean 'posi",
        ),
        (
            {0: "negative"},
            r"d\.jsonl:1: a is '1', which task\.target_format does not map; it maps 0; add it",
        ),
        ({0: "negative", "0": "positive"}, "'0' is mapped twice"),
        ({0: False, 1: True}, r"quote yes and no"),
        ({}, "an empty mapping"),
        ("zero", r"takes|Input should be|target_format"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(tmp_path, mapping, message):
    with pytest.raises((UserError, ValueError), match=message):
        indices(tmp_path, [1], ("positive", "negative"), target_format=mapping)


def test_a_mapping_is_for_choices_that_all_examples_share(tmp_path):
    rows = [{"o": ["p", "q"], "a": 0}]
    with pytest.raises(UserError, match="a mapping needs choices that all examples share"):
        indices(tmp_path, rows, "o", target_format={0: "p", 1: "q"})


@pytest.mark.parametrize(
    ("value", "choices", "index"),
    [
        (True, ("False", "True"), 1),
        (False, ("true", "false"), 1),
        ("TRUE", ("true", "false"), 0),
        (1.0, ("0", "1"), 1),
        ("1.0", ("0", "1"), 1),
        (10, ("10.0", "20.0"), 0),
        (20, ("10", "20"), 1),
        ("YES", ("yes", "no"), 0),
        (" yes ", ("yes", "no"), 0),
        ("cafe\u0301", ("tea", "caf\u00e9"), 1),
        ("new\u00a0york", ("new york", "paris"), 0),
        ("paris\u200b", ("new york", "paris"), 1),
        ("US", ("us", "US"), 1),
        ("us", ("us", "US"), 0),
        (":(", (":)", ":("), 1),
        ("(B)", ("(A)", "(B)"), 1),
        ("card_arrival", ("card_arrival", "card_linking"), 0),
        ("B", ("yes", "no"), 1),
        ("b", ("yes", "no"), 1),
        ("B", ("A", "B"), 1),
        ("F", ("A", "B", "C", "D", "F"), 4),
    ],
)
def test_a_label_is_read_where_one_reading_is_possible(tmp_path, value, choices, index):
    assert indices(tmp_path, [value], choices) == [index]


@pytest.mark.parametrize(
    ("value", "choices", "message"),
    [
        ("Us", ("us", "US"), r"'Us', which fits several choices up to case: us, US"),
        (
            True,
            ("yes", "no"),
            r"none of the choices \(yes, no\); set task\.target_format to a mapping \{true: CHOICE",
        ),
        ("true", ("yes", "no"), r"mapping \{true: CHOICE, false: CHOICE\}"),
        (
            "A",
            ("C", "B", "A"),
            r"read as text it is the choice 'A', read as a letter 'C'; set task\.target_format",
        ),
        ("E", ("A", "B", "C", "D", "F"), "none of the choices"),
        ("1", ("1", "0"), r"text of a choice or its position"),
        (2, ("2", "1"), r"text of a choice or its position"),
    ],
)
def test_a_label_that_fits_more_than_one_choice_is_refused_with_the_difference(tmp_path, value, choices, message):
    with pytest.raises(UserError, match=message):
        indices(tmp_path, [value], choices)


def test_texts_in_one_row_and_letters_in_another_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"d\.jsonl:2: a can only be read as letter, but as text at .*d\.jsonl:1"):
        indices(tmp_path, ["yes", "B"])


def test_a_cell_is_read_alike_in_every_file(tmp_path):
    """For every set of choices, each cell names the same option in each file that is accepted."""
    cells = ["A", "b", "C", "0", "1", 2, 3, "yes", "No", True, 1.0]
    for choices in product(["A", "B", "yes", "0", "1", "2"], repeat=3):
        if len(set(choices)) < 3:
            continue
        alone = {}
        for i, cell in enumerate(cells):
            try:
                [alone[i]] = indices(tmp_path, [cell], choices)
            except UserError:
                continue
        for i, j in product(alone, repeat=2):
            try:
                both = indices(tmp_path, [cells[i], cells[j]], choices)
            except UserError:
                continue
            assert both == [alone[i], alone[j]]


def test_own_options_are_read_row_by_row(tmp_path):
    rows = [{"o": ["2", "3", "1"], "a": 1}, {"o": ["7", "3", "9"], "a": 1}]
    with pytest.raises(UserError, match=r"d\.jsonl:1: a is '1', and the choices are numbers too"):
        indices(tmp_path, rows, "o")
    with pytest.raises(UserError, match=r"say what the numbers mean: set task\.target_format to zero-based"):
        indices(tmp_path, rows[1:], "o")
    assert indices(tmp_path, rows, "o", target_format="zero-based") == [1, 1]
    assert indices(tmp_path, [{"o": ["12", "30"], "a": 30}, {"o": ["x", "y"], "a": "y"}], "o") == [1, 1]
    assert indices(tmp_path, [{"o": ["A", "B"], "a": "B"}, {"o": ["x", "y"], "a": "A"}], "o") == [1, 0]


def test_own_options_that_look_alike_are_refused_where_the_answer_is_their_text(tmp_path):
    rows = [{"o": ["tea", "tea "], "a": "A"}]
    with pytest.raises(UserError, match=r"d\.jsonl:1: an answer cannot tell 'tea' and 'tea ' apart"):
        indices(tmp_path, rows, "o")
    assert indices(tmp_path, rows, "o", answer="letter") == [0]
    assert indices(tmp_path, [{"o": ["US", "us"], "a": "us"}], "o") == [1]


def classes(names, values):
    import datasets

    features = datasets.Features({"q": datasets.Value("string"), "a": datasets.ClassLabel(names=names)})
    return datasets.Dataset.from_list([{"q": "x", "a": value} for value in values], features=features)


def own(**more):
    return TaskConfig(**({"name": "own", "fields": ["q"], "choices": ["pos", "neg"], "target": "a"} | more))


def test_numbers_are_read_by_the_data_sets_own_class_names(tmp_path):
    data = classes(["neg", "Pos"], [0, 1, 1])
    task, examples = task_of_rows(data, own())
    assert [example.target for example in examples] == [1, 0, 0]
    assert task.target_reading == (
        "a is read as the text of a choice; numbers by the data set's class names: 0 = neg, 1 = Pos; "
        "spelled differently: 'Pos' = 'pos'"
    )
    (tmp_path / "data").mkdir()
    data.to_parquet(tmp_path / "data/test-00000-of-00001.parquet")
    for source in (
        HubSource(hub=str(tmp_path / "data"), split="test"),
        str(tmp_path / "data/test-00000-of-00001.parquet"),
    ):
        assert [e.target for e in load_task(own(test=source))[2]] == [1, 0, 0]
        said = own(test=source, target_format="zero-based")
        assert [e.target for e in load_task(said)[2]] == [0, 1, 1]
        said = own(test=source, target_format={0: "pos", 1: "neg"})
        assert [e.target for e in load_task(said)[2]] == [0, 1, 1]
        said = own(test=source, target_format={"neg": "pos", "pos": "neg"})
        assert [e.target for e in load_task(said)[2]] == [0, 1, 1]
        assert [row["a"] for row in stored_rows(own(), source)] == ["neg", "Pos", "Pos"]


def test_class_names_that_are_no_choices_and_rows_without_a_label_are_refused():
    with pytest.raises(UserError, match=r"a is 'bad', which is none of the choices .*own name of the class"):
        task_of_rows(classes(["bad", "good"], [0]), own())
    with pytest.raises(UserError, match=r"row 2: a is -1, which stands for no label; leave the row out"):
        task_of_rows(classes(["neg", "pos"], [0, -1]), own())


def free(path, cells, **more):
    write_rows(path / "d.jsonl", [{"q": f"x{i}", "a": cell} for i, cell in enumerate(cells)])
    return load_task(
        TaskConfig(**({"name": "own", "fields": ["q"], "target": "a", "test": str(path / "d.jsonl")} | more))
    )


def test_accepted_answers_are_texts_numbers_or_lists_of_them(tmp_path):
    cells = [" Paris ", ["Paris", "paris", "Paris"], 3, 3.0, 0.1, True, [1, "one", False], 1e20, "a, b"]
    task, _, examples = free(tmp_path, cells)
    assert [example.targets for example in examples] == [
        ("Paris",), ("Paris", "paris"), ("3",), ("3.0",), ("0.1",), ("true",), ("1", "one", "false"), ("1e+20",), ("a, b",)
    ]  # fmt: skip
    assert task.target(examples[1]) == "Paris"
    assert task.target_reading == (
        "a is read as free text; 1 to 3 accepted answers each, of which the first is trained on"
    )
    (tmp_path / "d.csv").write_text('q,a\nx,"[""a"", ""b""]"\ny,3.0\n')
    csv = load_task(TaskConfig(name="own", fields=["q"], target="a", test=str(tmp_path / "d.csv")))
    assert [example.targets for example in csv[2]] == [('["a", "b"]',), ("3.0",)]
    assert csv[0].target_reading == (
        "a is read as free text; one accepted answer each; 1 written like a list are one text each "
        "(JSON lines and Parquet have lists)"
    )


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "a is null, expected a text, a number, or a list of them"),
        ([], "a is an empty list, so no answer is right; leave the row out"),
        (["x", None], "a holds null in its list"),
        (["x", ["y"]], "a holds a list in its list"),
        ({"text": "x"}, "a is a mapping"),
        ("  ", "a holds an empty answer"),
        (["x", ""], "a holds an empty answer"),
        (float("nan"), "a is nan"),
    ],
)
def test_a_cell_without_a_usable_answer_is_named_with_its_row(tmp_path, cell, message):
    with pytest.raises(UserError, match=rf"d\.jsonl:2: {message}"):
        free(tmp_path, ["x", cell])


def test_an_accepted_answer_that_a_scorer_cannot_use_is_named_with_its_row(tmp_path):
    class Number:
        name, is_binary = "number", True

        def check_target(self, target):
            return None if any(c.isdigit() for c in target) else "holds no number"

    task, _, examples = free(tmp_path, ["12", ["7", "seven"], "x"])
    with pytest.raises(
        UserError, match=r"d\.jsonl:2: the accepted answer 'seven' holds no number \(scorer number\)"
    ):
        check_targets(task, [Number()], examples, str(tmp_path / "d.jsonl"))
    check_targets(task, [Number()], examples[:1], str(tmp_path / "d.jsonl"))


def test_answers_that_differ_in_a_sign_and_are_scored_alike_are_named_with_their_rows_and_the_fix(tmp_path):
    def notes(train, test, scorer="exact"):
        (tmp_path / "train").mkdir(exist_ok=True)
        task, _, left = free(tmp_path / "train", train)
        right = free(tmp_path, test)[2]
        return list(equal_answers(task, [make_scorer(scorer, task)], ((left, "a.jsonl"), (right, "b.jsonl"))))

    assert notes(["5", "x|y"], ["x&y", "5%"]) == [
        "the scorer exact takes 'x|y' (a.jsonl:2) and 'x&y' (b.jsonl:1) for the same answer (2 such pairs); if they "
        "differ, set normalise: none, as in scorer: {name: exact, normalise: none}"
    ]
    assert notes(["x|y"], ["x&y"], {"name": "exact", "normalise": "none"}) == []
    alike = ["the Beatles", "O+", "1939-1945", "COVID-19", ["5", "5%"]]
    assert notes(alike, ["Beatles!", "O-", "1939\u20131945", "Covid19", "5%"]) == []


@pytest.mark.skipif("number" not in SCORERS.names, reason="the scorer number is missing")
def test_gsm8k_needs_only_its_name_and_paths(tmp_path):
    solution = "Tom has 3 boxes of 6 pens, 3 * 6 = <<3*6=18>>18.\n#### 18"
    path = write_rows(tmp_path / "test.jsonl", [{"question": "How many pens?", "answer": solution}])
    task, _, [example] = load_task(TaskConfig(name="gsm8k", test=str(path)))
    assert (task.target(example), task.scorer, task.has_options) == (solution, "number", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('q,a\n"it is" great,yes\n"so" bad,no\n', r"d\.csv: row 1 \(line 2\): a quoted cell goes on after its closing"),
        ('q,a\nfine,yes\n"one\ntwo" three,no\n', r"d\.csv: row 2 \(line 4\): a quoted cell goes on"),
        ('q,a\nfine,yes\n"never closed,no\nx,yes\n', r"d\.csv: row 2 \(line \d\): a quote opens a cell and never closes"),
        ("q,a\nfine, really,yes\n", r"d\.csv: row 1 has 3 cells, the header has 2; quote a text"),
        ("q,a\nfine\n", r"d\.csv: row 1 has 1 cells"),
        ("", "the file is empty"),
        ("q,a\n", "no examples in"),
    ],
)  # fmt: skip
def test_a_table_whose_quotes_or_cells_do_not_fit_is_refused_with_the_row(tmp_path, text, message):
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        load_task(own(test=str(tmp_path / "d.csv")))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            'q,a\nfine,pos\n"it is great,pos\nso bad",neg\n',
            r"d\.csv: row 2 \(line 3\): the cell 'q' holds 2 lines",
        ),
        (
            'q,a\r\n\r\n"great,pos\r\nbad,neg\r\nso so",neg\r\nx,pos\r\n',
            r"d\.csv: row 1 \(line 3\): the cell 'q' holds 3 lines",
        ),
        ('a,q\nneg,x\npos,"great\nneg,bad"\n', r"d\.csv: row 2 \(line 3\): the cell 'q' holds 2 lines"),
        ('id,q,a\n1,"great,pos\n2,bad",neg\n3,x,pos\n', r"d\.csv: row 1 \(line 2\): the cell 'q' holds 2 lines"),
    ],
)
def test_rows_that_a_stray_quote_merges_are_named_with_their_line(tmp_path, text, place):
    (tmp_path / "d.csv").write_bytes(text.encode())
    with pytest.raises(UserError, match=rf"{place} that look like rows; close the quote"):
        load_task(own(test=str(tmp_path / "d.csv")))


@pytest.mark.parametrize(
    "cell",
    [
        "Hello, all\nBye", "It was good, pos\nreally", "Dear Sir,\nI came, I saw\nAnn", "x,pos\ny,neg", "first\n\nsecond, third",
        "name,pos\nAnn,3\nBob",
    ],
)  # fmt: skip
def test_text_of_several_lines_with_commas_is_one_cell(tmp_path, cell):
    (tmp_path / "d.csv").write_text(f'q,a\n"{cell}",pos\nfine,neg\n')
    assert load_task(own(test=str(tmp_path / "d.csv")))[2][0].fields["q"] == cell


def test_quotes_within_a_cell_stay(tmp_path):
    (tmp_path / "d.csv").write_text('q,a\nhe said "hi",pos\n"he said ""hi"", twice",neg\n\n')
    assert [row["q"] for row in read_rows(str(tmp_path / "d.csv")).rows] == ['he said "hi"', 'he said "hi", twice']
    long = "word " * 60_000
    (tmp_path / "d.csv").write_text(f'q,a\n"{long}",pos\n')
    assert read_rows(str(tmp_path / "d.csv")).rows[0]["q"] == long


@pytest.mark.parametrize(
    "name", ["\u0442\u0435\u043a\u0441\u0442", "gr\u00f6\u00dfe", "\u0939\u093f\u0928\u094d\u0926\u0940"]
)
def test_a_column_may_have_any_name_that_is_an_identifier(tmp_path, name):
    import unicodedata

    decomposed = unicodedata.normalize("NFD", name)
    (tmp_path / "d.jsonl").write_text(json.dumps({decomposed: "x", "a": "pos"}))
    task, _, [example] = load_task(own(fields=[name], test=str(tmp_path / "d.jsonl")))
    assert task.slot_values(example)[unicodedata.normalize("NFKC", name)] == "x"


@pytest.mark.parametrize("cell", ["", None, float("nan"), "  "])
def test_a_row_without_a_label_is_to_be_left_out(tmp_path, cell):
    with pytest.raises(UserError, match=r"d\.jsonl:2: a names no choice, it is .*; leave the row out"):
        load(tmp_path, ["yes", cell])
