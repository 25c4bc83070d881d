"""The levels of the axes, and what each does to a question."""

from dataclasses import replace

import pytest

from paft.errors import UserError
from paft.prompts.axes import AXES, Source, Variations, levels_of, permutation
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.types import Example, Prompt

LABELS = ("low", "high")
TASK = Task("sizes", ("item",), LABELS, "label", 0.85, 2)
OWN = Task("own", ("item",), None, "letter", 0.85, 3)
TRAIN = [Example(f"{i}", {"item": f"train number {i}"}, LABELS, i % 2) for i in range(12)]
TEST = [Example("0", {"item": "some words of the input"}, LABELS, 1)]
PROMPTS = [Prompt("{shots}\n\nItem: {item}", "Say low or high."), Prompt("{item} ="), Prompt("Size of {item}:")]
FULL = Source(TASK, PROMPTS, None, TRAIN, TEST, ["a", "b"], 2, 0)


def asked(values, source=FULL, example=TEST[0]):
    variations = Variations(source)
    prompt = variations.prompt(values)
    return render(prompt, variations.task(values), variations.example(values, example))


def test_an_axis_that_the_task_lacks_is_refused_with_those_that_it_has():
    poor = Source(TASK, PROMPTS[1:2], None, None, TEST, [], 0, 0)
    for name in ("wording", "order", "system", "shots", "seed"):
        with pytest.raises(UserError, match=rf"no axis {name} here, .+; sizes has format, typos$"):
            levels_of(["typos", name], poor)
    plain = replace(FULL, user=PROMPTS[1])
    assert "system" in levels_of(["wording", "system"], plain)
    with pytest.raises(UserError, match="no prompt that is asked has a system text"):
        levels_of(["system"], plain)
    with pytest.raises(UserError, match="no axis 'wordings'; did you mean 'wording'"):
        levels_of(["wordings"], FULL)
    with pytest.raises(UserError, match="typos is listed twice"):
        levels_of(["typos", "typos"], FULL)
    assert list(levels_of(["typos", "shots"], FULL)) == ["typos", "shots"]


def test_every_level_asks_differently():
    own = replace(TEST[0], options=("small", "big", "huge"), target=1)
    for name in AXES.keys() - {"order", "seed"}:
        levels = levels_of([name], FULL)[name]
        questions = {asked({name: level.value, "wording": level.value if name == "wording" else PROMPTS[0]}) for level in levels}  # fmt: skip
        assert len(questions) == len(levels) or name == "format", name
    source = replace(FULL, task=OWN, prompts=[Prompt("{item} {A} {B} {C}")], test=[own], train=[])
    orders = levels_of(["order"], source)["order"]
    assert len({asked({"order": level.value}, source, own) for level in orders}) == len(orders) == 4


def test_the_system_text_stands_in_its_message_or_before_demonstrations_and_question():
    values = {"wording": PROMPTS[0], "shots": (2, 0)}
    message, user = asked(values | {"system": False}), asked(values | {"system": True})
    assert message.system == "Say low or high."
    assert (user.system, user.user) == (None, f"{message.system}\n\n{message.user}")
    assert message.user.count("Item: ") == 3


def test_the_number_and_the_choice_of_demonstrations_vary():
    by_level = {
        value: asked({"wording": PROMPTS[0], "shots": value}).user for value in ((0, 0), (1, 0), (2, 0), (2, 1))
    }
    assert by_level[0, 0] == "Item: some words of the input"
    assert [text.count("train number") for text in by_level.values()] == [0, 1, 2, 2]
    assert by_level[2, 0] != by_level[2, 1]


@pytest.mark.parametrize("options", [2, 3, 4])
def test_an_order_moves_the_target_with_its_option(options):
    example = Example("0", {"item": "x"}, ("one", "two", "three", "four")[:options], options - 1)
    orders = {tuple(permutation(order, options, 0)) for order in range(4)}
    assert len(orders) == min(4, 2 if options == 2 else 4)
    for order in range(4):
        moved = Variations(FULL).example({"order": order}, example)
        assert sorted(moved.options) == sorted(example.options)
        assert moved.options[moved.target] == example.options[example.target]


def test_typing_mistakes_are_in_the_input_and_the_same_each_time():
    clean, typed = asked({"typos": 0.0}), asked({"typos": 0.2})
    assert clean.user.endswith("some words of the input")
    assert typed != clean
    assert typed == asked({"typos": 0.2})
    assert typed.user.split(" ")[0] == clean.user.split(" ")[0]
