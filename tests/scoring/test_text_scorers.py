"""The scorers of free text: what each reads as a person would, and what must never count as right."""

import json
import re
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from paft.errors import UserError
from paft.scoring.registry import SCORERS, make_scorer, text_answers
from paft.scoring.text_scorer import TextScorer
from paft.tasks.task import Task
from paft.types import Example

sys.path.insert(0, str(ROOT / "benchmarks"))
import scorers as benchmark

TASK = Task("questions", ("question",), None, "text", 0.85, 0)
CHOICES = Task("colours", ("question",), ("red", "green"), "label", 0.85, 2)
JSON = '{"name": "Ann", "count": 2, "at": {"city": "Rome", "days": ["Mon", "Tue"]}}'


def score(setting, output, *targets, task=TASK):
    return make_scorer(setting, task).score(output, Example("7", {"question": "?"}, targets=targets))


def test_values_equal_those_of_lm_eval_and_inspect_but_for_the_listed_differences():
    """Values of both, frozen; benchmarks/scorers.py compares with the packages themselves."""
    frozen = json.loads((ROOT / "tests/scoring/peers.json").read_text(encoding="utf-8"))["groups"]
    groups = {name: [tuple(pair) for pair in group["pairs"]] for name, group in frozen.items()}
    rows = benchmark.compare(groups, {name: group["found"] for name, group in frozen.items()})
    assert len(rows) == 14
    for row in rows:
        assert "UNEXPLAINED" not in [each["reason"] for each in row["differences"]], row
        if any(name in str(row["scorer"]) for name in ("rouge", "chrf")):
            assert row["equal"] == row["of"] == 150


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("18", "18"), ("$29.00", "29"), ("-$5.50", "-5.5"), ("\u22125", "-5"), ("1,234,567.8", "1234567.8"),
        ("12,34,567", "1234567"), ("1.234,56", "1234.56"), ("3,1415", "3.1415"), ("0,1234", "0.1234"), ("12 000 euros", "12000"), ("1'234", "1234"),
        ("1,5 kg", "1.5"), ("3/4", "0.75"), ("1 1/2 cups", "1.5"), ("1½", "1.5"), ("1/3", "1/3"), ("5 km\u00b2", "5"),
        ("\\boxed{\\frac{3}{4}}", "0.75"), ("1e3", "1000"), ("1.5 \u00d7 10^3", "1500"), ("2 million", "2000000"),
        ("$5k", "5000"), ("25 %", "25%"), ("eighteen", "18"), ("The answer is one hundred and five.", "105"),
        ("The answer is 18. There were 20 eggs.", "18"), ("#### 18\nBut 3 are left", "18"), ("答案是18。", "18"),
        ("Answer: 5 + 13 = 18 apples", "18"), ("18\n\nQuestion: what is 2 + 3?", "18"), ("\uff12\uff10", "20"),
        ("First answer: 3. No, the answer is 4.", "4"), ("**Answer:** $1,200", "1200"), ("x = 3 + 4 = 7", "7"),
        ("He rose from 5 to 10", "10"), ("1. Take 3.\n2. Add 4.\nSo 7", "7"), ("- 5 apples", "5"), (".5", "0.5"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_a_person_reads_it(output, read):
    assert score("number", output, "18").answer == read


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("\\boxed{1{,}234}", "1234"), ("The answer is $10,\\!000$.", "10000"), ("12\\,345", "12345"),
        ("$3{,}14$", "3.14"), ("\\boxed{\\frac{-1}{2}}", "-0.5"), ("\\boxed{\\frac12}", "0.5"),
        ("$45 \\text{ cm}^2$", "45"), ("45 m^{2}", "45"), ("9.8 m s^-2", "9.8"), ("Answer: $5M", "5000000"),
        ("The answer is $5m$.", "5"),
    ],
)  # fmt: skip
def test_a_number_in_latex_is_read_whole_and_without_the_powers_of_its_unit(output, read):
    assert score("number", output, "18").answer == read


@pytest.mark.parametrize(
    "output",
    [
        "\\boxed{2\\sqrt{3}}", "\\boxed{\\sqrt{2}}", "\\boxed{5\\pi}", "Answer: 5\u03c0", "2\u221a2",
        "\\boxed{\\frac{\\pi}{2}}", "\\boxed{\\frac{\\sqrt{3}}{2}}",
    ],
)  # fmt: skip
def test_a_factor_of_a_root_or_of_pi_is_not_taken_for_the_number(output):
    found = score("number", output, "2")
    assert (found.value, found.answer) == (0.0, None)
    assert "expression" in found.explanation


@pytest.mark.parametrize(
    "output",
    ["\\boxed{5, 6}", "The answer is 5, 6, and 7.", "Answer: [1, 2]", "x = (5, 6), so the answer is (5, 6)"],
)
def test_a_list_of_numbers_is_not_read_as_its_first(output):
    found = score("number", output, "5")
    assert (found.value, found.answer) == (0.0, None)
    assert "list" in found.explanation


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("5 km (3.1 miles)", "5"), ("5 (10% of 50)\nbecause 50 * 0.1 = 5 and 1 more", "5"), ("3.14 (rounded to 2 decimal places)", "3.14"),
        ("He has 7 apples (3 red and 4 green).", "7"), ("It is twelve (12 in digits)", "12"), ("18, 3 per child", "3"),
        ("The answer is 18, 3 per child", "18"), ("3 x (2 + 4)", None),
    ],
)  # fmt: skip
def test_a_remark_in_brackets_after_the_number_is_not_the_answer(output, read):
    assert score("number", output, "18").answer == read


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("1 \u00bd cups", "1.5"), ("Answer: \u20133", "-3"), ("Answer: two thirds", "2/3"), ("one half", "0.5"),
        ("the twenty-third", None),
    ],
)  # fmt: skip
def test_a_part_of_one_and_a_typographic_minus_belong_to_the_number(output, read):
    assert score("number", output, "18").answer == read


@pytest.mark.parametrize(
    "output",
    [
        "10-15", "5 to 10", "5 or 6", "between 5 and 10", "3/4/2024", "12:30", "1,2,3", "10\u00b2", "2^10", "H2O",
        "COVID-19", "3 + 4", "5/0", "9" * 1000, "1e999", "no idea", "", "...", "1. first\n2. second",
    ],
)  # fmt: skip
def test_what_is_no_single_number_is_unread_and_says_why(output):
    found = score("number", output, "18")
    assert (found.value, found.answer) == (0.0, None)
    assert found.explanation


@pytest.mark.parametrize(
    ("output", "target", "value"),
    [
        ("$29.00", "29", 1), ("1/3", "0.333", 0), ("25%", "25", 1), ("25%", "0.25", 1), ("0.25", "25%", 1),
        ("25%", "2.5", 0), ("-5", "5", 0), ("18", "#### 18", 1), ("18", "5 + 13 = 18\n#### 18", 1), ("1,5", "15", 0),
        ("\\boxed{0,125}", "0.125", 1), ("\\boxed{0,125}", "125", 0), ("1,125", "1125", 1),
    ],
)  # fmt: skip
def test_numbers_are_compared_by_value(output, target, value):
    assert score("number", output, target).value == value


def test_the_forms_of_a_number_and_its_tolerance():
    text = "The answer is 20, so 18 are left."
    assert score("number", text, "20").value == 1
    assert score({"name": "number", "form": "flexible"}, text, "18").value == 1
    assert score({"name": "number", "form": "strict"}, text, "20").answer is None
    assert score({"name": "number", "form": "strict"}, "#### 1,200.", "1200").value == 1
    assert score({"name": "number", "tolerance": 0.01}, "0.333", "1/3").value == 1
    assert [s.name for s in map(lambda form: make_scorer({"name": "number", "form": form}, TASK), ("auto", "strict"))] == [
        "number", "number (strict)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "output", "target", "value"),
    [
        ("exact", "The Cat!", "cat", 1), ("exact", "-5", "5", 0), ("exact", "3.5", "35", 0), ("exact", "1,000", "1000", 1),
        ("exact", "cafe\u0301", "caf\u00e9", 1), ("number", "minus 5", "-5", 1), ("number", "It is negative $5.", "-5", 1),
        ("number", "10 minus 5", "5", 0), ("number", "10 minus 5 = 5", "5", 1), ("number", "The answer is 18? No, 20.", "20", 1),
        ("number", "five and a half", "5", 0), ("json", '{"a": 1} {"a": 1}', '{"a": 1}', 1), ("json", '{"a": "cafe\u0301"}', '{"a": "caf\u00e9"}', 1),
        ("exact", "\u201cdon\u2019t\u201d", "don't", 1), ("exact", "\u5317\u4eac\u3002", "\u5317\u4eac", 1),
        ("exact", "\u22125", "5", 0), ("f1", "the cafe\u0301\u2026", "caf\u00e9", 1), ("includes", "le cafe\u0301", "caf\u00e9", 1),
        ({"name": "exact", "normalise": "none"}, " Cat ", "Cat", 1), ({"name": "exact", "normalise": "none"}, "cat", "Cat", 0),
        ("f1", "cat cat sat", "cat", 0.5), ("f1", "the", "cat", 0), ("f1", "a cat sat", "sat the cat", 1),
        ("includes", "It costs 112", "12", 0), ("includes", "It costs 12.", "12", 1), ("includes", "12.5", "12", 0),
        ("includes", "I know", "no", 0), ("includes", "答案是北京。", "北京", 1), ("includes", "New  York!", "new york", 1),
        ({"name": "includes", "whole_words": False}, "I know", "no", 1),
        ("rouge", "the cat sat", "the cat sat down", 6 / 7), ("chrf", "北京", "北京", 1),
        ({"name": "regex", "pattern": r"(?i)answer: *(\w+)"}, "Answer: no\nanswer: Yes", "yes", 1),
        ({"name": "regex", "pattern": r"(?i)answer: *(\w+)", "match": "first"}, "Answer: no\nanswer: Yes", "yes", 0),
        ("math", "so $\\frac{1}{2}$", "0.5", 1), ("math", "\\boxed{x^2+2x+1}", "(x+1)^2", 1), ("math", "(3, 5)", "(3,5)", 1),
        ("math", "I think 18", "18", 1), ("math", "19", "18", 0),
        ("exact", "<think>dog</think> cat", "cat", 1), ("number", "<think>5</think> 18", "18", 1),
    ],
)  # fmt: skip
def test_a_scorer_gives_the_expected_value(setting, output, target, value):
    assert score(setting, output, target).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("output", "target", "value"),
    [
        ("12", "1/2", 0), ("1/2.", "1/2", 1), ("15", "1,5", 0), ("1,5 %", "1,5", 1), ("12,34,567", "1234567", 1),
        ("5/12/2024", "5-12-2024", 1), ("AC/DC", "acdc", 1), ("1,234", "1234", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("setting", ["exact", "f1"])
def test_a_fraction_and_a_decimal_comma_are_no_punctuation(setting, output, target, value):
    assert score(setting, output, target).value == value


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("It is McDonald\u2019s.", "McDonald's"), ("He said \u201cno way\u201d to it.", '"no way"'),
        ("In 1939\u20131945.", "1939-1945"), ("a well\u2011known fact", "well-known"), ("the Eif\u00adfel Tower", "Eiffel Tower"),
    ],
)  # fmt: skip
def test_includes_takes_typographic_quotes_and_hyphens_for_those_of_a_keyboard(output, target):
    assert score("includes", output, target).value == 1
    assert score("includes", target, output).value == 0


@pytest.mark.parametrize(
    ("output", "value"), [("From 1939-1945.", 1), ("1939\u20131945", 1), ("-1945", 0), ("is \u22121945", 0)]
)
def test_includes_finds_the_end_of_a_range_and_not_a_number_after_a_minus(output, value):
    assert score("includes", output, "1945").value == value


def test_the_best_of_several_accepted_answers_counts_and_choice_tasks_work_too():
    assert score("exact", "NYC", "New York", "NYC").value == 1
    example = Example("1", {"question": "?"}, ("red", "green"), 1)
    assert make_scorer("exact", CHOICES).score("Green.", example).value == 1
    assert make_scorer("f1", CHOICES).score("red", example).value == 0


@pytest.mark.parametrize(
    ("output", "value", "explanation"),
    [
        (JSON, 1, ""),
        (f"```json\n{JSON}\n```", 1, ""),
        (f"Here it is: {JSON} Use {{braces}} and [1].", 1, ""),
        (
            '{"name": " Ann ", "count": "2", "at": {"city": "Rome", "days": ["Tue", "Mon"]}}',
            0.5,
            'count is "2", not 2',
        ),
        ('{"name": "Ann", "count": 2, "more": null}', 0.4, "at.city is missing"),
        ('{"name": "Ann", "count": true, "at": {"city": "Rome", "days": ["Mon", "Tue"]}}', 0.75, "count is true"),
        (f'{JSON} or {{"name": "Bob"}}', None, "2 JSON values that differ"),
        ('{"name": "Ann", "name": "Bob"}', None, "the field 'name' occurs twice"),
        ('{"count": NaN}', None, "NaN is no JSON"),
        ('{"name": "Ann", "at": {"city": "Rome"', None, "not JSON"),
        ("Ann from Rome", None, "not JSON"),
        ("", None, "empty"),
        ('{"a":' * 100_000, None, "nested too deeply"),
    ],
)
def test_json_is_compared_by_field(output, value, explanation):
    found = score("json", output, JSON)
    assert found.value == pytest.approx(value or 0)
    assert (found.answer is None) == (value is None)
    assert explanation in found.explanation


@pytest.mark.parametrize(
    "output",
    [
        '["a", "b"]', '```json\n["a", "b"]\n```', 'The keywords are:\n["a", "b"]',
        'As [1] says:\n```\n["a", "b"]\n```\nSee {1}.',
    ],
)  # fmt: skip
def test_a_json_array_of_texts_is_read_in_a_code_fence_and_between_words(output):
    assert score("json", output, '["a", "b"]').value == 1
    assert score("json", output, "[]").value == 0


def test_a_json_array_of_any_content_is_read_in_a_code_fence_and_an_object_goes_before_one():
    assert score("json", "```json\n[]\n```", "[]").value == 1
    assert score("json", "```json\n[1, 2]\n```", "[1, 2]").value == 1
    assert score("json", "As shown in [1, 2].", "[1, 2]").answer is None
    assert score("json", 'Of ["a", "b"] it is {"label": "a"}', '{"label": "a"}').value == 1


def test_json_all_or_nothing_schema_and_repair():
    assert score({"name": "json", "match": "all"}, '{"a": 1}', '{"a": 1, "b": 2}').value == 0
    assert make_scorer({"name": "json", "match": "all"}, TASK).is_binary
    assert not make_scorer("json", TASK).is_binary
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    broken = score({"name": "json", "schema": schema}, '{"a": "x"}', '{"a": 1}')
    assert (broken.answer, broken.explanation) == (None, "breaks the schema at $.a: 'x' is not of type 'integer'")
    repaired = score({"name": "json", "repair": True}, "{'a': 1, 'b': 'x'", '{"a": 1, "b": "x"}')
    assert repaired.value == 1
    assert repaired.explanation.startswith("repaired:")
    assert score({"name": "json", "repair": True}, '{"a": 1}', '{"a": 1}').explanation == ""
    for unclear in ('{"a": 1, "a": 2}', '{"a": 1} {"a": 2}', "no JSON at all", "[1] says"):
        assert score({"name": "json", "repair": True}, unclear, '{"a": 1}').answer is None


@pytest.mark.parametrize(
    ("setting", "target", "reason"),
    [
        ("number", "eggs", "holds no number"), ("number", "5 apples and 3 pears", "holds 2 numbers"), ("number", "($1,234.50)", "is in brackets"),
        ("number", "10-15", "holds 2 numbers"), ("number", "3/4/2024", "holds no single number"),
        ("number", "so 2 + 3\n#### 5", None), ("number", "$1,200", None),
        ("exact", "The", "nothing but punctuation"), ({"name": "exact", "normalise": "none"}, "The", None), ("exact", "cat", None),
        ("f1", "...", "nothing but punctuation"), ("rouge", "北京", "holds no word"),
        ({"name": "rouge", "kind": "rouge2"}, "cat", "a single word"), ("json", "{'a': 1}", "is not JSON"), ("json", "{}", "without a field"),
        ({"name": "json", "schema": {"required": ["b"]}}, '{"a": 1}', "breaks the schema"), ("json", JSON, None),
        ("math", "$$", "holds no expression"), ("math", "x^2", None), ({"name": "regex", "pattern": "(x)"}, "-", "nothing but"),
        ("includes", "\u200b", "nothing but invisible characters"), ("includes", "\u00ad\u200b", "nothing but invisible"), ("includes", "...", None),
    ],
)  # fmt: skip
def test_a_target_that_a_scorer_cannot_use_is_named_with_the_reason(setting, target, reason):
    found = make_scorer(setting, TASK).check_target(target)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"name": "number", "form": "loose"},
            r"task\.scorer\.form takes auto or flexible or strict; found 'loose'",
        ),
        ({"name": "number", "tolerance": 1}, r"task\.scorer\.tolerance takes a share"),
        ({"name": "exact", "normalise": "lower"}, r"task\.scorer\.normalise takes squad or none"),
        ({"name": "rouge", "kind": "rouge3"}, r"task\.scorer\.kind takes rouge1 or"),
        ({"name": "chrf", "word_order": 1}, r"task\.scorer\.word_order takes 0"),
        ({"name": "regex", "pattern": "abc"}, r"has no group"),
        ({"name": "regex", "pattern": "(abc"}, r"is no pattern"),
        ("regex", r"task\.scorer\.pattern is missing"),
        ({"name": "json", "schema": {"type": "objekt"}}, r"task\.scorer\.schema is no JSON schema"),
        ({"name": "json", "schema": "file.json"}, r"task\.scorer\.schema takes a JSON schema as a mapping"),
        ({"name": "json", "repair": "yes"}, r"task\.scorer\.repair takes true or false"),
        ("python", r"task\.scorer\.function: the scorer python takes"),
        ("choice", r"choice needs task\.choices"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(setting, message):
    with pytest.raises(UserError, match=message):
        make_scorer(setting, TASK)


@pytest.mark.parametrize(
    ("setting", "package"),
    [
        ("rouge", "rouge_score"), ("chrf", "sacrebleu"), ("math", "math_verify"),
        ({"name": "json", "schema": {}}, "jsonschema"), ({"name": "json", "repair": True}, "json_repair"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, setting, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"{package}; pip install 'paft\[scoring\]'"):
        make_scorer(setting, TASK)


REGEX = {"name": "regex", "pattern": "(?:a+)+(b)"}
BUILTIN = [
    "exact",
    "includes",
    "number",
    "f1",
    "rouge",
    "chrf",
    "json",
    {"name": "json", "repair": True},
    REGEX,
    "math",
]
MEGABYTE = 1_000_000
ODD = {
    "a": "a" * MEGABYTE, "digits": "9" * MEGABYTE, "braces": "{" * MEGABYTE, "brackets": "[" * MEGABYTE,
    "open objects": '{"a":' * (MEGABYTE // 5), "marks": "#### " * (MEGABYTE // 5), "boxes": "\\boxed{" * (MEGABYTE // 7),
    "statements": "answer is " * (MEGABYTE // 10), "fractions": "1 2/3 " * (MEGABYTE // 6), "spaces": " " * MEGABYTE + "x",
    "words": "the cat sat on 12 mats. " * (MEGABYTE // 24), "thoughts": "<think>" * (MEGABYTE // 7), "points": "." * MEGABYTE,
    "surrogates": "\ud800" * 1000, "escaped surrogate": '{"a": "\\ud800"}', "control": "".join(map(chr, range(32))) * 1000,
}  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("setting", BUILTIN, ids=str)
@pytest.mark.parametrize("name", ODD)
def test_no_output_crashes_or_hangs_a_scorer(setting, name):
    target = '{"a": "x"}' if "json" in str(setting) else "the cat sat 18"
    started = time.process_time()
    found = score(setting, ODD[name], target)
    assert 0 <= found.value <= 1
    assert time.process_time() - started < 20


@given(st.text(st.characters(codec=None), max_size=60), st.sampled_from(["18", "the cat", '{"a": 1}']))
def test_any_text_gets_a_score(output, target):
    for setting in ("exact", "includes", "number", "f1", "rouge", "chrf", "json"):
        found = score(setting, output, {"json": '{"a": 1}', "number": "18"}.get(setting, target))
        assert 0 <= found.value <= 1
        assert found.value == 0 or found.answer is not None


@pytest.mark.parametrize(
    ("setting", "prompt", "rule"),
    [
        ("json", "Do not use JSON. {question}", "no JSON"), ("json", "Answer in a full sentence. {question}", "a sentence"),
        ("json", "Return a table, as CSV. {question}", "another format than JSON"), ("json", "Return JSON: {question}", None),
        ("exact", "Answer in a complete sentence. {question}", "a sentence"), ("exact", "Reply in JSON. {question}", "JSON or other markup"),
        ("exact", "Answer briefly. {question}", None), ("number", "Give the answer as a range. {question}", "a range"),
        ("number", "Write it in Roman numerals. {question}", "Roman numerals"), ("number", "Think step by step. {question}", None),
        ("includes", "Answer in a full sentence. {question}", None),
    ],
)  # fmt: skip
def test_a_prompt_may_not_ask_for_what_the_scorer_counts_as_wrong(setting, prompt, rule):
    answers = text_answers(setting)
    broken = [
        name for name, pattern in answers.forbidden_requests.items() if re.search(pattern, prompt, re.IGNORECASE)
    ]
    assert broken == ([rule] if rule else [])


def test_the_strict_form_asks_for_its_marks():
    assert text_answers("number").wanted == "a number"
    assert "####" in text_answers({"name": "number", "form": "strict"}).wanted
    assert text_answers({"name": "python", "function": "os.path:join"}).wanted == "the answer alone"


def test_every_scorer_says_what_it_wants():
    for name in SCORERS.names:
        part = SCORERS.get(name, "task.scorer")
        if isinstance(part, type) and issubclass(part, TextScorer):
            assert part.wanted
            assert part.__doc__


@pytest.mark.parametrize(
    ("setting", "output", "target"),
    [("json", JSON, "the cat"), ("number", "18", "the cat"), ("includes", "the cat", "\u200b")],
)
def test_a_target_that_was_not_checked_is_one_line_and_not_a_score(setting, output, target):
    with pytest.raises(UserError, match=re.escape(f"scorer {setting}: the accepted answer {target!r} is")):
        score(setting, output, target)


def test_a_number_that_has_two_readings_says_which_was_taken_and_hexadecimal_is_none():
    assert score("number", "1.000", "1").explanation == "1.000 read as 1"
    assert score("number", "0x12", "18").answer is None
    assert score("number", "3.14", "3.14").explanation == ""


@pytest.mark.parametrize("target", ["- 12,50 \u20ac", "\u2212 12,50", "\u2013 12.5"])
def test_an_accepted_answer_keeps_a_minus_that_stands_apart(target):
    assert score("number", "-12,50 \u20ac", target).value == 1
    assert score("number", "12,50", target).value == 0
    assert make_scorer("number", TASK).check_target(target) is None
