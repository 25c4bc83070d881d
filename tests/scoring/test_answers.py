"""Answers are read where they are given, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paft.scoring.choice import indistinguishable, read_label, read_letter

OPTIONS = ("a red ball", "a blue hat", "a dog", "an idea")
LABELS = ("description", "entity", "abbreviation", "human", "location", "number")


@pytest.mark.parametrize(
    "text",
    ["B", "b".upper() + ".", "(B)", "[B]", "B)", " B\n", "**B**", "`B`", '"B"', "B\nbecause it is blue", "B. a blue hat",
     "(B) a blue hat", "B: it is blue", "The answer is B", "The answer is (B).", "Answer: B", "answer: **B**", "The answer is A blue hat",
     "The correct answer is option B.", "I looked at all of them. The best choice is B, I think.", "a blue hat",
     "A blue hat.", "The correct option is: B", "Option B", "The answer is Option B", "the answer is 'B'", "b", "(b)",
     "B is the correct answer.", r"\\boxed{B}", "B. A teacher", "(B) A teacher", "The answer is B. A teacher"],
)  # fmt: skip
def test_a_letter_that_is_given_is_read(text):
    assert read_letter(text, OPTIONS) == 1


@pytest.mark.parametrize(
    "text",
    ["", "   ", "I don't know.", "A or B", "A/B", "B and C", "A, B", "The answer is A or B.", "Answer: A, B or C", "E",
     "The answer is E", "Both are right", "A man walks in and B is taller", "Answer: A\nAnswer: B", "a red ball or a dog",
     "Because of the context, option texts differ.", "A good question!", "I would say so", "The answer is A cat",
     "The wrong answer is B.", "The incorrect option is B.", "If the answer is B, then no", "Answer: B is incorrect, so D",
     "The answer is B. No wait, the answer is C.", "A. a red ball\nB. a blue hat\nC. a dog", "A) foo B) bar",
     "B\n\nAnswer: C", "Plan B would be nice", "None of A, B, C, D", "vitamin C", "A: B", "A. C", "A: (D).", "The answer is B as well as C"],
)  # fmt: skip
def test_a_letter_that_is_not_given_is_unparsed(text):
    assert read_letter(text, OPTIONS) is None


@pytest.mark.parametrize(
    "text",
    ["The answer is D. Wait, that's wrong.", "The answer is A, but that's wrong.", "A is right. Wait, no.",
     "The answer is A. Actually, that is incorrect.", "The answer is A. Let me recheck... I made a mistake",
     "The official answer is A but this is wrong.", "**A**\n\nActually, I made a mistake: the correct answer is **D**."],
)  # fmt: skip
def test_a_letter_that_is_taken_back_is_unparsed(text):
    assert read_letter(text, OPTIONS) is None


@pytest.mark.parametrize(
    "text",
    ["Both options A and D are correct.", "Options A through D are correct.", "Both (A) and (D) are correct.", "Only A and C are correct.",
     "A is correct, as is D.", "A is correct, as well as D.", "A, B and D are correct."],
)  # fmt: skip
def test_two_letters_that_are_both_called_correct_are_unparsed(text):
    assert read_letter(text, OPTIONS) is None


@pytest.mark.parametrize(
    ("text", "index"),
    [("Between A and D, the correct answer is D.", 3), ("The answer is B. A is a common choice, but that is wrong.", 1),
     ("The answer is D. Let me know if you need more.", 3), ("The answer is B. Some say it is red, but that is wrong.", 1),
     ("D is correct, as it is an idea.", 3), ("I made a mistake before. The correct answer is D.", 3)],
)  # fmt: skip
def test_a_letter_stands_where_something_else_is_called_wrong(text, index):
    assert read_letter(text, OPTIONS) == index


@pytest.mark.parametrize(
    "text",
    ["location", "Location", "location.", " location\n", "**location**", '"location"', "location\n\nThe question asks",
     "Location: it asks where", "location (a place)", "Answer: location", "The answer is location.",
     "The category is: location", "location - a place", "The answer is a location.", "1. location", "- location"],
)  # fmt: skip
def test_a_label_that_is_given_is_read(text):
    assert read_label(text, LABELS) == 4


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    "form",
    ["The correct answer is {} because it fits best.", "The answer is {} as it fits.", "Answer: {} since it fits",
     "Answer: {} is correct", "The answer is {}, which fits.",
     "{}. {own}", "({}) {own}", "The answer is {}. {own}", "The answer is {}) {own}"],
)  # fmt: skip
def test_every_letter_is_read_in_every_form(form, index):
    options = ("His wife was not well.", "pressed a wrong button.", "It is false", "An owl")
    assert read_letter(form.format("ABCD"[index], own=options[index]), options) == index


def test_a_reason_does_not_deny_the_answer_before_it():
    labels = ("entailment", "neutral", "contradiction")
    assert read_label("The answer is neutral because the premise does not say.", labels) == 1
    assert read_label("neutral (because it is not said)", labels) == 1
    assert read_letter("B. It is not that, but wrong", ("x", "y")) is None


def test_an_article_may_be_a_part_of_the_option():
    options = ("the dog", "a cat", "The Beatles", "owl")
    said = ["The answer is the dog", "Answer: a cat", "answer: The Beatles", "The answer is an owl"]
    assert [read_label(text, options) for text in said] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "text",
    ["", "It is not a location", "locations", "This question is about the number of people in a location", "place",
     "location or human", "human, location", "description, entity, abbreviation, human, location, number",
     "Answer: human\nAnswer: location", "The answer is human or location", "relocation", "human location",
     "human as well as location", "human\nlocation\nnumber", "- human\n- location", "human, or a location", "The answer is not location",
     "The answer is human. Actually, the answer is location.", "human is wrong"],
)  # fmt: skip
def test_a_label_that_is_not_given_is_unparsed(text):
    assert read_label(text, LABELS) is None


@pytest.mark.parametrize(
    ("text", "options"),
    [("4.5", ("1", "2", "3", "4", "5")), ("10,000", ("10", "20")), ("3 - 4", ("3", "4")), ("3-4", ("3", "4"))],
)
def test_a_number_that_only_begins_with_a_label_is_not_read(text, options):
    assert read_label(text, options) is None
    assert read_label(f"{options[0]}.", options) == 0
    assert read_label(f"{options[0]} - bad", options) == 0


def test_the_longer_of_two_labels_that_begin_alike_is_read():
    assert read_label("very positive.", ("very", "very positive")) == 1
    assert read_label("very", ("very", "very positive")) == 0


@pytest.mark.parametrize(
    ("text", "options", "found"),
    [
        ("The answer is no.", ("yes", "no"), 1), ("Answer: No", ("yes", "no"), 1), ("No, it does not.", ("yes", "no"), 1),
        ("Label: false", ("true", "false"), 1), ("False. That is wrong.", ("true", "false"), 1),
        ("The answer is not entailment.", ("entailment", "not entailment"), 1),
        ("The answer is not entailment.", ("entailment", "contradiction"), None),
        ("Yes? No.", ("yes", "no"), None), ("The answer is no longer clear", ("yes", "no"), None),
        ("The answer is no, or yes.", ("yes", "no"), None),
    ],
)  # fmt: skip
def test_an_option_that_is_a_denial_is_read(text, options, found):
    assert read_label(text, options) == found


@pytest.mark.parametrize(
    "option",
    [
        "\u4f53\u80b2\uff08\u8db3\u7403\uff09",
        "Add \u00bd cup",
        "Wait\u2026",
        "x\u00b2",
        "`ls -l`",
        "2**3",
        "e\u0301te\u0301",
    ],
)
def test_an_option_is_read_back_whatever_its_signs(option):
    assert read_label(option, ("other", option)) == 1
    assert read_label(f"The answer is {option}.", ("other", option)) == 1
    assert read_letter(option, ("other", option)) == 1


def test_signs_that_tell_options_apart_are_read():
    assert [read_label(text, ("C", "C++", "C#")) for text in ("C", "C++", "C#.")] == [0, 1, 2]
    assert read_label("-5", ("5", "-5")) == 1
    assert read_label("1.2", ("1/2", "2")) is None
    assert [read_label(text, ("yes", "no")) for text in ("Yes, normally", "Yes, not only that", "No.")] == [
        0,
        None,
        1,
    ]


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("<5", ">5", "=5"), {"5": None, ">5": 1, "> 5": 1, "<5.": 0, "**>5**": 1, "The answer is >5.": 1, "Answer: < 5": 0, "=5": 2, ">6": None, "It is 5": None}),
        ((">10", "10"), {"10": 1, ">10": 0, "> 10.": 0, "The answer is > 10": 0, "Answer: 10": 1, "<10": None, "The answer is < 10": None}),
        (("positive", "negative"), {"> positive": 0, "<positive>": 0}),
    ],
)  # fmt: skip
def test_a_comparison_belongs_to_an_option_and_is_no_quote_mark(options, texts):
    assert {text: read_label(text, options) for text in texts} == texts
    assert indistinguishable(options) is None


@pytest.mark.parametrize("dash", ["\u2013", "-", "\u2011"])
def test_a_range_is_read_whichever_dash_it_is_written_with(dash):
    ages = ("18-24", "25\u201334", "Mon-Fri", "2020-01")
    for text in ("18{}24", "18 {} 24.", "The answer is 18{}24.", "Answer: 18{}24."):
        assert read_label(text.format(dash), ages) == 0
    assert [read_label(text.format(dash), ages) for text in ("25{}34", "Mon{}Fri", "2020{}01", "19{}24")] == [
        1,
        2,
        3,
        None,
    ]
    assert read_label(f"3{dash}4", ("3", "4")) is None


@given(st.text(max_size=60))
def test_any_text_is_read_as_one_option_or_none(text):
    assert read_letter(text, OPTIONS) in (None, 0, 1, 2, 3)
    assert read_label(text, LABELS) in (None, 0, 1, 2, 3, 4, 5)


@given(st.sampled_from(range(6)), st.sampled_from(["{}", "{}.", "The answer is {}", "Answer: {}", "{}\nreason"]))
def test_every_label_is_read_back_from_how_models_state_it(index, form):
    assert read_label(form.format(LABELS[index]), LABELS) == index


@pytest.mark.parametrize(
    ("text", "found"),
    [("<think>The answer is A? No.</think>\n\nB", 1), ("It might be C.\n</think>\nThe answer is B", 1),
     ("<THINKING>A or C</THINKING>B", 1), ("<think>The answer is B", None), ("<think>B</think>", None)],
)  # fmt: skip
def test_thoughts_are_no_answer(text, found):
    assert read_letter(text, OPTIONS) == found
    labels = text.replace("A", "human").replace("B", "entity").replace("C", "number")
    assert read_label(labels, LABELS) == found
