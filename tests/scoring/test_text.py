"""What surrounds an answer is left out: thoughts, control tokens, and the next question of a base model."""

import pytest

from paft.scoring.text import before_cue, run_on_cues, without_control_tokens, without_run_on, without_thoughts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("B", "B"), ("<think>A</think>B", "B"), ("A</think>B", "B"), ("<think>A</think>B<think>C</think>", "B"),
        ("<think>a<think>b</think>c</think>B", "B"), ("<think>A", ""), ("B<think>A", ""), ("<THOUGHT>A</THOUGHT>\nB", "\nB"),
        ("<reasoning>A</reasoning>B", "B"), ("\u25c1think\u25b7A\u25c1/think\u25b7B", "B"), ("[THINK]A[/THINK]B", "B"),
        ("<seed:think>A</seed:think>B", "B"), ("<|begin_of_thought|>A<|end_of_thought|>B", "B"),
        ("<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>B", "B"),
        ("<|channel|>analysis<|message|>A", ""), ("<|channel|>analysis", ""), ("analysisHe asks.assistantfinalB", "B"),
        ("analysisHe asks.", ""), ("analysis of the text: B", "analysis of the text: B"), ("a < b [think]", "a < b [think]"),
    ],
)  # fmt: skip
def test_thoughts_are_left_out(text, left):
    assert without_thoughts(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("B<|im_end|>", "B"), ("B<|eot_id|>", "B"), ("<s>B</s>", "B"), ("B<end_of_turn>\n<start_of_turn>user\nA", "B"),
        ("<|im_start|>assistant\nB<|im_end|>\n<|im_start|>user\nA", "B"), ("B<\uff5cend\u2581of\u2581sentence\uff5c>", "B"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nB", "B"), ("a <b> c", "a <b> c"), ("<|im_end|>", ""), ("", ""),
    ],
)  # fmt: skip
def test_control_tokens_and_later_turns_are_left_out(text, left):
    assert without_control_tokens(text) == left


def test_a_line_that_begins_as_the_prompts_lines_do_ends_the_output():
    cues = ("Headline:", "Topic 1:")
    assert without_run_on("World\n\nHeadline: rain\nTopic: x", cues) == "World\n\n"
    assert without_run_on("World\n  Topic 1: x", cues) == "World\n"
    assert without_run_on("Headline: rain\nWorld", cues) == "Headline: rain\nWorld"
    assert without_run_on("The Headline: rain", cues) == "The Headline: rain"
    assert without_run_on("World\nHeadline: rain") == "World\nHeadline: rain"
    assert without_run_on("B\n\nQuestion: next?\nAnswer: A") == "B\n\n"
    assert without_run_on("B\n### Question 2\nnext?") == "B\n"
    assert without_run_on("entity: x\nhuman: y", answers=("human",)) == "entity: x\nhuman: y"
    assert without_run_on("Question: which?\nAnswer: A") == "Question: which?\nAnswer: A"


def test_a_line_of_an_accepted_answer_begins_no_next_question_whatever_its_prompt_looks_like():
    answer, cues = "Amount: 5\nMessage: rent", ("Message:", "Note:")
    assert before_cue(answer, cues, ["Amount: 7", answer]) == answer
    assert before_cue(f"{answer}\nNote: next", cues, [answer]) == f"{answer}\n"
    assert before_cue(answer, cues, ["Message: rent"]) == "Amount: 5\n"


def test_json_over_several_lines_is_read_whole_though_its_prompt_has_such_lines():
    cues = run_on_cues('Fill it in:\n{{\n  "message": "{message}",\n  "buyer": "..."\n}}', {"message"})
    assert cues == ('"message":',)
    answer = 'Sure:\n{\n  "buyer": "Ann }",\n  "message": {\n    "message": "hi"\n  }\n}'
    assert before_cue(answer, cues) == answer
    assert before_cue(answer.replace("}\n}", "},\n}"), cues) == answer.replace(
        "}\n}", "},\n}"
    )  # broken, to repair
    assert before_cue(f'{answer}\n{{\n  "message": "next"\n}}', cues) == f"{answer}\n{{\n"
    assert before_cue('Ann {x}\n"message": "next"', cues) == "Ann {x}\n"


@pytest.mark.parametrize(
    ("prompt", "cues"),
    [
        ("Question: {question}\n{choices}\nAnswer:", ("Question:",)),
        ("Q: a?\nA: b\n\nQ: {question}\nA:", ("Q:",)),
        ("Premise: {premise}\nHypothesis: {hypothesis}\n\nWhat holds?", ("Premise:", "Hypothesis:")),
        ("Review:\n\n{text}\n\nSentiment: ", ("Review:",)),
        ("\u8bc4\u8bba\uff1a{text}\n\u60c5\u611f\uff1a", ("\u8bc4\u8bba\uff1a",)),
        ("{message}\nDepartment: {choices}", ()),  # an answer may say "Department: ..." too
        ("Question: {question}\nA) {A}\nB) {B}\nAnswer:", ("Question:",)),
        ("Reply as\nReason: one sentence\nLabel: one word\n\nMessage: {message}", ("Message:",)),
        ("Which one is it? {choices}", ()),
        ("", ()),
    ],
)
def test_cues_are_the_beginnings_of_the_lines_that_hold_a_field(prompt, cues):
    assert run_on_cues(prompt, {"question", "premise", "hypothesis", "text", "message"}) == cues
