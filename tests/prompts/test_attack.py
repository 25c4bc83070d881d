"""``paft prompts attack``: edits that keep what a prompt asks, a search that goes on where it stopped, its file."""

import json
import random
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import assert_refused, paft_here
from conftest import COLOURS as COLOUR_NAMES
from conftest import TRAIN_PROMPTS, make_project, things, write_rows
from endpoints import answer
from paft.config.load import load_config
from paft.config.model import LlmConfig
from paft.config.schema import TaskConfig
from paft.errors import UserError
from paft.methods.batprompt.perturb import PERTURBATIONS
from paft.methods.evaluator import PromptEvaluator
from paft.models.fake import FakeModel
from paft.prompts.attack import EDITS, FEWEST, edits, rewrites
from paft.prompts.files import read_prompts, write_prompts
from paft.prompts.prepare import prepare_prompts
from paft.prompts.screen import overlap
from paft.runs.attack import Attack, AttackSettings, attack
from paft.runs.finished import FinishedMethod
from paft.runs.run import run
from paft.scoring import Score
from paft.tasks.load import load_task, task_of_rows
from paft.tasks.task import Task
from paft.types import AnswerSettings, Prompt
from paft.utils.console import Console
from paft.utils.typos import typo

QUIET = Console(quiet=True)
TREC = Task("trec", ("question",), ("description", "entity", "human"), "label", 0.85, 3)
COLOURS = TaskConfig(name="colours", fields=["thing"], choices=["red", "green", "blue"], target="colour")
USUAL = AttackSettings(starts=10, examples=40, rounds=4, candidates=8)
SMALL = AttackSettings(starts=3, examples=6, rounds=3, candidates=4)
LONG = {"text": "Look at this closely, please.\nWhat is the colour of it?\nThing: {thing}\nChoose from: {choices}\nColour:"}  # fmt: skip


# --- edits -------------------------------------------------------------------------------------------------------

PARTS = st.sampled_from(
    ["{question}", "{choices}", "{A}", " ", "\n", "\n\n", ": ", "Answer:", "the kind", "of question,", "A. ", "é",
     '{{"label": "..."}}', "{{", "}}", "{", "}", "\\frac{{1}}{{n}}", "{a b}", "你好吗", "İstanbul ", "?", "=>"]
)  # fmt: skip
TEXTS = st.lists(PARTS, max_size=12).map("".join)


def braced(text):
    return sorted(re.findall(r"\{[^{}\s]*\}", text))


@given(TEXTS, st.none() | TEXTS, st.integers(0, 9))
def test_edits_keep_every_slot_once_and_what_is_in_braces(text, system, seed):
    prompt = Prompt(text, system)
    for edited in edits(prompt, TREC, random.Random(seed), 20):
        assert (edited.text, edited.system) != (text, system)
        before, after = f"{system or ''}\n{text}", f"{edited.system or ''}\n{edited.text}"
        assert braced(after) == braced(before)
        assert edited.source == "attack"
        assert edited.strategy in EDITS


@pytest.mark.parametrize(
    ("name", "text", "system", "results"),
    [
        ("drop-word", "Name the kind: {question}", None, {"the kind: {question}", "Name kind: {question}", "Name the {question}"}),
        ("swap-words", "Name it: {question} or", None, {"it: Name {question} or"}),
        ("repeat-word", "Name {question}", None, {"Name Name {question}"}),
        ("lower-case", "Kind of {question}? A. {A}", None, {"kind of {question}? A. {A}"}),
        ("upper-case", '{question} as {{"label": "x"}}', None, {'{question} AS {{"label": "x"}}'}),
        ("lines", "Kind?\n{question}", None, {"Kind? {question}", "Kind?\n\n{question}", "Kind? | {question}"}),
        ("colons", "Question: {question}", None, {"Question - {question}"}),
        ("drop-cue", "{question}\nKind:", None, {"{question}"}),
        ("add-cue", "{question}?", None, {"{question}?\nAnswer:"}),
        ("question-first", "Kind?\nQ: {question}\n{choices}", None, {"Q: {question}\nKind?\n{choices}"}),
        ("question-last", "Kind?\nQ: {question}\n{choices}", None, {"Kind?\n{choices}\nQ: {question}"}),
        ("question-last", "{{\n{question}\n}}\nKind?", None, {None}),
        ("system-to-user", "{question}", "Name the kind", {"Name the kind\n\n{question}"}),
        ("user-to-system", "Name the kind\n{question}", None, {"{question}"}),
        ("user-to-system", "{question}\nKind?", None, {None}),
        ("quotes", "Kind of {question}", None, {'Kind of "{question}"'}),
        ("brackets", "Kind of {question}", None, {"Kind of [{question}]"}),
    ],
)  # fmt: skip
def test_each_edit_does_what_its_name_says(name, text, system, results):
    drawn = [EDITS[name](Prompt(text, system), TREC, random.Random(seed)) for seed in range(40)]
    assert {edited and edited.text for edited in drawn} == results


def test_moving_the_instruction_keeps_it():
    moved = EDITS["user-to-system"](Prompt("Name the kind\n{question}"), TREC, random.Random(0))
    assert (moved.system, moved.text) == ("Name the kind", "{question}")


def test_a_typing_mistake_is_in_one_word_and_made_as_batprompt_makes_it():
    prompt = Prompt("Which kind of question is this? {question}")
    mistakes = [e.text for e in edits(prompt, TREC, random.Random(0), 40) if e.strategy == "typo"]
    assert len(mistakes) > 5
    for text in mistakes:
        assert sum(a != b for a, b in zip(text.split(), prompt.text.split(), strict=True)) == 1
    drawn = {typo("colour", random.Random(seed)) for seed in range(999)}
    assert {PERTURBATIONS[0].rule("colour", random.Random(seed)) for seed in range(20)} <= drawn


def test_few_words_are_not_made_fewer():
    for text in ("{question}\nKind:", "Name the kind {question}"):
        words = len(text.split()) - 1
        for edited in edits(Prompt(text), TREC, random.Random(0), 60):
            assert len(edited.text.replace("{question}", "").split()) >= min(words, FEWEST)


def test_a_rewrite_keeps_the_slots_and_is_not_twice_as_long():
    prompt = Prompt("Name the kind: {question}")
    written = ["Not the subject, the kind: {question}", "Name it: {question} {choices}", "{question}" + " so" * 40]
    reply = json.dumps({"prompts": [{"system": "", "text": text} for text in written[:2]]})
    assert [r.text for r in rewrites(reply, prompt, "m")] == written[:1]
    assert rewrites(json.dumps({"prompts": [written[2]]}), prompt, "m") == []
    [rewrite] = rewrites(reply, prompt, "m")
    assert (rewrite.model, rewrite.strategy, rewrite.source) == ("m", "rewrite", "attack")


# --- the search --------------------------------------------------------------------------------------------------


def truth(text, off=0):
    """The colour of the thing in a text, told by its number; another one, if it is ``off``."""
    return COLOUR_NAMES[(int(re.search(r"thing (\d+)", text)[1]) + off) % 3]


def needs(pattern):
    """A model that is right about every thing, if the prompt has the pattern, and else always wrong."""
    return FakeModel(lambda c: truth(c.user, not re.search(pattern, f"{c.system or ''}\n{c.user}")))


def search(model, folder, starts, mode="likelihood", settings=SMALL, scorers=()):
    task, examples = task_of_rows(things(6), COLOURS)
    log = folder / "evaluations.jsonl"
    evaluator = PromptEvaluator(model, task, AnswerSettings(mode, 8), log=log, scorers=scorers)
    return Attack(evaluator, examples, lambda prompts: prompts, settings, seed=0).search(starts, QUIET)


@pytest.mark.parametrize(
    ("fatal", "cause"),
    [
        ("colour", {"typo", "drop-word", "upper-case"}),
        ("Name the", {"typo", "drop-word", "swap-words", "lower-case", "upper-case", "repeat-word"}),
        (": ", {"colons", "drop-word", "typo"}),
        (r"(?s)Choose.*thing \d", {"question-first", "drop-word", "typo", "lower-case", "upper-case"}),
    ],
)
@pytest.mark.parametrize("mode", ["likelihood", "generate"])
def test_the_search_finds_what_is_fatal(tmp_path, fatal, cause, mode):
    start = Prompt("Name the colour: it is one word.\nChoose well.\n{thing}")
    settings = replace(USUAL, rounds=4, candidates=24)
    [attacked] = search(needs(fatal), tmp_path, [start], mode, settings)
    assert (attacked.before, attacked.after) == (1.0, 0.0)
    assert set(attacked.prompt.strategy.split(", ")) & cause
    assert attacked.start == start


def test_a_prompt_gets_at_most_an_edit_a_round_and_none_after_it_scores_nothing(tmp_path):
    start = Prompt(LONG["text"])
    settings = replace(USUAL, rounds=3, candidates=6)
    [attacked] = search(FakeModel(lambda c: truth(c.user)), tmp_path, [start], settings=settings)
    assert attacked.prompt.text == start.text, "no edit lowers the score"
    model = FakeModel(lambda c: truth(c.user, 1))
    search(model, tmp_path / "other", [start], settings=settings)
    assert len(model.asked) == 6

    def worse(conversation):  # each edit of the words costs an example
        lost = len(set(LONG["text"].split()) - set(conversation.user.split()))
        number = int(re.search(r"thing (\d)", conversation.user)[1])
        return truth(conversation.user, number < lost - 3)

    [attacked] = search(FakeModel(worse), tmp_path / "third", [start], settings=settings)
    assert attacked.after < attacked.before
    assert 1 <= len(attacked.prompt.strategy.split(", ")) <= 3


def test_at_the_same_score_the_lower_probability_is_followed(tmp_path):
    class Confident(FakeModel):
        def score(self, conversations, options):
            for conversation, texts in zip(conversations, options, strict=True):
                text = f"{conversation.system} {conversation.user}".lower()
                gap = 5.0 - 2.0 * ("please" not in text) - 4.0 * ("closely," not in text)
                yield [[gap if text == truth(conversation.user) else 0.0 for text in texts]]

    [attacked] = search(Confident(truth), tmp_path, [Prompt(LONG["text"])], settings=replace(USUAL, candidates=24))
    assert attacked.after == 0, "both words are gone, and one alone changes no answer"


def test_a_free_text_answer_is_judged_by_the_first_scorer(tmp_path):
    class Length:
        name, is_binary = "length", False

        def score(self, output, example):
            return Score(min(len(output) / 10, 1.0), output)

    class Never(Length):
        def score(self, output, example):
            raise AssertionError("only the first scorer counts")

    model = FakeModel(lambda c: "a long answer" if "please" in c.user else "short")
    settings = replace(USUAL, candidates=24)
    [attacked] = search(model, tmp_path, [Prompt(LONG["text"])], "generate", settings, [Length(), Never()])
    assert (attacked.before, attacked.after) == (1.0, 0.5)


# --- the command -------------------------------------------------------------------------------------------------


class RunModel(FakeModel):
    """The fake model as that of a run."""

    used = ()

    def check(self, conversations, options, settings): ...

    def announce(self, conversations, settings):
        return f"asking {len(list(conversations))} questions"

    def usage(self): ...

    def use_adapter(self, folder):
        self.used = (*self.used, folder)
        return nullcontext()


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, tiny_model):
    project = make_project(tmp_path_factory.mktemp("first"), tiny_model)
    write_rows(project / "prompts/train.jsonl", [LONG, *TRAIN_PROMPTS])
    config = load_config(project / "config.yaml", ["methods=[base, user]", "training.epochs=1"])
    run(config, project / "run", QUIET)
    return project


@pytest.fixture
def finished(project, first_run):
    """A finished run of two methods, with one longer training prompt."""
    return shutil.copytree(first_run, project, dirs_exist_ok=True)


@pytest.fixture
def fake(finished, monkeypatch):
    """The run's model replaced by one that needs the word "colour"."""
    model = RunModel(needs("[Cc]olour").answer)
    monkeypatch.setattr(FinishedMethod, "open_model", lambda self, console: model)
    return model


def start(project, output="attack.jsonl", settings=SMALL, method="user", **more):
    return attack(project / "run", method, project / output, settings, QUIET, **more)


def test_the_same_command_gives_the_same_file_and_redoes_nothing(finished, fake):
    first = start(finished)
    assert any(a.after < a.before for a in first)
    asked, text = len(fake.asked), (finished / "attack.jsonl").read_text()
    assert start(finished) == first
    assert len(fake.asked) == asked
    assert start(finished, "again.jsonl") == first
    assert len(fake.asked) == 2 * asked, "another output has evaluations of its own"
    assert text == (finished / "attack.jsonl").read_text() == (finished / "again.jsonl").read_text()
    assert fake.used[0] == finished / "run/methods/user/adapter"


def test_a_killed_attack_resumes_without_redoing(finished, fake, monkeypatch):
    start(finished, "whole.jsonl")
    whole, answers = len(fake.asked), fake.answer
    fake.asked.clear()

    def killed(conversation):
        if len(fake.asked) > whole // 2:
            raise KeyboardInterrupt
        return answers(conversation)

    monkeypatch.setattr(fake, "answer", killed)
    with pytest.raises(KeyboardInterrupt):
        start(finished)
    assert not (finished / "attack.jsonl").exists()
    kept = (finished / "attack.search/evaluations.jsonl").read_text()
    done = kept.count("\n")
    (finished / "attack.search/evaluations.jsonl").write_text(kept + '{"key": "torn')
    monkeypatch.setattr(fake, "answer", answers)
    fake.asked.clear()
    start(finished)
    assert len(fake.asked) == whole - done * SMALL.examples
    assert (finished / "attack.jsonl").read_text() == (finished / "whole.jsonl").read_text()


def test_what_is_written_may_be_trained_on_and_measured_with(finished, fake):
    """What differs from a training prompt in format only is trained on, but is no unseen prompt."""
    attacked = start(finished, settings=replace(USUAL, examples=6, rounds=3, candidates=8))
    written = read_prompts(finished / "attack.jsonl")
    assert [p.id for p in written] == [a.prompt.id for a in attacked if a.after < a.before]
    assert all(p.source == "attack" and p.strategy for p in written)
    task, train, test = load_task(load_config(finished / "config.yaml", []).task)
    seen = overlap(read_prompts(finished / "run/prompts/train.jsonl"), written, task)
    assert not overlap(read_prompts(finished / "run/prompts/test.jsonl"), written, task)
    write_prompts(finished / "unseen.jsonl", [p for p in written if p not in {edited for _, edited in seen}])
    for split, file, count in (("train", "attack", len(written)), ("test", "unseen", len(written) - len(seen))):
        config = load_config(finished / "config.yaml", [f"prompts.{split}={file}.jsonl"])
        starts = {"prompts.train": ["paft"], "prompts.user": ["user"]}
        sets = prepare_prompts(config.prompts, task, train + test, starts, 0)
        assert len(getattr(sets, split)) == count > 0


def test_edits_of_format_alone_are_tried_on_the_runs_own_prompts_and_said_to_be_no_test_prompts(
    finished, fake, monkeypatch, capsys
):
    monkeypatch.setattr(fake, "answer", lambda c: truth(c.user, bool(re.search("[A-Z]{4}", c.user))))
    settings = replace(USUAL, starts=9, examples=6, rounds=1, candidates=40)
    attack(finished / "run", "user", finished / "attack.jsonl", settings, Console())
    written = read_prompts(finished / "attack.jsonl")
    task, train, test = load_task(load_config(finished / "config.yaml", []).task)
    same = overlap(read_prompts(finished / "run/prompts/train.jsonl"), written, task)
    assert same
    assert f"{len(same)} of {len(written)} prompts differ from a prompt of the run in format only" in (
        capsys.readouterr().err
    )
    config = load_config(finished / "config.yaml", ["prompts.train=attack.jsonl"])
    sets = prepare_prompts(config.prompts, task, train + test, {"prompts.train": ["paft"]}, 0)
    assert len(sets.train) == len(written)


@pytest.mark.parametrize("is_known", [False, True])
def test_no_candidate_repeats_a_test_prompt(finished, fake, monkeypatch, is_known):
    """The one prompt that the model fails on is an edit away; a test prompt is not even asked with."""
    fatal = "please! Say the of {thing}"
    monkeypatch.setattr(fake, "answer", lambda c: truth(c.user, "Say the of thing" in c.user))
    write_rows(finished / "mine.jsonl", [{"text": "Please: Say the colour of {thing}"}])
    if is_known:
        write_rows(finished / "run/prompts/test.jsonl", [{"text": fatal}])
    settings = replace(USUAL, examples=6, rounds=1, candidates=60)
    [attacked] = start(finished, settings=settings, prompt_file=finished / "mine.jsonl")
    assert attacked.after == (1.0 if is_known else 0.0)
    assert any("Say the of thing" in c.user for c in fake.asked) != is_known


def test_no_candidate_hints_at_an_answer(finished, fake):
    """A label with a typing mistake would leave the other labels alone."""
    write_rows(finished / "mine.jsonl", [{"text": "Is the colour red, green or blue? {thing}"}])
    start(finished, settings=AttackSettings(1, 6, 3, 40), prompt_file=finished / "mine.jsonl")
    asked = {c.user for c in fake.asked}
    assert len(asked) > 100
    assert all(set(re.findall("red|green|blue", text.lower())) == set(COLOUR_NAMES) for text in asked)


def test_prompts_of_ones_own_are_attacked_and_those_that_do_not_fit_are_named(finished, fake, capsys):
    rows = [{"id": "mine", "text": "Say the colour of {thing}", "strategy": "by hand"}, {"text": "No slot"}]
    write_rows(finished / "mine.jsonl", rows)
    settings = replace(USUAL, examples=6, starts=9)
    attack(
        finished / "run", "base", finished / "o.jsonl", settings, Console(), prompt_file=finished / "mine.jsonl"
    )
    said = capsys.readouterr().err
    assert "1 prompt(s) do not fit the task (1 missing-slot)" in said
    assert "using all 1 prompts; 9 were asked for" in said
    assert "asking 6 questions\nthese are the starts; the whole search asks up to 33 times as much" in said
    [written] = read_prompts(finished / "o.jsonl")
    assert written.id != "mine"
    assert "by hand" not in written.strategy


def test_more_examples_than_there_are_is_said(finished, fake, capsys):
    attack(finished / "run", "user", finished / "o.jsonl", AttackSettings(1, 50, 1, 1), Console())
    assert "using all 20 training examples; 50 were asked for" in capsys.readouterr().err


def test_a_language_models_rewrites_are_tried_and_paid_for_once(finished, fake, serve):
    text = "Not which shade, which hue has it, {thing}?"
    server = serve((200, answer(json.dumps({"prompts": [{"system": "", "text": text}]})), {}))
    write_rows(finished / "mine.jsonl", [{"text": "Say the colour of this one thing, please: {thing}"}])
    more = {"prompt_file": finished / "mine.jsonl", "llms": [LlmConfig(model="m", base_url=server.url)]}
    [attacked] = start(finished, settings=AttackSettings(1, 6, 1, 1), **more)
    assert (attacked.prompt.text, attacked.prompt.strategy, attacked.prompt.model) == (text, "rewrite", "m")
    assert len(server.requests) == 1
    assert "{thing}" in server.requests[0][0]["messages"][-1]["content"]
    assert start(finished, settings=AttackSettings(1, 6, 1, 1), **more) == [attacked]
    assert len(server.requests) == 1


def test_what_cannot_be_attacked_is_refused_in_one_line(finished):
    write_rows(finished / "test-prompt.jsonl", [{"text": "paint {thing}, in one of: {choices}"}])
    write_rows(finished / "unfit.jsonl", [{"text": "no slot"}])
    (finished / "mine.jsonl").write_text("mine\n")
    for arguments, message in [
        (["run", "usr"], "no method 'usr'; did you mean 'user'"),
        (["prompts", "user"], "no run directory"),
        (["run", "user", "-o", "mine.jsonl"], "mine.jsonl: the file exists and is not of an attack"),
        (["run", "user", "-o", "mine.txt"], "must name a .jsonl file"),
        (["run", "user", "--prompts", "none.jsonl"], "none.jsonl"),
        (["run", "user", "--prompts", "test-prompt.jsonl"], "is a test prompt of the run"),
        (["run", "user", "--prompts", "unfit.jsonl"], "no prompt fits the task"),
        (["run", "user", "--key", "KEY"], "belong to a language model; name it with --llm"),
        (["run", "user", "--llm", "m", "--base-url", "x"], "is no URL"),
    ]:  # fmt: skip
        assert_refused(paft_here("prompts", "attack", *arguments, cwd=finished), message)
    assert (finished / "mine.jsonl").read_text() == "mine\n"
    assert not (finished / "mine.search").exists()
    (finished / "run/prompts/train.jsonl").write_text("")
    assert_refused(paft_here("prompts", "attack", "run", "user", cwd=finished), "no training prompts", "--prompts")
    adapter = finished / "run/methods/user/adapter"
    adapter.rename(adapter.with_name("gone"))
    assert_refused(paft_here("prompts", "attack", "run", "user", cwd=finished), "user is not trained yet")


def test_a_file_of_another_method_is_not_overwritten(finished, fake):
    start(finished)
    text = (finished / "attack.jsonl").read_text()
    with pytest.raises(UserError, match="is of another method; choose another --output"):
        start(finished, method="base")
    assert (finished / "attack.jsonl").read_text() == text
    start(finished, settings=AttackSettings(6, 6, 1, 12, seed=3))  # its own, with other settings
    assert (finished / "attack.jsonl").read_text() != text


def test_nothing_found_writes_nothing_and_ends_with_1(finished, monkeypatch):
    model = RunModel(lambda c: truth(c.user))
    monkeypatch.setattr(FinishedMethod, "open_model", lambda self, console: model)
    done = paft_here("prompts", "attack", "run", "user", "--rounds", 1, "--examples", 6, cwd=finished)
    assert done.returncode == 1, done.stdout
    assert "No prompt scores lower than its start; attack.jsonl is not written" in done.stdout
    assert not (finished / "attack.jsonl").exists()


@pytest.mark.medium
def test_a_trained_adapter_is_attacked_and_its_prompts_are_trained_on(project):
    """With the tiny network, from end to end; the prompt decides which of two labels of one length it takes."""
    rows = [{"thing": f"thing {i}", "colour": ["red", "red", "sky"][i % 3]} for i in range(40)]
    for split, part in (("train", rows[:30]), ("test", rows[30:])):
        write_rows(project / f"{split}.jsonl", part)
    labels = ["task.choices=[red, sky]", "training.epochs=1", "training.learning_rate=1.0e-4"]
    config = load_config(project / "config.yaml", [*labels, "methods=[user]"])
    run(config, project / "run", QUIET)
    more = ["--starts", 4, "--examples", 12, "--rounds", 3, "-o", "hard.jsonl"]
    done = paft_here("prompts", "attack", "run", "user", *more, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    written = read_prompts(project / "hard.jsonl")
    assert f"Prompts: hard.jsonl ({len(written)} of 4 score lower than their start)" in done.stdout
    assert all(prompt.strategy in " ".join(done.stdout.split()) for prompt in written)
    config = load_config(project / "config.yaml", [*labels, "methods=[paft]", "prompts.train=hard.jsonl"])
    run(config, project / "hardened", QUIET)
    assert (project / "hardened/methods/paft/predictions.parquet").is_file()


@pytest.mark.medium
def test_a_served_model_is_attacked(project, serve):
    """The search says before what it asks, and every answer is kept."""

    def reply(body):
        asked = body["messages"][-1]["content"]
        return 200, answer(truth(asked) if "olour" in asked else "mauve"), {}

    server = serve(reply)
    served = [f"model={{path: m, base_url: '{server.url}'}}", "methods=[base]", "evaluation.mode=generate"]
    run(load_config(project / "config.yaml", served), project / "run", QUIET)
    more = ["--prompts", "prompts/train.jsonl", "--starts", 2, "--examples", 4, "--rounds", 2]
    done = paft_here("prompts", "attack", "run", "base", *more, cwd=project)
    assert "8 requests" in done.stderr, done.stderr
    assert done.returncode == 0, done.stdout
    asked = len(server.requests)
    again = paft_here("prompts", "attack", "run", "base", *more, cwd=project)
    assert again.stdout == done.stdout
    assert len(server.requests) == asked + 1, "the endpoint is tried before anything else"
