"""Stage 1: what is asked, what is made of the answers, and that no paid answer is lost."""

import json
import threading

import pytest

from conftest import WORDS, write_rows
from paft.config.load import load_config
from paft.config.schema import GenerateConfig, ScreenConfig
from paft.errors import UserError
from paft.models.client import Completion, LocalClient, ModelError
from paft.models.endpoint import Endpoint
from paft.models.open import language_models
from paft.models.response_cache import read_answers
from paft.prompts.generate import Ensemble
from paft.prompts.parse import prompts_in
from paft.prompts.split import split
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console

TASK = Task(
    "trec", ("question",), ("human", "location"), "label", 0.85, 0, description="Say what the answer would be."
)
EXAMPLES = [Example("0", {"question": "Who?"}, ("human", "location"), 0)]


class Writer:
    """A model that writes ``count`` prompts a request, none like another; it can fail, by the call's number."""

    parallel = 2

    def __init__(self, name="writer", count=10, fail=lambda call: None):
        self.name, self.count, self.fail = name, count, fail
        self.calls = 0
        self.seen: list[str] = []
        self._lock = threading.Lock()

    def complete(self, conversation, *, max_tokens, temperature, seed, schema):
        with self._lock:
            call, self.calls = self.calls, self.calls + 1
            self.seen.append(conversation.user)
        if error := self.fail(call):
            raise error
        texts = [self.text(seed, i) for i in range(self.count)]
        return Completion(
            json.dumps({"prompts": [{"system": "", "text": t} for t in texts]}), 100, 30 * self.count
        )

    def text(self, seed, i):
        picked = " ".join(
            WORDS[(seed // 7**k + 5 * i * (k + 1)) % len(WORDS)] + str(seed % 97) + str(i) for k in range(6)
        )
        return f"{picked} {{question}}"


def ensemble(folder, *writers, shots=("Say it: {question}",), examples=EXAMPLES, rules=None, seed=0, **config):
    settings = GenerateConfig.model_validate({"models": [{"model": w.name} for w in writers]} | config)
    return Ensemble(
        settings,
        {w.name: w for w in writers},
        TASK,
        examples,
        [Prompt(s) for s in shots],
        folder,
        rules=rules or ScreenConfig(),
        seed=seed,
        console=Console(quiet=True),
    )


def test_each_model_is_asked_in_two_ways_for_20_prompts_each(tmp_path):
    one, other = Writer("one"), Writer("other")
    made = ensemble(tmp_path, one, other).generate()
    assert (one.calls, other.calls) == (4, 4)
    assert made.missing == {}
    for name in ("one", "other"):
        for strategy in ("zero-shot", "few-shot"):
            mine = [p for p in made.prompts if (p.model, p.strategy) == (name, strategy)]
            assert len(mine) == 20
            assert all(p.source.startswith("llm:") for p in mine)
    shown = [text for text in one.seen if "Say it: {question}" in text]
    assert len(shown) == 2  # the few-shot requests alone show prompts


def test_no_more_prompts_are_kept_than_were_asked_for_and_the_others_are_listed(tmp_path):
    made = ensemble(tmp_path, Writer(count=7), zero_shot=10, few_shot=3, per_request=5).generate()
    assert [sum(p.strategy == s for p in made.prompts) for s in ("zero-shot", "few-shot")] == [10, 3]
    assert [s.rule for s in made.screened] == ["surplus"] * 8
    assert ensemble(tmp_path, Writer(), zero_shot=10, few_shot=3, per_request=5).generate().prompts == made.prompts


def test_a_second_run_asks_only_for_what_is_missing(tmp_path):
    broken = Writer(fail=lambda call: ModelError("down", final=True) if call == 2 else None)
    broken.parallel = 1
    first = ensemble(tmp_path, broken).generate()
    assert sum(lacking for lacking, _ in first.missing.values()) == 20
    assert "down" in next(iter(first.missing.values()))[1]
    again = Writer()
    second = ensemble(tmp_path, again).generate()
    assert again.calls == 2
    assert second.missing == {}
    assert second.prompts[:20] == first.prompts
    idle = Writer()
    assert ensemble(tmp_path, idle).generate().prompts == second.prompts
    assert idle.calls == 0


@pytest.mark.parametrize("change", [{"temperature": 0.1}, {"max_tokens": 4000}, {"seed": 1}])
def test_answers_that_were_asked_for_otherwise_are_not_taken_for_these(tmp_path, change):
    first = ensemble(tmp_path, Writer()).generate()
    again = Writer()
    second = ensemble(tmp_path, again, **change).generate()
    assert again.calls == 4
    assert {request.key for request, _ in first.answers}.isdisjoint(request.key for request, _ in second.answers)


def test_no_paid_answer_is_lost_when_a_request_blows_up_or_is_interrupted(tmp_path):
    stop = Writer(fail=lambda call: KeyboardInterrupt() if call == 3 else None)
    stop.parallel = 1
    with pytest.raises(KeyboardInterrupt):
        ensemble(tmp_path, stop).generate()
    assert len(read_answers(tmp_path / "answers.jsonl")) == 3


def test_a_torn_last_answer_is_asked_again_and_the_file_is_whole_after(tmp_path):
    ensemble(tmp_path, Writer()).generate()
    file = tmp_path / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    again = Writer()
    made = ensemble(tmp_path, again).generate()
    assert again.calls == 1
    assert made.missing == {}
    assert len(read_answers(file)) == 4


def test_another_description_of_the_task_is_another_question(tmp_path):
    ensemble(tmp_path, Writer()).generate()
    again = Writer()
    ensemble(tmp_path, again, examples=[Example("0", {"question": "Where?"}, ("human", "location"), 1)]).generate()
    assert again.calls == 4


def test_a_model_that_fails_is_left_and_the_others_go_on(tmp_path):
    down = Writer("down", fail=lambda call: ModelError("nobody there", final=True))
    made = ensemble(tmp_path, down, Writer("up")).generate()
    assert {p.model for p in made.prompts} == {"up"}
    assert {source: lacking for source, (lacking, _) in made.missing.items()} == {
        ("down", "zero-shot"): 20,
        ("down", "few-shot"): 20,
    }
    assert down.calls <= 2


def test_a_model_that_answers_nothing_is_the_reason_of_what_is_missing(tmp_path):
    silent = Writer(fail=lambda call: ModelError("no answer in time", final=False))
    made = ensemble(tmp_path, silent, zero_shot=5, few_shot=0, per_request=5).generate()
    [(lacking, reason)] = made.missing.values()
    assert (lacking, reason) == (5, "no answer in time")


def test_a_model_that_fails_now_and_then_is_asked_again(tmp_path):
    shaky = Writer(fail=lambda call: ModelError("timeout", final=False) if call % 2 else None)
    shaky.parallel = 1
    assert ensemble(tmp_path, shaky).generate().missing == {}


def test_a_model_whose_prompts_are_not_fit_is_asked_more_often_but_not_for_ever(tmp_path):
    class Repeater(Writer):
        def text(self, seed, i):
            return "Always the same {question}"

    dull = Repeater()
    made = ensemble(tmp_path, dull, few_shot=0, max_request_factor=3).generate()
    assert dull.calls == 6
    assert made.missing == {("writer", "zero-shot"): (19, made.missing["writer", "zero-shot"][1])}
    assert "max_request_factor" in made.missing["writer", "zero-shot"][1]


def test_prompts_are_the_same_whatever_order_the_answers_came_in(tmp_path):
    one = ensemble(tmp_path / "a", Writer("x"), Writer("y")).generate()
    file = tmp_path / "a/answers.jsonl"
    write_rows(
        tmp_path / "b/answers.jsonl", [json.loads(line) for line in reversed(file.read_text().splitlines())]
    )
    other = ensemble(tmp_path / "b", Writer("x"), Writer("y")).generate()
    assert one.prompts == other.prompts


def test_few_shot_without_prompts_to_show_is_refused(tmp_path):
    with pytest.raises(UserError, match="few_shot_prompts"):
        ensemble(tmp_path, Writer(), shots=())
    assert ensemble(tmp_path, Writer(), shots=(), few_shot=0).generate().missing == {}


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('{"prompts": [{"system": "", "text": "a {q}"}, {"system": "S", "text": "b {q}"}]}', ["a {q}", "b {q}"]),
        ('Here you are:\n```json\n["a {q}", "b\\n{q}"]\n```\nEnjoy {them}!', ["a {q}", "b\n{q}"]),
        ('{"prompts": ["a {q}", "b {q}", "cut of', ["a {q}", "b {q}"]),
        ("Sure!\n1. a {q}\n2) b\n   {q}\n", ["a {q}", "b\n   {q}"]),
        ("- \"a {q}\"\n- 'b {q}'", ["a {q}", "b {q}"]),
        ("a {q}\nmore\n\nb {q}\n\nThat is all.", ["a {q}\nmore", "b {q}"]),
        ("<think>maybe 1. x {q}</think>\n1. a {{q}}", ["a {q}"]),
        ("or 1. x {q}</think>\n1. a {q}", ["a {q}"]),  # the chat template has opened the thoughts
        ("<THINKING>1. x {q}</THINKING>1. a {q}", ["a {q}"]),
        ('[{"prompt": "a\\\\nb {q}"}, {"template": "c {q}"}, 7, null]', ["a\nb {q}", "c {q}"]),
        ("", []),
        ("I cannot do that.", []),
        ("[]", []),
        ("{" * 5000, []),
    ],
)
def test_prompts_are_read_from_any_answer_that_holds_them(answer, texts):
    assert [p.text for p in prompts_in(answer, most=20)] == texts


def test_an_answer_of_ten_thousand_prompts_is_cut():
    answer = json.dumps([f"prompt {i} {{q}}" for i in range(10_000)])
    assert len(prompts_in(answer, most=20)) == 20
    assert prompts_in(json.dumps(["x" * 10_000 + "{q}"]), most=5) == []


def test_the_split_keeps_near_duplicates_on_one_side_and_is_seeded():
    prompts = [Prompt(f"{Writer().text(i, i)}") for i in range(40)]
    prompts += [Prompt(p.text.replace("{question}", "please {question}")) for p in prompts[:9]]
    arguments = {"share": 1 / 9, "held_out": [], "near_duplicate": 0.9}
    train, test = split(prompts, TASK, **arguments, seed=0)
    assert len(test) == 5
    assert sorted(p.id for p in train + test) == sorted(p.id for p in prompts)
    for one in prompts[:9]:
        twins = [p for p in prompts if p.text.replace("please ", "") == one.text]
        assert len({p in test for p in twins}) == 1
    assert split(prompts, TASK, **arguments, seed=0) == (train, test)
    assert split(prompts, TASK, **arguments, seed=1)[1] != test


def test_the_split_can_keep_a_model_or_a_strategy_for_the_test():
    prompts = [Prompt(Writer().text(i, i), model=f"m{i % 3}", strategy="zero-shot") for i in range(12)]
    train, test = split(prompts, TASK, share=0.5, held_out=["m2"], near_duplicate=0.9, seed=0)
    assert {p.model for p in test} == {"m2"}
    assert {p.model for p in train} == {"m0", "m1"}
    with pytest.raises(UserError, match="no test prompts"):
        split(prompts, TASK, share=0.5, held_out=["m9"], near_duplicate=0.9, seed=0)


def test_a_missing_key_is_named_and_a_key_in_the_config_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UserError, match="set the environment variable NO_SUCH_KEY"):
        Endpoint("gpt", "http://localhost:1/v1", "NO_SUCH_KEY")
    config = tmp_path / "c.yaml"
    secret = "sk-verysecret-123"
    config.write_text(
        f"task: {{name: piqa}}\nprompts: {{train: {{generate: {{models: [{{model: m, base_url: x, key: {secret}}}]}}}}}}"
    )
    with pytest.raises(UserError, match="not the key itself") as caught:
        load_config(config)
    assert secret not in str(caught.value)


def test_a_model_listed_twice_is_refused():
    models = GenerateConfig.model_validate({"models": [{"model": "m", "base_url": "http://x/v1"}] * 2}).models
    with pytest.raises(UserError, match="here: 'm' is listed twice"):
        language_models(models, "here", Console(quiet=True))


def test_a_model_in_process_writes_by_its_engine_and_its_seed(tiny_model):
    from paft.config.model import ModelConfig
    from paft.engine.engine import Engine
    from paft.models.chat import ChatFormat
    from paft.models.load import load_model
    from paft.types import Conversation

    model, tokenizer = load_model(ModelConfig(path=tiny_model, dtype="float32"))
    local = LocalClient("tiny", lambda: Engine(model, ChatFormat(tokenizer)))

    def ask(seed):
        return local.complete(Conversation("Write."), max_tokens=12, temperature=1.0, seed=seed, schema={})

    assert ask(1) == ask(1)
    assert len({ask(seed).text for seed in range(4)}) > 1
    assert ask(1).completion_tokens <= 12
    assert ask(1).prompt_tokens > 6


def test_a_prompt_that_the_model_was_shown_is_not_kept_as_its_own(tmp_path):
    class Parrot(Writer):
        def text(self, seed, i):
            return "say it:  {question}" if i == 0 else super().text(seed, i)

    shown = Prompt("Say it: {question}")
    generated = ensemble(tmp_path, Parrot(), zero_shot=0, few_shot=5).generate()
    assert len(generated.prompts) >= 5
    assert "say it:  {question}" not in [prompt.text for prompt in generated.prompts]
    assert {(s.rule, s.reason) for s in generated.screened if s.rule != "surplus"} == {
        ("repeat", f"repeats prompt {shown.id} up to case, spacing and punctuation")
    }


def test_a_held_out_source_that_is_none_is_said_before_anyone_is_asked(tmp_path):
    writer = Writer()
    with pytest.raises(
        UserError, match=r"held_out_sources: no model and no strategy 'zeroshot'; did you mean 'zero-shot'"
    ):
        ensemble(tmp_path, writer, held_out_sources=["zeroshot"])
    assert writer.calls == 0
