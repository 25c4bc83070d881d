"""Answers on the disk: asked for once, each damaged line named; and a model that fails is left."""

import json
import time

import pytest

from paft.errors import UserError
from paft.models.client import Completion, ModelError
from paft.models.response_cache import CircuitBreaker, ResponseCache, pools, read_answers
from paft.types import Conversation

ASK = Conversation("Write.")


class Model:
    name, parallel = "m", 1

    def __init__(self, *replies):
        self.replies = list(replies)

    def complete(self, conversation):
        reply = self.replies.pop(0)
        if isinstance(reply, ModelError):
            raise reply
        return Completion(reply, 7, 3, {"A": -0.5})


def test_an_answer_is_kept_with_what_is_said_about_it_and_asked_for_once(tmp_path):
    path = tmp_path / "new/answers.jsonl"
    first = ResponseCache(path).ask("k", Model("fine"), ASK, about={"strategy": "zero-shot"})
    assert ResponseCache(path).ask("k", Model(), ASK) == first
    row = json.loads(path.read_text())
    assert (row["key"], row["strategy"], row["text"], row["completion_tokens"]) == ("k", "zero-shot", "fine", 3)


@pytest.mark.parametrize(
    ("row", "what"),
    [({"key": "k", "text": "t", "prompt_tokens": 1}, "no 'completion_tokens'"), ({"key": 1}, "not an answer")],
)
def test_a_line_that_is_no_answer_is_named(tmp_path, row, what):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=rf"answers\.jsonl:1: {what}; fix or remove the line"):
        read_answers(path)


def test_three_failures_in_a_row_or_a_final_one_open_the_breaker(tmp_path):
    def answered(name, *replies):
        model = Model(*replies)
        breaker = CircuitBreaker(model, ResponseCache(tmp_path / name))
        came = [breaker.ask(str(i), ASK) is not None for i in range(len(replies))]
        return came, breaker.open, len(model.replies)

    down, gone = ModelError("down", final=False), ModelError("gone", final=True)
    assert answered("a", down, down, "a", down, down) == ([False, False, True, False, False], False, 0)
    assert answered("b", down, down, down, "a") == ([False] * 4, True, 1)
    assert answered("c", "a", gone, "b") == ([True, False, False], True, 1)


@pytest.mark.parametrize("works", [True, False])
def test_failures_in_a_row_are_of_their_questions_while_an_earlier_one_is_answered_again(tmp_path, works):
    too_long = ModelError("too long", final=False, refused=True)
    model, probes = Model("a", *[too_long] * 4, "b"), []
    breaker = CircuitBreaker(model, ResponseCache(tmp_path / "answers"), lambda: probes.append(1) or works)
    came = [breaker.ask(str(i), ASK) is not None for i in range(6)]
    assert came == ([True, *[False] * 4, True] if works else [True, *[False] * 5])
    assert (breaker.open, len(probes)) == (not works, 1)
    assert set(breaker.errors) == ({"1", "2", "3", "4"} if works else {"1", "2", "3"})


def test_a_refusal_is_kept_like_an_answer(tmp_path):
    cache = ResponseCache(tmp_path / "answers")
    cache.get("k", lambda: Completion("", 0, 0, finish="refused", refusal="no"))
    assert read_answers(cache.path)["k"].refusal == "no"


def test_echoed_tokens_are_kept(tmp_path):
    cache = ResponseCache(tmp_path / "answers")
    cache.get("k", lambda: Completion("red", 7, 0, echoed=((" r", -0.5), ("ed", -0.25))))
    assert read_answers(cache.path)["k"].echoed == ((" r", -0.5), ("ed", -0.25))


def test_ctrl_c_says_what_it_waits_for(capsys):
    done = []

    def interrupted():
        with pools(Model()) as pool:
            pool["m"].submit(lambda: done.append(time.sleep(0.1)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(done) == 1
    assert "waiting for the answers to open requests" in capsys.readouterr().err
