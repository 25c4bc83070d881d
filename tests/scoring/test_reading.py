"""Outputs are read as a careful person reads them: by kind, on real outputs, and whatever stands in them."""

import json
import re
import string
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conftest import SHARED
from paft.scoring.choice import indistinguishable, read_label, read_letter
from paft.types import LETTERS

HERE = Path(__file__).parent
KINDS = [json.loads(line) for line in (HERE / "readings.jsonl").read_text(encoding="utf-8").splitlines()]
CITIES = ("Paris", "London", "Rome", "Madrid")
SENTIMENTS = ("negative", "positive")


def read(row: dict, text: str) -> str | None:
    """Return the letter or the label that is read from a text."""
    options = tuple(row["options"])
    reader = read_letter if row["answer"] == "letter" else read_label
    index = reader(text, options, names=tuple(row.get("names", ())))
    if index is None:
        return None
    return LETTERS[index] if row["answer"] == "letter" else options[index]


@pytest.mark.parametrize("row", KINDS, ids=lambda row: f"{row['kind']} {row['expected']}")
def test_every_form_of_a_kind_is_read_as_a_person_reads_it(row):
    found = {text: read(row, text) for text in row["texts"]}
    assert {text: answer for text, answer in found.items() if answer != row["expected"]} == {}


@pytest.mark.parametrize("sequence", [list, tuple])
def test_options_and_names_may_be_any_sequence(sequence):
    options, names = sequence(["red", "green"]), sequence(["colour"])
    assert read_letter("The colour is B", options, names=names) == 1
    assert read_label("The colour is green", options, names=names) == 1


def test_the_cases_that_others_collected_are_read_as_expected():
    file = SHARED.parent / "cases" / "answers.jsonl"
    if not file.is_file():
        pytest.skip("the cases of ../shared/cases are missing")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    failures = [(row["text"], answer) for row in rows if (answer := read(row, row["text"])) != row["expected"]]
    assert len(failures) <= 0.03 * len(rows), failures
    assert [failure for failure in failures if failure[1] is not None] == []


words = st.text(string.ascii_lowercase, min_size=3, max_size=9)
WRAPPERS = ["{}", "{}.", "{}!", '"{}"', "'{}'", "**{}**", "`{}`", "({})", "[{}]", "{{{}}}", " {}\n", "\n\n{}\n\n", "_{}_",
            "\u201c{}\u201d", "\u300c{}\u300d", "<{}>", "**{}.**", "({}).", "{}\u3002", "{}<|im_end|>", "<answer>{}</answer>",
            r"\boxed{{{}}}", r"\boxed{{\text{{{}}}}}", "<think>hm</think>{}", "Answer: {}", "The answer is {}.", "# {}"]  # fmt: skip


@given(st.lists(words, min_size=2, max_size=8, unique=True), st.data())
def test_an_option_in_any_wrapping_is_that_option(options, data):
    index = data.draw(st.integers(0, len(options) - 1))
    wrapper = data.draw(st.sampled_from(WRAPPERS))
    change = data.draw(st.sampled_from([str, str.upper, str.title]))
    assume(not {"answer", "the", "think", "boxed", "text"} & set(options))
    assert read_label(wrapper.format(change(options[index])), tuple(options)) == index
    assert read_letter(wrapper.format(LETTERS[index]), tuple(options)) == index


@given(st.lists(words, min_size=1, max_size=40), st.lists(words, min_size=2, max_size=5, unique=True))
def test_a_text_without_any_option_is_read_as_none(text, options):
    joined = " ".join(text)
    assume(not any(option in joined.replace(" ", "") for option in options))
    assert read_label(joined, tuple(options)) is None


FORMS = ["{0}", "{0}.", "The answer is {0}.", "It is {0}.", "{0} or {1}", "{0}: 0.4\n{1}: 0.6", "{0}, not {1}", "not {0}",
         "{0}. {1}.", "Label: {0}\nLabel: {1}", "{0}? {1}!", "I think {0} fits, but {1} is better.", '{{"label": "{0}"}}',
         "{0}\n\nText: next\nLabel: {1}", "{0} {1}", "There are {0} things, and {1} things"]  # fmt: skip


@given(
    st.permutations(("billing", "not billing", "card_arrival", "C++", "C", "yes", "5", "\u6b63\u9762")), st.data()
)
def test_the_order_of_labels_changes_nothing(options, data):
    first, second = data.draw(st.permutations(options))[:2]
    text = data.draw(st.sampled_from(FORMS)).format(first, second)
    index, reverse = read_label(text, tuple(options)), read_label(text, tuple(reversed(options)))
    assert (index is None) == (reverse is None)
    assert index is None or options[index] == options[::-1][reverse]


pieces = st.sampled_from(
    ["B", "A", "positive", "negative", "answer", "is", "not", "or", ":", ".", "?", "\n", " ", "**", "{", "}", '"', "<think>",
     "</think>", "<answer>", "</answer>", r"\boxed{", "<|channel|>", "final<|message|>", "Question:", "0.5", "%", "\ud800",
     "\x00", "\u200b", "\u0301", "\u0130", "\ufdfa", "but", "I would choose", "```json", "\\", "[", "(", ")"]
)  # fmt: skip


@given(st.lists(pieces | st.text(max_size=3), max_size=30).map("".join))
def test_no_text_is_an_error(text):
    assert read_letter(text, CITIES, names=("positive",)) in (None, 0, 1, 2, 3)
    assert read_label(text, SENTIMENTS, names=("sentiment", "(")) in (None, 0, 1)
    assert read_label(text, ("\ud800", "\u0130", "", "{", "-")) in (None, 0, 1, 2, 3, 4)


@pytest.mark.medium
@pytest.mark.parametrize(
    "piece",
    ["a", "B, ", "(", '"', "**", "<think>", "<answer>", r"\boxed{", "{", '{"a": "', "\n", " ", "a:", "A:\n", "answer is ",
     "the answer is B ", "not ", "positive or ", "positive: 0.1\n", "\nQuestion: ", "<|im_end|>", "\x00", "\ud800", "\u0301",
     "\u6b63\u9762", "-", "_", "1.", "</s>", r"\text{", "but positive ", "wait, B. ", "|"],
)  # fmt: skip
def test_an_output_of_a_megabyte_is_read_in_seconds(piece):
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    read_letter("B" + text, CITIES)
    read_label(text + "The answer is positive", (*SENTIMENTS, "\u6b63\u9762"), names=("sentiment",))
    assert time.process_time() - start < 5


def test_an_answer_far_into_a_long_text_is_read():
    thoughts = "The film has many scenes. " * 4000
    assert read_letter(f"{thoughts}\nThe answer is B.", CITIES) == 1
    assert read_label(f"<think>{thoughts} positive</think>negative", SENTIMENTS) == 0


def test_options_that_differ_in_case_are_told_apart_by_an_exact_answer_only():
    options = ("US", "us", "them")
    assert [read_label(text, options) for text in ("US", "us", " us\n", "Us", "us.", "The answer is US.", "them!")] == [
        0, 1, 1, None, 1, 0, 2,
    ]  # fmt: skip
    assert indistinguishable(options) is None


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        (("yes", "no"), None),
        (("(A)", "(B)"), None),
        (("C", "C++", "C#"), None),
        (("a", "b", "a"), ("a", "a")),
        (("a", "a ", "b"), ("a", "a ")),
        (("x", "y", "\uff59"), ("y", "\uff59")),
        (("e\u0301", "\u00e9"), ("e\u0301", "\u00e9")),
        (("a\u00a0b", "a b"), ("a\u00a0b", "a b")),
        ((":)", ":("), None),
    ],
)
def test_options_that_no_output_can_tell_apart_are_found(options, pair):
    assert indistinguishable(options) == pair


def test_the_tasks_own_name_makes_a_statement():
    options = ("billing", "delivery")
    text = "Both came up, billing and delivery. In the end the department for this is delivery."
    assert read_label(text, options) is None
    assert read_label(text, options, names=("department",)) == 1
    assert read_label("billing y delivery", options, names=("y",)) is None
    assert read_label("delivery billing", options, names=("delivery",)) is None


def test_the_readers_words_name_no_task():
    from paft.scoring import words

    named = re.compile(
        r"department|sentiment|ending|topic|intent|emotion|billing|review|relation|stars", re.IGNORECASE
    )
    lists = {name: str(value) for name, value in vars(words).items() if name.isupper()}
    assert len(lists) > 20
    assert all(unicodedata.is_normalized("NFKC", value) for value in lists.values())
    assert [name for name, value in lists.items() if named.search(value)] == []


@pytest.mark.parametrize("half", ["look", "measure"])
def test_outputs_of_real_models_are_read_as_a_person_read_them(half):
    rows = [json.loads(line) for line in (HERE / "outputs.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["half"] == half]
    answers = [(row["expected"], read(row, row["text"])) for row in rows]
    assert len(rows) > 190
    assert sum(expected == answer for expected, answer in answers) >= 0.95 * len(rows)
    assert sum(answer not in (None, expected) for expected, answer in answers) <= 0.02 * len(rows)


def test_a_heading_that_comes_back_with_another_value_states_nothing():
    assert read_letter("Part: 100\n\nPart: 100\n\nPart: 120", ("30", "60", "100")) is None
    assert read_letter("Part: 100\n\nPart: 100", ("30", "60", "100")) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B) green", 1), ("(B) green", 1), ("The correct answer is: B) green", 1), ("**C. blue**", 2), ("A: red.", 0),
        ("A) green", None), ("A) red\nB) green\nC) blue", None), ("B) greenish", None), ("A) red or B) green", None),
    ],
)  # fmt: skip
def test_a_label_may_come_with_the_letter_that_the_prompt_gave_it(text, expected):
    assert read_label(text, ("red", "green", "blue")) == expected
