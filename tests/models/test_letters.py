"""Letters among the likeliest first tokens: every spelling of a letter counts, and nothing else does."""

import math

import pytest

from paft.models.letters import letter_of, letter_scores, mass


@pytest.mark.parametrize(
    "token",
    ["A", " A", "\nA", "\n\nA", "\u2581A", "\u0120A", "\u010aA", "(A", " (A)", "[A]", "A.", "A)", " A:", "**A", "\"A\"", "`A`", "\uff21", "<A>", "(a)", "a)", "a."],
)  # fmt: skip
def test_a_letter_with_spaces_and_marks_is_that_letter(token):
    assert letter_of(token) == "A"


@pytest.mark.parametrize("token", ["a", " a", "b", "The", "AB", "A B", "An", "", " ", "\n", "(", "**", "1", "A1", "Option", "\u0410", "A-"])  # fmt: skip
def test_a_word_a_mark_alone_or_another_script_is_no_letter(token):
    assert letter_of(token) is None


def test_the_spellings_of_a_letter_are_summed():
    first = {
        " A": math.log(0.5),
        "A": math.log(0.002),
        "(A": math.log(0.1),
        " B": math.log(0.2),
        "\n": math.log(0.1),
    }
    scores = letter_scores(first, "ABC")
    assert [math.exp(score) for score in scores] == pytest.approx([0.602, 0.2, 0])
    assert mass(scores) == pytest.approx(0.802)
    assert mass(letter_scores({"The": -0.1}, "ABC")) == 0
