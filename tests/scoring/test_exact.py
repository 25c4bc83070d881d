"""Answers that mean different things are not equal after normalisation; answers that are typed differently are."""

import pytest

from paft.scoring import NormalisingScorer, PaidScorer
from paft.scoring.exact import ExactScorer, normalised
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import Example

TASK = Task("questions", ("question",), None, "text", 0.85, 0)


def score(setting, output, target):
    return make_scorer(setting, TASK).score(output, Example("7", {"question": "?"}, targets=(target,))).value


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("O+", "O-"), ("O", "O-"), ("AB-", "AB+"), ("C", "C++"), ("C#", "C++"), ("F", "F#"), ("A", "A+"), ("> 3", "< 3"),
        ("3", "< 3"), ("<= 3", "< 3"), ("x > y", "x < y"), ("1030", "10:30"), ("342024", "3/4/2024"), ("1015", "10-15"),
        ("105", "10^5"), ("vitamin", "vitamin A"), ("5", ".5"), ("x - y", "x + y"), ("18", "18+"), ("12,3", "1,2,3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("setting", ["exact", {"name": "regex", "pattern": r"(?s)(.+)"}])
def test_a_sign_that_changes_an_answer_is_no_punctuation(setting, output, target):
    assert score(setting, output, target) == score(setting, target, output) == 0
    assert score(setting, target, target) == 1


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("**O\u2212**.", "O-"), ("`C++`", "C++"), ("AB+.", "AB+"), ('"A-"', "A-"), ("<3", "< 3"), ("\u2264 3", "<= 3"), ("10\uff1a30", "10:30"),
        ("3-4-2024", "3/4/2024"), ("2020\u201301", "2020-01"), ("19 - 35", "19-35"), ("1,234,567", "1234567"), ("1'000", "1000"),
        ("# Paris", "Paris"), ("- Paris", "Paris"), ("+ Paris", "Paris"), ("> Paris", "Paris"), ("+5", "5"), ("#1", "1"),
        ("5%", "5"), ("$5-$10", "5-10"), ("a well-known fact", "the wellknown fact"), ("hepatitis a", "Hepatitis A."), ("COVID-19", "covid19"),
    ],
)  # fmt: skip
def test_markup_and_ways_of_typing_are_no_difference(output, target):
    assert score("exact", output, target) == score("exact", target, output) == 1


def test_f1_shares_no_word_between_a_name_and_the_same_name_with_a_sign():
    assert score("f1", "C", "C++") == score("f1", "O+", "O-") == 0
    assert score("f1", "the C++ language", "C++") == pytest.approx(2 / 3)


@pytest.mark.parametrize("text", ["A", "a", "A.", "plan A", "Hepatitis A"])
def test_an_a_that_no_word_follows_is_no_article(text):
    assert normalised(text) == text.lower().strip(".")
    assert normalised("a cat") == normalised("the cat") == "cat"


@pytest.mark.parametrize(
    "setting",
    [
        "exact", {"name": "exact", "normalise": "none"}, "includes", "f1", "chrf", {"name": "json", "match": "all"},
        {"name": "regex", "pattern": r"^(.+)$", "normalise": "none"}, {"name": "regex", "pattern": r"([\w{]\S+[\w}])"},
    ],
    ids=str,
)  # fmt: skip
def test_marks_of_right_to_left_writing_are_ignored_in_outputs_and_targets(setting):
    plain = '{"x":"\u05d7\u05d9\u05e4\u05d4"}' if "json" in str(setting) else "\u05d7\u05d9\u05e4\u05d4"
    marked = "\u200f" + plain.replace("\u05d9", "\u05d9\u200e") + "\u2069\u061c"
    assert score(setting, marked, plain) == score(setting, plain, marked) == 1
    assert score(setting, marked.replace("\u05e4", "\u05e3"), plain) < 1


class Mine(ExactScorer):
    """A scorer of the user's own."""


def test_a_users_scorer_offers_what_it_has_beside_a_score_and_nothing_else():
    scorer = make_scorer("test_exact:Mine", TASK)
    assert isinstance(scorer, NormalisingScorer)
    assert scorer.comparison_key("The Paris.") == scorer.comparison_key("paris")
    assert not isinstance(scorer, PaidScorer)
