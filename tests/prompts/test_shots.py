"""Demonstrations: ``prompts.shots`` and the slot ``{shots}``."""

import json
from dataclasses import replace

import pytest

from conftest import things, write_rows
from paft.config.load import load_config
from paft.errors import UserError
from paft.prompts.rules import defect
from paft.prompts.shots import with_demonstrations
from paft.prompts.stage1 import check_files, show_prompts
from paft.prompts.template import render
from paft.runs.fingerprint import read_fingerprint
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console
from reported_runs import evaluate, run

QUIET = Console(quiet=True)
LABELS = ("low", "high")
TASK = Task("sizes", ("item",), LABELS, "label", 0.85, 2)
TRAIN = [Example(str(i), {"item": f"train {i}"}, LABELS, i % 2) for i in range(9)]
TEST = [Example("0", {"item": "test 0"}, LABELS, 0)]
OWN = Task("own", ("item",), None, "letter", 0.85, 2)


def shown(text: str, task: Task = TASK, example: Example = TEST[0], system: str | None = None):
    return render(Prompt(text, system), task, example)


def test_demonstrations_take_the_place_of_the_slot_in_the_form_of_what_follows_it():
    task = with_demonstrations(TASK, TRAIN, TEST, 2, 0)
    first, second = (example.fields["item"] for example in task.demonstrations[:2])
    answers = [task.target(example) for example in task.demonstrations[:2]]
    expected = (
        f"Choose from low, high.\n\nItem: {first}\nSize: {answers[0]}\n\nItem: {second}\nSize: {answers[1]}\n\n"
    )
    assert shown("Choose from {choices}.\n\n{shots}\n\nItem: {item}\nSize:", task).user == (
        f"{expected}Item: test 0\nSize:"
    )


def test_a_prompt_without_the_slot_shows_them_before_its_text():
    task = with_demonstrations(TASK, TRAIN, TEST, 1, 0)
    [shot, _] = task.demonstrations
    item, answer = shot.fields["item"], task.target(shot)
    asked = shown("How big is {item}?", task, system="Say {choices}.")
    assert (asked.system, asked.user) == (
        "Say low, high.",
        f"How big is {item}?\n{answer}\n\nHow big is test 0?",
    )


@pytest.mark.parametrize(
    ("text", "system", "task"),
    [
        ("{item} is ...\n{shots}\nSize:", None, TASK),  # what follows the slot shows no item
        ("Size:\n{shots}", "You see {item}.", TASK),
        ("{A} or {B}?\n{shots}\nItem: {item}", None, OWN),  # ... nor the options, which differ between examples
    ],
)
def test_a_form_that_lacks_a_part_of_the_example_gives_way_to_the_plain_one(text, system, task):
    options = ("tiny", "huge")
    train = [replace(e, options=options) for e in TRAIN] if task is OWN else TRAIN
    task = with_demonstrations(task, train, [], 1, 0)
    [shot, _] = task.demonstrations
    choices = "A. tiny\nB. huge\n" if task.has_own_options else ""
    plain = f"item: {shot.fields['item']}\n{choices}answer: {task.target(shot)}"
    assert plain in shown(text, task, replace(TEST[0], options=options), system).user


def test_no_example_demonstrates_itself_and_all_others_share_theirs():
    task = with_demonstrations(TASK, TRAIN, TEST, 3, 0)
    inside = {example.fields["item"] for example in task.demonstrations[:3]}
    texts = {e.fields["item"]: shown("{shots}\n\n{item} =", task, e).user.rsplit("\n\n", 1)[0] for e in TRAIN}
    for item, text in texts.items():
        assert f"{item} =" not in text
        assert text.count(" = ") == 3
    assert len({text for item, text in texts.items() if item not in inside}) == 1


def test_demonstrations_are_drawn_with_the_seed_and_ask_no_test_question():
    drawn = {seed: with_demonstrations(TASK, TRAIN, TRAIN[:4], 3, seed).demonstrations for seed in range(20)}
    assert drawn[0] == with_demonstrations(TASK, TRAIN, TRAIN[:4], 3, 0).demonstrations
    assert len(set(drawn.values())) > 1
    assert {e.id for examples in drawn.values() for e in examples} == {"4", "5", "6", "7", "8"}


@pytest.mark.parametrize(
    ("task", "train", "shots", "message"),
    [
        (TASK, [], 2, "task.train is missing"),
        (TASK, TRAIN, 9, "require 10 different training examples that are no test examples, found 9"),
        (replace(TASK, fields=("shots",)), TRAIN, 2, "give it another slot"),
    ],
)
def test_shots_that_cannot_be_drawn_are_refused_in_one_line(task, train, shots, message):
    with pytest.raises(UserError, match=message):
        with_demonstrations(task, train, TEST, shots, 0)


def test_the_slot_is_known_where_there_are_demonstrations_and_stands_once():
    prompt, task = Prompt("{shots}\n{item}"), with_demonstrations(TASK, TRAIN, TEST, 2, 0)
    assert defect(prompt, task) is None
    assert "set prompts.shots" in defect(prompt, TASK)[1]
    assert "occurs 2 times" in defect(Prompt("{shots}\n{item}", system="{shots}"), task)[1]


def config_of(project, *overrides):
    return load_config(project / "config.yaml", ["methods=[user]", "training.epochs=1", *overrides])


def test_the_commands_on_prompts_know_the_slot(project):
    write_rows(project / "prompts/test.jsonl", [{"text": "{shots}\n\nColour of {thing}:"}])
    assert any("1 unknown-slot" in line for line in check_files(config_of(project), []))
    config = config_of(project, "prompts.shots=2")
    assert "prompts.test: 1 prompt, 1 fit" in "\n".join(check_files(config, []))
    text = "\n".join(show_prompts(config, [project / "prompts/test.jsonl"], [], 1))
    assert text.count("Colour of thing") == 3


def test_a_run_trains_and_evaluates_with_them_and_they_are_part_of_its_fingerprint(project, monkeypatch):
    write_rows(project / "prompts/test.jsonl", [{"text": "{shots}\n\nColour of {thing}:"}])
    asked = []
    from paft.prompts import template

    plain = template.Conversation
    monkeypatch.setattr(template, "Conversation", lambda *parts: asked.append(plain(*parts)) or asked[-1])
    run(config_of(project, "prompts.shots=2"), project / "run", QUIET)
    of_user = [c.user for c in asked if c.user.count("What colour is") == 3]
    assert {text.rsplit("What colour is")[-1] for text in of_user} == {
        f" {row['thing']}? red, green, blue" for row in things(20)
    }
    assert all(c.user.count("Colour of") in (0, 3) for c in asked)
    stored = read_fingerprint(project / "run/methods/user")
    assert {stage: keys["prompts.shots"] for stage, keys in stored.items()} == {"training": 2, "evaluation": 2}
    with pytest.raises(UserError, match=r"prompts\.shots \(was 2, now 3\)"):
        run(config_of(project, "prompts.shots=3"), project / "run", QUIET)


@pytest.mark.parametrize("mode", ["likelihood", "generate"])
def test_evaluate_shows_demonstrations_and_needs_training_rows(project, mode):
    how = ["prompts.shots=1", f"evaluation.mode={mode}", "evaluation.max_new_tokens=4"]
    evaluate(config_of(project, *how), project / "run", QUIET)
    assert json.loads((project / "run/report.json").read_text())["methods"]["base"]["prompts"] == 2
    with pytest.raises(UserError, match=r"task\.train is missing"):
        evaluate(config_of(project, *how, "task.train=null"), project / "other", QUIET)
