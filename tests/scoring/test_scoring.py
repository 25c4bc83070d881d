"""Scorers: the built-in one, a user's own as a class and as a reward function, and answer formats."""

import json
import re
import sys

import pytest
from pyarrow import parquet

from paft.config.load import load_config
from paft.config.schema import TaskConfig
from paft.errors import UserError, WorkError
from paft.scoring.answer_format import ANSWER_FORMATS, get_answer_format
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import Example, Score
from paft.utils.console import Console
from paft.utils.plugins import search_modules_in
from reported_runs import evaluate

OPTIONS = ("red", "green", "blue")
TASK = Task("colours", ("thing",), OPTIONS, "label", 0.85, 3)
LETTERED = Task("colours", ("thing",), None, "letter", 0.85, 3)
EXAMPLE = Example("7", {"thing": "grass"}, OPTIONS, 1)

OWN = """
from paft.types import Score


class Near:
    is_binary = False

    def __init__(self, task, worth=0.5):
        self.task, self.worth = task, worth

    def score(self, output, example):
        if output == self.task.target(example):
            return Score(1.0, output, "equal")
        return Score(self.worth, output) if output else Score(0.0, None)


class Plain:
    name, is_binary = "plain", True

    def score(self, output, example):
        return RESULTS[output]


RESULTS = {
    "float": 0.5, "high": Score(2.0, "x"), "nan": Score(float("nan"), "x"), "text": Score("1", "x"),
    "half": Score(0.5, "x"), "unread": Score(1.0, None), "answer": Score(1.0, 3), "good": Score(1, "x"),
}


class Bare:
    def score(self, output, example):
        return Score(0.0, None)


class Fussy:
    is_binary = True

    def __init__(self, level):
        if level > 3:
            raise ValueError("level is at most 3")

    def score(self, output, example):
        raise KeyError("nothing here")


def reward(completions, **columns):
    assert set(columns) == {"thing", "target", "targets", "options"}
    assert columns["options"] == [["red", "green", "blue"]]
    return [float(text.strip() == target) for text, target in zip(completions, columns["target"])]


reward.is_binary = True


def short(completions, thing):
    return [1 / len(text) if text else 0.0 for text in completions]


def broken(completions, **columns):
    return [1 / 0 for _ in completions]


def several(completions, **columns):
    return [0.5, 0.5]


def high(completions, **columns):
    return [1.5]


def nothing(completions, **columns):
    return [None]


def wants_prompts(prompts, completions):
    return [0.0]


class NoExample:
    is_binary = True

    def score(self, output):
        return Score(0.0, None)


def accepted(completions, targets):
    return [float(text in target) for text, target in zip(completions, targets)]


def length(completions, **columns):
    return [min(len(text), 8) / 8 for text in completions]


number = 3
"""


@pytest.fixture(autouse=True)
def own(tmp_path):
    (tmp_path / "own_scorers.py").write_text(OWN)
    search_modules_in([str(tmp_path)])
    yield tmp_path / "own_scorers.py"
    search_modules_in([])
    sys.modules.pop("own_scorers", None)


@pytest.mark.parametrize("setting", [None, "choice", {"name": "choice"}])
def test_the_choice_scorer_is_the_default(setting):
    scorer = make_scorer(setting, TASK)
    assert (scorer.name, scorer.is_binary) == ("choice", True)
    assert scorer.score("The answer is green.", EXAMPLE) == Score(1.0, "green")
    assert scorer.score("red", EXAMPLE) == Score(0.0, "red")
    assert scorer.score("who knows", EXAMPLE) == Score(0.0, None)
    assert make_scorer(setting, LETTERED).score("B.", EXAMPLE) == Score(1.0, "B")


def test_either_of_two_options_with_the_same_text_is_right():
    twins = Example("0", {"thing": "x"}, ("red", "red", "blue"), 1)
    task = Task("colours", ("thing",), None, "label", 0.85, 3)
    scorer = make_scorer(None, task)
    assert scorer.score("blue", twins) == Score(0.0, "blue")
    assert make_scorer(None, LETTERED).score("A", twins) == Score(0.0, "A")


def test_a_class_of_the_users_own_gets_its_settings_and_the_task():
    scorer = make_scorer({"name": "own_scorers:Near", "worth": 0.25}, TASK)
    assert (scorer.name, scorer.is_binary) == ("own_scorers:Near", False)
    assert scorer.score("green", EXAMPLE) == Score(1.0, "green", "equal")
    assert scorer.score("red", EXAMPLE) == Score(0.25, "red")
    assert scorer.score("", EXAMPLE) == Score(0.0, None)
    assert make_scorer("own_scorers:Plain", TASK).score("good", EXAMPLE) == Score(1.0, "x")


def test_a_reward_function_is_called_with_columns_of_one_row():
    scorer = make_scorer("own_scorers:reward", TASK)
    assert (scorer.name, scorer.is_binary) == ("own_scorers:reward", True)
    assert scorer.score(" green\n", EXAMPLE) == Score(1.0, "green")
    assert scorer.score("red", EXAMPLE) == Score(0.0, "red")
    assert scorer.score(" ", EXAMPLE) == Score(0.0, None)


def test_a_reward_function_without_kwargs_gets_only_what_it_takes():
    scorer = make_scorer("own_scorers:short", TASK)
    assert not scorer.is_binary
    assert scorer.score("four", EXAMPLE) == Score(0.25, "four")


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("Plain", "float", r"returned 0.5, expected a paft\.types\.Score"),
        ("Plain", "high", "the value 2.0, expected a number from 0 to 1"),
        ("Plain", "nan", "the value nan, expected a number from 0 to 1"),
        ("Plain", "text", "the value '1', expected a number from 0 to 1"),
        ("Plain", "half", "the value 0.5, expected 0 or 1 because is_binary is True"),
        ("Plain", "unread", "without an answer"),
        ("Plain", "answer", "the answer 3, expected text or None"),
        ("several", "x", r"returned \[0.5, 0.5\], expected a list of one number"),
        ("high", "x", "the value 1.5, expected a number from 0 to 1"),
        ("nothing", "x", "the value None, expected a number from 0 to 1"),
    ],
)
def test_what_is_no_score_is_one_line_that_names_the_file_and_the_example(own, name, output, message):
    with pytest.raises(WorkError, match=message) as error:
        make_scorer(f"own_scorers:{name}", TASK).score(output, EXAMPLE)
    assert str(own) in str(error.value)
    assert "example 7" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "line"), [("broken", "return [1 / 0"), ({"name": "Fussy", "level": 1}, "raise KeyError")]
)
def test_a_scorer_that_raises_names_its_file_and_line(own, setting, line):
    setting = {"name": setting} if isinstance(setting, str) else setting
    scorer = make_scorer(setting | {"name": f"own_scorers:{setting['name']}"}, TASK)
    number = next(i for i, text in enumerate(OWN.split("\n"), start=1) if line in text)
    with pytest.raises(WorkError, match=rf"{re.escape(str(own))}:{number}\); .*same command again to resume"):
        scorer.score("x", EXAMPLE)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("choise", r"task\.scorer: no scorer 'choise'; did you mean 'choice'"),
        ({"worth": 1}, r"task\.scorer takes a name or \{name: NAME"),
        ({"name": "choice", "strict": True}, r"task\.scorer\.strict is unknown"),
        ("own_scorers:nope", "'own_scorers' has no 'nope'"),
        ("nowhere_at_all:x", "cannot import 'nowhere_at_all'"),
        ("own_scorers:number", "'own_scorers:number' is int, expected a class or a function"),
        ("own_scorers:Bare", "has no 'is_binary'"),
        ({"name": "own_scorers:Near", "worht": 1}, r"task\.scorer\.worht is unknown; did you mean 'worth'"),
        ({"name": "own_scorers:Fussy", "level": 9}, r"level is at most 3 \(.*own_scorers\.py:\d+\)"),
        ({"name": "own_scorers:reward", "worth": 1}, "is a function, which takes no settings"),
    ],
)
def test_a_scorer_that_cannot_be_made_is_refused(setting, message):
    with pytest.raises(UserError, match=message):
        make_scorer(setting, TASK)


def test_the_python_scorer_is_another_way_to_name_ones_own():
    named = make_scorer({"name": "python", "function": "own_scorers:reward"}, TASK)
    assert (named.name, named.score("green", EXAMPLE).value) == ("own_scorers:reward", 1.0)
    near = make_scorer({"name": "python", "function": "own_scorers:Near", "worth": 0.25}, TASK)
    assert near.score("red", EXAMPLE) == Score(0.25, "red")
    free = Task("colours", ("thing",), None, "text", 0.85, 0)
    several = make_scorer({"name": "python", "function": "own_scorers:accepted"}, free)
    assert several.score("teal", Example("0", {"thing": "sea"}, targets=("blue", "teal"))).value == 1.0


def test_both_names_of_ones_own_scorer_have_one_fingerprint():
    from paft.runs.fingerprint import _scorers

    assert _scorers({"name": "python", "function": "own_scorers:reward"}) == _scorers(
        {"name": "own_scorers:reward"}
    )
    assert "task.scorer (its code)" in _scorers({"name": "python", "function": "own_scorers:reward"})


def test_a_function_that_needs_what_paft_has_not_is_refused_before_anything_runs():
    with pytest.raises(UserError, match=r"needs the argument 'prompts'; paft passes completions, target"):
        make_scorer("own_scorers:wants_prompts", TASK)


def test_a_method_with_the_wrong_arguments_is_one_line_with_the_example(own):
    with pytest.raises(WorkError, match=r"NoExample', example 7, failed: TypeError.*own_scorers\.py"):
        make_scorer("own_scorers:NoExample", TASK).score("x", EXAMPLE)


def test_a_field_with_the_name_of_a_functions_argument_is_refused():
    task = Task("x", ("options",), ("a", "b"), "label", 0.85, 2)
    with pytest.raises(UserError, match=r"task\.fields: 'options'"):
        make_scorer("own_scorers:reward", task)


@pytest.mark.parametrize("scorer", ["choice", {"name": "choice"}, "module:name", None])
def test_the_config_takes_a_name_or_a_mapping(scorer):
    assert TaskConfig(name="piqa", scorer=scorer).scorer == scorer


def test_each_answer_format_reads_back_what_it_writes():
    assert set(ANSWER_FORMATS) == {"label", "letter", "text"}
    for answer_format in ANSWER_FORMATS.values():
        for index, answer in enumerate(answer_format.candidates(OPTIONS)):
            assert answer_format.read(answer, OPTIONS) == index
    with pytest.raises(UserError, match="did you mean 'letter'"):
        get_answer_format("leter")


def test_options_are_formatted_as_the_answer_is_written():
    label, letter = ANSWER_FORMATS["label"], ANSWER_FORMATS["letter"]
    assert label.format_options(OPTIONS, are_shared=True) == "red, green, blue"
    assert label.format_options(OPTIONS, are_shared=False) == "- red\n- green\n- blue"
    assert label.format_options(("late", "lost, broken"), are_shared=True) == "late; lost, broken"
    for are_shared in (True, False):
        assert letter.format_options(OPTIONS, are_shared) == "A. red\nB. green\nC. blue"


def test_an_answer_is_described_to_a_model_that_writes_prompts():
    label, letter = ANSWER_FORMATS["label"], ANSWER_FORMATS["letter"]
    assert letter.describe(None, 3) == "the letter of the right option (A, B, C)"
    assert letter.describe(None, 0) == "the letter of the right option"
    assert label.describe(OPTIONS, 3) == "one of the labels, word for word"
    assert label.describe(None, 0) == "the text of the right option"


def test_a_run_is_scored_by_the_users_function_and_resumes_after_it_failed(project, own):
    overrides = ["evaluation.mode=generate", "evaluation.max_new_tokens=3", "task.scorer=own_scorers:length"]
    config = load_config(project / "config.yaml", overrides)
    own.write_text(OWN.replace("min(len(text), 8) / 8", "len(text) / 0"))
    with pytest.raises(
        WorkError, match=r"own_scorers:length', example \d+, failed: ZeroDivisionError.*own_scorers\.py:\d+\)"
    ):
        evaluate(config, project / "run", Console(quiet=True))
    sys.modules.pop("own_scorers")
    own.write_text(OWN)
    evaluate(config, project / "run", Console(quiet=True))
    rows = parquet.read_table(project / "run/methods/base/predictions.parquet").to_pylist()
    assert len(rows) == 12
    for row in rows:
        assert row["score"] == pytest.approx(min(len(row["output"]), 8) / 8)
        assert row["prediction"] == (row["output"].strip() or (None if row["score"] == 0 else ""))
        assert row["correct"] is None
        assert row["finish"] in ("stop", "length")
    found = json.loads((project / "run/report.json").read_text())["methods"]["base"]
    assert found["mean"] == pytest.approx(sum(row["score"] for row in rows) / 12)
    assert found["unparsed"] == sum(row["prediction"] is None for row in rows)
