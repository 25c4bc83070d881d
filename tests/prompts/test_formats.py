"""The grammar of formats: it changes how a prompt looks, and no word of it."""

import pytest

from paft.config.schema import BankSource
from paft.prompts.files import load_prompts
from paft.prompts.formats import Format, draw_formats
from paft.prompts.rules import words
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.types import Example, Prompt

LABELS = ("human", "location")
TREC = Task("trec", ("question",), LABELS, "label", 0.85, 2)
PIQA = Task("piqa", ("goal",), None, "letter", 0.85, 2, {"sol1": "A", "sol2": "B"})
ASKED = {
    "trec": (TREC, Example("0", {"question": "Who: {A} is\nit?"}, LABELS, 0)),
    "piqa": (PIQA, Example("0", {"goal": "open: a jar"}, ("twist, it", "eat; it"), 0)),
}


@pytest.mark.parametrize("name", ASKED)
def test_no_format_changes_a_word_or_what_an_example_holds(name):
    task, example = ASKED[name]
    different = 0
    for prompt in load_prompts(BankSource(bank=name), "test", 0)[:20]:
        before = render(prompt, task, example)
        for format_ in draw_formats(6, 0):
            after = render(format_.apply(prompt, task), task, example)
            assert words(after.user) == words(before.user), format_
            assert words(after.system or "") == words(before.system or ""), format_
            for text in example.fields.values():
                assert after.user.count(text) == before.user.count(text)
            different += after != before
    assert different > 60


@pytest.mark.parametrize(
    ("format_", "text", "task", "expected"),
    [
        (Format(case="upper"), "Say {question}", TREC, "SAY {question}"),
        (Format(separator=" - "), "Q: {question}\nA:", TREC, "Q - {question}\nA -"),
        (Format(separator=":\n"), 'Q: {question} {{"a": 1}} 9:30', TREC, 'Q:\n{question} {{"a": 1}} 9:30'),
        (Format(spacing=" || "), "Q: {question}\n\nA:", TREC, "Q: {question} || A:"),
        (Format(between_options="; "), "{question} of {choices}?", TREC, "{question} of {A}; {B}?"),
        (Format(enumerator="({})"), "{goal}\n{choices}", PIQA, "{goal}\n(A) {A}\n(B) {B}"),
        (Format(enumerator="{}:", between_options=" | "), "{goal} A. {A}, B. {B}", PIQA, "{goal} A: {A} | B: {B}"),
        (Format(enumerator="[{}]", spacing=" -- "), "{goal}\n{choices}", PIQA, "{goal} -- [A] {A} -- [B] {B}"),
    ],
)
def test_each_part_of_a_format_is_applied_outside_braces(format_, text, task, expected):
    assert format_.apply(Prompt(text), task).text == expected


def test_formats_are_drawn_with_the_seed_the_first_as_written():
    drawn = draw_formats(8, 0)
    assert drawn[0] == Format()
    assert len(set(drawn)) == 8
    assert drawn == draw_formats(8, 0) != draw_formats(8, 1)
    prompt = Prompt("Q: {question}\nA:", "Be brief: one word")
    assert drawn[0].apply(prompt, TREC) == prompt
