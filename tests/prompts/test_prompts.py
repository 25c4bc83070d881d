"""Prompts: slots, rendering, screening, files, banks."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, write_rows
from paft.config.schema import BankSource, PromptsConfig, TaskConfig, UserPrompt
from paft.errors import UserError
from paft.prompts.files import diverse_subset, load_prompts, read_prompts, write_prompts
from paft.prompts.prepare import prepare_prompts
from paft.prompts.rules import normalised
from paft.prompts.screen import defect, overlap, screen
from paft.prompts.similarity import similarities
from paft.prompts.split import split
from paft.prompts.template import ending, render, slots
from paft.scoring.registry import text_answers
from paft.tasks.task import Task
from paft.types import Example, Prompt

LABELS = ("description", "entity", "human")
TREC = Task("trec", ("question",), LABELS, "label", 0.85, 3)
PIQA = Task("piqa", ("goal",), None, "letter", 0.85, 2, {"sol1": "A", "sol2": "B"})
ASKED = Example("0", {"question": "Who?"}, LABELS, 2)
GOAL = Example("0", {"goal": "open a jar"}, ("twist the lid with a damp cloth", "eat it"), 0)


def rule(text: str, task: Task = TREC, system: str | None = None) -> str | None:
    found = defect(Prompt(text, system), task)
    return found[0] if found else None


def test_slots_are_filled_in_one_pass():
    example = Example("0", {"question": "What is {choices} or {nothing}?"}, LABELS, 0)
    text = render(Prompt('{"q": "{question}"} {} {choices}'), TREC, example).user
    assert text == '{"q": "What is {choices} or {nothing}?"} {} description, entity, human'


def test_aliases_and_single_options_are_filled():
    assert (
        render(Prompt("{goal}: {sol1} / {B}"), PIQA, GOAL).user
        == "open a jar: twist the lid with a damp cloth / eat it"
    )
    assert render(Prompt("{goal}\n{choices}"), PIQA, GOAL).user.endswith(
        "A. twist the lid with a damp cloth\nB. eat it"
    )


def test_system_and_user_text_are_both_filled():
    conversation = render(Prompt("{question}", system="Say {choices}"), TREC, ASKED)
    assert (conversation.system, conversation.user) == ("Say description, entity, human", "Who?")


@given(st.text(), st.text())
def test_whatever_an_example_holds_arrives_unchanged(question, around):
    around = around.replace("{", "").replace("}", "")
    example = Example("0", {"question": question}, LABELS, 0)
    assert render(Prompt(f"{around}{{question}}{around}"), TREC, example).user == f"{around}{question}{around}"


@pytest.mark.parametrize(
    "text",
    ["{question}", "{question} {choices}", "{question} {choices} No human reads this.", "{question} human, entity or description?", "{question} ({A}, {B}, {C})",
     "Humans, entities, descriptions: {question}", 'json: {"x": 1} {question}'],
)  # fmt: skip
def test_sound_prompts_for_fixed_labels_pass(text):
    assert rule(text) is None


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("What?", "missing-slot"),
        ("{question} {answer}", "unknown-slot"),
        ("Is it human? {question}", "answer-leak"),
        ("{question} Human or entities?", "answer-leak"),
        ("{question} {A} or {B}", "lost-option"),
        ("   ", "empty"),
    ],
)
def test_defective_prompts_for_fixed_labels_are_screened(text, broken):
    assert rule(text) == broken


@pytest.mark.parametrize(
    "text",
    ["{goal} A. {A} B. {B} Answer:", "{goal} {choices}", "{goal}\nA) {sol1}\nB) {sol2}\nAnswer: A or B",
     "{goal} {choices} Answer: A/B?", "{goal} {choices} The answer is a letter.", "Now answer: {goal}\nA {A}\nB {B}",
     "{goal} {choices} Answer with A or B."],
)  # fmt: skip
def test_sound_prompts_for_own_options_pass(text):
    assert rule(text, PIQA) is None


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("{goal} A. {A}", "lost-option"),
        ("{goal}", "missing-slot"),
        ("{choices}", "missing-slot"),
        ("{goal} {choices} {C}", "unknown-slot"),
        ("{goal} {choices}\nAnswer: B", "states-answer"),
        ("{goal} {choices}\nThe answer is (A).", "states-answer"),
    ],
)
def test_defective_prompts_for_own_options_are_screened(text, broken):
    assert rule(text, PIQA) == broken


def test_a_prompt_that_holds_an_examples_answer_is_screened():
    prompts = [Prompt("Like: Twist the lid, with a damp cloth! {goal} {choices}"), Prompt("{goal} {choices}")]
    kept, out = screen(prompts, PIQA, [GOAL])
    assert kept == prompts[1:]
    assert out[0].rule == "answer-leak"
    assert "example 0" in out[0].reason


FORMATS = ["Say what: {question}", "say what: {question}", "Say what {question}", "Say what:\n{question}",
           "SAY WHAT:  {question}", "Say what - {question}", "Say what: {question} "]  # fmt: skip


def test_only_equal_text_is_a_repeat_and_prompts_that_differ_in_format_are_different():
    prompts = [Prompt(text) for text in FORMATS]
    kept, out = screen([*prompts, Prompt(FORMATS[0], source="again")], TREC)
    assert kept == prompts
    assert [(s.rule, s.reason) for s in out] == [("repeat", f"is the text of prompt {prompts[0].id}")]


def test_prompts_that_differ_in_format_only_are_kept_by_every_rule_but_never_shared_by_train_and_test():
    prompts = [Prompt(text) for text in FORMATS]
    assert screen(prompts, TREC, off=[])[0] == prompts
    assert [s.rule for s in screen(prompts, TREC, off=[], known=prompts[:1])[1]] == ["repeat"] * len(prompts)
    assert len(overlap(prompts[:1], prompts[1:], TREC)) == len(prompts) - 1
    train, test = split(
        [*prompts, Prompt("Name it {question}")], TREC, share=0.2, held_out=(), near_duplicate=1, seed=0
    )
    assert not overlap(train, test, TREC)


def test_no_prompt_is_a_known_one_in_another_format():
    """A test prompt of the config, or one that a language model was shown, is not a new one in another case."""
    known = [Prompt("Say what: {question}")]
    kept, out = screen([Prompt("say WHAT -- {question}!"), Prompt("Which? {question}")], TREC, known=known)
    assert [p.text for p in kept] == ["Which? {question}"]
    assert (out[0].rule, "up to case, spacing and punctuation" in out[0].reason) == ("repeat", True)


def test_vowel_signs_and_accents_tell_prompts_apart_in_every_comparison():
    hindi = [Prompt("\u0915\u093f {question}"), Prompt("\u0915\u0940 {question}"), Prompt("\u0915 {question}")]
    french = [Prompt("jeu\u0302ne {question}"), Prompt("jeune {question}")]
    for prompts in (hindi, french):
        assert screen(prompts, TREC)[0] == prompts
        assert len({normalised(prompt) for prompt in prompts}) == len(prompts)
        assert overlap(prompts[:1], prompts[1:], TREC) == []
        assert (similarities(prompts, {}) == 1).sum() == len(prompts)
    same = [Prompt("Caf\u00e9: {question}"), Prompt("cafe\u0301 - {question}")]
    assert overlap(same[:1], same[1:], TREC) == [(same[0], same[1])]


@pytest.mark.parametrize("text", FORMATS[1:])
def test_a_test_prompt_that_is_a_training_prompt_in_another_format_is_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"repeat a training prompt up to case, spacing and punctuation"):
        prepare(tmp_path, [{"text": FORMATS[0]}], [{"text": text}])


def test_a_repeat_under_other_names_of_the_slots_is_found():
    first, second = Prompt("Do {goal}\n{A} or {B}"), Prompt("Do {goal}\n{sol1} or {sol2}")
    assert overlap([first], [second], PIQA) == [(first, second)]
    assert overlap([first], [Prompt(r"Do {goal}\n{sol1} or {sol2}")], PIQA)
    assert screen([first, second], PIQA)[1][0].rule == "repeat"


def test_the_same_text_under_another_system_is_another_prompt():
    kept, _ = screen([Prompt("{question}"), Prompt("{question}", system="Be brief.")], TREC)
    assert len(kept) == 2


def test_the_id_is_a_hash_of_the_content():
    assert Prompt("a").id == Prompt("a", source="x").id != Prompt("b").id
    assert Prompt("ab", system="c").id != Prompt("a", system="bc").id
    assert re.fullmatch("[0-9a-f]{12}", Prompt("a").id)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.builds(Prompt, text=TEXTS, system=st.none() | TEXTS, source=st.none() | TEXTS), min_size=1))
def test_prompts_come_back_from_a_file_as_they_were(tmp_path_factory, prompts):
    path = tmp_path_factory.mktemp("p") / "prompts.jsonl"
    write_prompts(path, prompts)
    assert read_prompts(path) == prompts


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"txt": "{question}"}, r":2: unknown key 'txt'; did you mean 'text'"),
        ({"text": 3}, r":2: a prompt needs a 'text'"),
        ({"text": "{question}", "sytem": "x"}, r":2: unknown key 'sytem'; did you mean 'system'"),
        ({"text": "other {question}", "id": "one"}, r":2: the id 'one' belongs to another prompt"),
    ],
)
def test_a_broken_prompt_is_named_with_file_and_line(tmp_path, row, message):
    path = write_rows(tmp_path / "p.jsonl", [{"text": "{question}", "id": "one"}, row])
    with pytest.raises(UserError, match=message):
        read_prompts(path)


def starts(methods):
    """What methods start from: the user's prompt, the training prompts, or nothing."""
    return {("prompts.user" if name == "user" else "prompts.train"): [name] for name in methods if name != "base"}


def prepare(tmp_path, train, test, user="{question}?", methods=("user", "paft")):
    config = PromptsConfig(
        train=str(write_rows(tmp_path / "train.jsonl", train)),
        test=str(write_rows(tmp_path / "test.jsonl", test)),
        user=UserPrompt(text=user),
    )
    return prepare_prompts(config, TREC, [ASKED], starts(methods), seed=0)


def test_test_prompts_that_are_training_prompts_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"prompts\.test: 1 test prompt.s. repeat a training prompt"):
        prepare(
            tmp_path, [{"text": "Type of {question}"}], [{"text": "type of:  {question}."}, {"text": "{question}"}]
        )


def test_a_test_prompt_that_is_the_user_prompt_is_refused(tmp_path):
    with pytest.raises(UserError, match="repeat a user's prompt"):
        prepare(tmp_path, [{"text": "Type of {question}"}], [{"text": "{question}"}])


def test_defective_test_prompts_are_reported_and_the_rest_is_used(tmp_path):
    sets = prepare(tmp_path, [{"text": "Type of {question}"}], [{"text": "What?"}, {"text": "-> {question} now"}])
    assert [p.text for p in sets.test] == ["-> {question} now"]
    assert sets.notes() == [
        f"1 test prompt(s) screened out (1 missing-slot); the first, {Prompt('What?').id}: the slot {{question}} is missing"
    ]


def test_a_rule_that_the_config_turns_off_is_off_for_files_too():
    config = PromptsConfig(
        train={"bank": "trec", "size": 2}, test={"bank": "trec", "size": 2}, screen={"off": ["answer-leak"]}
    )
    config.user = UserPrompt(text="Is it human? {question}")
    assert (
        prepare_prompts(config, TREC, [ASKED], starts(["user", "paft"]), seed=0).user.text
        == "Is it human? {question}"
    )
    config.screen.off = ["empty"]
    with pytest.raises(UserError, match="cannot be turned off"):
        prepare_prompts(config, TREC, [ASKED], starts(["user"]), seed=0)


def test_a_pool_without_a_sound_prompt_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"prompts\.train: no prompt fits the task 'trec' \(1 missing-slot\); the first"
    ):
        prepare(tmp_path, [{"text": "Hello"}], [{"text": "{question}"}])


BANKS = sorted(path.name for path in (ROOT / "src/paft/prompts/bank").iterdir())
BANK_TASKS = {
    "hellaswag": Task("hellaswag", ("ctx",), None, "letter", 0.9, 4),
    "piqa": PIQA,
    "winogrande": Task("winogrande", ("sentence",), None, "letter", 0.8, 2),
    "race": Task("race", ("article", "question"), None, "letter", 0.85, 4),
    "trec": Task(
        "trec",
        ("question",),
        ("description", "entity", "abbreviation", "human", "location", "number"),
        "label",
        0.85,
        6,
    ),
    "bookings": Task("bookings", ("message",), None, text_answers("json"), 0.85, 0),
    "sst2": Task("sst2", ("sentence",), ("negative", "positive"), "label", 0.85, 2),
}


@pytest.mark.parametrize("name", BANKS)
def test_a_bank_holds_no_defective_prompt_and_its_splits_are_disjoint(name):
    train, test = (load_prompts(BankSource(bank=name), split, 0) for split in ("train", "test"))
    task = BANK_TASKS[name]
    for prompts, least in ((train, 100), (test, 30)):
        kept, out = screen(prompts, task)
        assert out == []
        assert len(kept) >= least
        assert not [p.text for p in prompts if "\\n" in p.text]
    assert overlap(train, test, task) == []


def test_a_bank_gives_a_seeded_subset_that_lies_further_apart_than_a_random_one():
    import random
    from itertools import combinations

    from paft.prompts.similarity import word_triples

    def likeness(prompts):
        pairs = [(word_triples(a), word_triples(b)) for a, b in combinations(prompts, 2)]
        return sum(len(a & b) / len(a | b) for a, b in pairs)

    bank = load_prompts(BankSource(bank="trec"), "train", 0)
    some = diverse_subset(bank, 30, seed=1)
    assert some == diverse_subset(bank, 30, seed=1) != diverse_subset(bank, 30, seed=2)
    assert len({p.id for p in some}) == 30
    assert likeness(some) < likeness(random.Random(0).sample(bank, 30))


def test_an_unknown_bank_and_a_size_beyond_it_are_refused():
    with pytest.raises(UserError, match="no bank 'treck'; did you mean 'trec'"):
        load_prompts(BankSource(bank="treck"), "train", 0)
    with pytest.raises(UserError, match="size asks for 9999"):
        load_prompts(BankSource(bank="trec", size=9999), "train", 0)


def test_the_released_pools_are_read_and_their_repeats_found(shared):
    pool = shared / "prompts/released/winogrande.train.jsonl"
    from paft.tasks.load import load_task

    task, _, _ = load_task(TaskConfig(name="winogrande", test=str(shared / "winogrande/test.jsonl")))
    prompts = read_prompts(pool)
    kept, out = screen(prompts, task)
    assert len(kept) + len(out) == len(prompts) == len(pool.read_text(encoding="utf-8").splitlines())
    assert {s.rule for s in out} == {"repeat"}


def test_a_torn_prompt_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"text": "{question}"}) + '\n{"text": "{ques', encoding="utf-8")
    with pytest.raises(UserError, match=r"p\.jsonl:2: not a whole JSON object"):
        read_prompts(path)


def test_a_part_of_a_bank_is_the_same_in_every_version():
    """Results name a bank, a size and a seed; another draw would make them other results."""
    drawn = load_prompts(BankSource(bank="trec", size=3), "test", 0)
    assert [prompt.id for prompt in drawn] == ["721c36f3c4dc", "053ee2b25693", "7bbd42008598"]


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{question}} is {question}", "{question} is Who?"),
        ("{{{question}}}", "{Who?}"),
        ('Answer {{"label": "..."}}: {question}', 'Answer {"label": "..."}: Who?'),
        ('{{"a": {{"b": "{question}"}}}}', '{"a": {"b": "Who?"}}'),
        (r"$\frac{{1}}{{2}} + \nabla \theta$ {question}", r"$\frac{1}{2} + \nabla \theta$ Who?"),
        ('{"q": "{question}"}', '{"q": "Who?"}'),
        (r"x^{2} and \boxed{} {question}", r"x^{2} and \boxed{} Who?"),
        ("{a b} {1} {question}", "{a b} {1} Who?"),
    ],
)
def test_double_braces_are_literal_ones_and_single_ones_around_no_name_stay(text, rendered):
    assert render(Prompt(text), TREC, ASKED).user == rendered
    assert render(Prompt("{question}", system=text), TREC, ASKED).system == rendered


@pytest.mark.parametrize(
    ("text", "task", "broken", "reason"),
    [
        ("Sort: {{question}}", TREC, "missing-slot", "the slot {question} is missing; {{question}} is the text {question}"),
        ("Sort: {{ question }}", TREC, "missing-slot", "write {question}"),
        ("{question} {{choices}}", TREC, "double-braces", "{{choices}} is the text {choices}, since double braces"),
        ("{goal} {{choices}}", PIQA, "missing-slot", "{choices} or {A}, {B}, ... is missing; {{choices}} is the text"),
        ("{goal} {choices} {{sol1}}", PIQA, "double-braces", "write {sol1}"),
        ('{"a": {"b": "{question}"}}', TREC, "mixed-braces", "write each brace that is text twice: {{ and }}"),
        ("{{x}} { {question}", TREC, "mixed-braces", "single and double braces"),
        (r"\frac{{A}}{{B}} {question}", TREC, None, ""),
        ("{{x}} {question}", TREC, None, ""),
    ],
)  # fmt: skip
def test_a_slot_in_double_braces_is_refused_with_what_to_write(text, task, broken, reason):
    fault = defect(Prompt(text), task)
    assert (fault[0] if fault else None) == broken
    assert reason in (fault[1] if fault else "")


@pytest.mark.parametrize(
    ("text", "task", "broken", "reason"),
    [
        ("Sort: { question }", TREC, "unknown-slot", "{ question } is the text { question }, since a slot has no spaces: write {question}"),
        ("{question} { choices }", TREC, "unknown-slot", "write {choices}"),
        ("{goal} { A } {B}", PIQA, "unknown-slot", "write {A}"),
        ("Sort: {Question Text}", TREC, "missing-slot", "{Question Text} is text, since a slot is one word: write {question}"),
        ("Sort: {question-text}", TREC, "missing-slot", "with task.fields: {SLOT: COLUMN}"),
        ("Sort: {question.text}", TREC, "missing-slot", "{question.text} is text"),
        ('Reply with {"label": "human"}', TREC, "missing-slot", "the slot {question} is missing"),
        ("{question} { x } {your answer}", TREC, None, ""),
    ],
)  # fmt: skip
def test_a_name_in_braces_that_is_no_slot_is_refused_with_what_to_write(text, task, broken, reason):
    fault = defect(Prompt(text), task, frozenset({"answer-leak"}))
    assert (fault[0] if fault else None) == broken
    assert reason in (fault[1] if fault else "")
    assert '"label"' not in (fault[1] if fault else "")


def test_a_written_line_end_in_a_prompt_file_is_kept_and_said(tmp_path):
    sets = prepare(tmp_path, [{"text": "Type of {question}"}], [{"text": r"{question}\nAnswer:"}])
    assert [prompt.text for prompt in sets.test] == [r"{question}\nAnswer:"]
    [note] = sets.notes()
    assert note.startswith(r"1 test prompt(s) hold a backslash and an n where a line end may be meant")
    assert "paft prompts import" in note


def test_a_prompts_file_with_doubled_slots_is_refused_with_what_to_write(tmp_path):
    message = r"no prompt fits .*\{\{question\}\} is the text .*write \{question\}"
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, [{"text": "Sort {{question}}"}], [{"text": "{question}"}])


NAMES = ["\u0442\u0435\u043a\u0441\u0442", "gr\u00f6\u00dfe", "\u0939\u093f\u0928\u094d\u0926\u0940", "_x1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_slot_has_any_name_that_is_an_identifier_in_any_unicode_form(name):
    task = Task("own", (name,), LABELS, "label", 0.85, 3)
    example = Example("0", {name: "VALUE"}, LABELS, 2)
    for form in ("NFC", "NFD", "NFKC"):
        prompt = Prompt(f"Sort {{{unicodedata.normalize(form, name)}}}")
        assert defect(prompt, task) is None
        assert render(prompt, task, example).user == "Sort VALUE"
        assert slots(prompt) == [unicodedata.normalize("NFKC", name)]
        assert ending(prompt)[0] == "slot"
    assert defect(Prompt(f"Sort {{{name}z}}"), task)[0] == "unknown-slot"


def test_prompts_that_render_alike_are_repeats():
    prompts = [Prompt('{"a": 1} {question}'), Prompt('{{"a": 1}} {question}'), Prompt('{{"a": 1 }} {question}')]
    assert screen(prompts, TREC)[0] == [prompts[0], prompts[2]]


def test_the_braces_of_the_documentation_are_filled_as_it_says():
    page = (ROOT / "docs/prompts.md").read_text(encoding="utf-8")
    table = page[page.index("| to show | write |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 5
    task = Task("own", ("message",), LABELS, "label", 0.85, 3)
    example = Example("0", {"message": "MESSAGE"}, LABELS, 2)
    for line in table:
        shown, written = re.fullmatch(r"\| `(.+?)`(?: itself)? \| `(.+)` \|", line).groups()
        assert render(Prompt(written), task, example).user == shown
