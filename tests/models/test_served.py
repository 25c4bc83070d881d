"""A model that is measured behind an endpoint: the whole grid, whatever the server does, and nothing paid twice."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from pyarrow import parquet

from conftest import COLOURS, make_model, make_tokenizer, things, write_rows
from endpoints import answer, error, likeliest
from paft.config.load import load_config
from paft.config.model import ServedModel
from paft.config.schema import Config, TaskConfig
from paft.errors import UserError, WorkError
from paft.models import completions
from paft.models.completion_prompts import PlainText
from paft.models.endpoint import Endpoint
from paft.models.endpoint_model import EndpointModel
from paft.types import Conversation
from paft.utils.console import Console
from reported_runs import evaluate, run

SECRET = "sk-do-not-print-me-0123456789"
QUIET = Console(quiet=True)
SLOW = {"Content-Type": "application/json"}


def asked_for(body):
    return body["messages"][-1]["content"]


def reply(body):
    """Answer rightly about every thing but the first."""
    number = int("".join(c for c in asked_for(body) if c.isdigit()))
    text = COLOURS[number % 3] if number > 100 else "I cannot say"
    usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
    return 200, answer(text, usage=usage), {}


def late(body, seconds=0.1):
    time.sleep(seconds)
    return reply(body)


def served(project, server, *overrides, retries=2, timeout=1.0):
    """Return the project's config with its model behind a server."""
    path = project / "served.yaml"
    text = (project / "config.yaml").read_text().split("\n", 1)[1]
    model = {"path": "m", "base_url": server.url, "retries": retries, "timeout": timeout}
    path.write_text(f"model: {json.dumps(model)}\n" + text.replace("likelihood", "generate"))
    return load_config(path, list(overrides))


def rows(folder):
    return parquet.read_table(folder / "methods/base/predictions.parquet").to_pylist()


def paft(*arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "paft", *map(str, arguments)],
        cwd=cwd, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores Ctrl-C
    )  # fmt: skip


def test_the_grid_is_filled_by_generation_with_the_endpoints_own_count_of_tokens(project, serve, capsys):
    server = serve(reply)
    evaluate(served(project, server), project / "run", Console())
    found = rows(project / "run")
    assert len(found) == 12
    assert [r["correct"] for r in found if r["example_id"] == "0"] == [None, None]
    assert all(r["correct"] for r in found if r["example_id"] != "0")
    assert {r["generated_tokens"] for r in found} == {2}
    assert {r["output"] for r in found} == {*COLOURS, "I cannot say"}
    said = capsys.readouterr().err
    assert f"asking m at {server.url}, 4 at a time: 12 requests, about 88 tokens to read" in said
    assert "at most 3,072 to write" in said
    assert "m: 12 answers; 132 tokens read, 24 written" in said
    assert not (project / "run/methods/base/predictions").exists()
    for body, _, _ in server.requests:
        assert (body["temperature"], body["max_tokens"], body["model"]) == (0, 256, "m")
        assert not {"seed", "response_format", "logprobs"} & body.keys()
    assert len(server.requests) == 13  # one to see whether it answers at all


def test_no_more_requests_than_allowed_are_under_way_and_no_fewer(project, serve):
    server = serve(late)
    evaluate(served(project, server, "model.parallel=3"), project / "run", QUIET)
    assert server.most_under_way == 3


@pytest.mark.parametrize("seed", range(2))
def test_a_server_that_misbehaves_changes_no_answer(project, serve, seed):
    faults = [
        "cut",
        (429, {}, {"Retry-After": "0.1"}),
        (408, {}, {}),
        (409, {}, {}),
        (500, {}, {}),
        (503, b"<", {}),
    ]
    drawn = random.Random(seed)
    replies = [drawn.choice(faults) if drawn.random() < 0.3 else reply for _ in range(30)]
    server = serve(*replies, reply)
    evaluate(served(project, server, retries=30), project / "run", QUIET)
    assert sum(bool(r["correct"]) for r in rows(project / "run")) == 10
    assert len(server.requests) > 13


def test_a_time_out_is_tried_again(project, serve):
    server = serve(reply, "hang", reply)
    evaluate(served(project, server), project / "run", QUIET)
    assert sum(bool(r["correct"]) for r in rows(project / "run")) == 10


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_stopped_anywhere_no_finished_answer_is_asked_for_again(project, serve, how):
    server = serve(lambda body: late(body, 0.25))
    served(project, server, timeout=20)
    command = ("evaluate", "served.yaml", "model.parallel=2", "-o", "run")
    first = paft(*command, cwd=project)
    cache = project / "run/answers.jsonl"
    for _ in range(600):
        if cache.is_file() and cache.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.05)
    first.send_signal(how)
    _, said = first.communicate(timeout=60)
    kept = cache.read_bytes().count(b"\n")
    assert 3 <= kept < 12
    if how == signal.SIGINT:
        assert first.returncode == 130
        assert "run the same command again to resume" in said
    before = len(server.requests)
    second = paft(*command, cwd=project)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert len(server.requests) - before == 12 - kept
    assert f"{kept} answers are cached" in said
    assert "m: 12 answers; 132 tokens read, 24 written" in said
    counts = Counter(asked_for(body) for body, _, _ in server.requests[1:])
    twice = sum(count - 1 for count in counts.values())
    assert twice <= (0 if how == signal.SIGINT else 2)  # killed: what was under way had not been answered
    assert sum(bool(r["correct"]) for r in rows(project / "run")) == 10


def test_a_torn_answer_is_asked_for_again_and_a_damaged_one_is_named(project, serve):
    server = serve(*[reply] * 9, (500, {}, {}))
    config = served(project, server, "model.retries=0", "model.parallel=1")
    with pytest.raises(WorkError):
        evaluate(config, project / "run", QUIET)
    cache = project / "run/answers.jsonl"
    whole = cache.read_bytes()
    assert whole.count(b"\n") == 8
    server.replies[:] = [reply]
    for damage in (
        b'{"key": 1}\n',
        b"[]\n",
        b"nothing\n",
        b'{"key": "k", "text": 3, "prompt_tokens": 0, "tokens": 0}\n',
    ):
        cache.write_bytes(damage + whole)
        with pytest.raises(UserError, match=r"answers\.jsonl:1: not a"):
            evaluate(config, project / "run", QUIET)
    asked = len(server.requests)
    cache.write_bytes(whole[:-9])
    evaluate(config, project / "run", QUIET)
    assert len(server.requests) - asked == 5
    assert len(rows(project / "run")) == 12


def test_a_server_that_goes_down_is_one_line_and_exit_code_1(project, serve):
    server = serve(*[reply] * 5, (503, {"error": {"message": "out of memory"}}, {}))
    served(project, server, retries=0)
    done = paft("evaluate", "served.yaml", "-o", "run", cwd=project)
    _, said = done.communicate(timeout=60)
    assert done.returncode == 1
    errors = [line for line in said.splitlines() if line.startswith("paft: error: ")]
    assert len(errors) == 1
    assert "Traceback" not in said
    assert "status 503" in errors[0]
    assert "run the same command again to ask for the rest" in errors[0]
    server.replies[:] = [reply]
    asked = len(server.requests)
    again = paft("evaluate", "served.yaml", "-o", "run", cwd=project)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(server.requests) - asked == 12 - 4


def test_one_question_without_an_answer_does_not_keep_the_others_from_theirs(project, serve):
    def picky(body):
        return (500, {}, {}) if "thing 101" in asked_for(body) else reply(body)

    server = serve(picky)
    with pytest.raises(
        WorkError, match=r"2 question\(s\) have no answer \(first: prompt \w+, example 1: .*status 500"
    ):
        evaluate(served(project, server, retries=0), project / "run", QUIET)
    cache = project / "run/answers.jsonl"
    assert cache.read_bytes().count(b"\n") == 10


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((401, {"error": {"message": f"no such key {SECRET}"}}, {}), r"refused with status 401; check the key in \$A_KEY"),
        ((404, {"error": {"message": "no model m"}}, {}), "no model m"),
        ((400, {"error": {"message": "max_tokens is not supported"}}, {}), "max_tokens is not supported"),
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_asked_leaves_nothing_behind(project, serve, monkeypatch, fault, message):
    monkeypatch.setenv("A_KEY", SECRET)
    with pytest.raises(UserError, match=message) as error:
        evaluate(served(project, serve(fault), "model.key=A_KEY"), project / "run", QUIET)
    assert SECRET not in str(error.value)
    assert not (project / "run").exists()


def test_the_key_is_in_no_file_and_no_line(project, serve):
    server = serve(reply, reply, (429, {"error": {"message": f"key {SECRET} is busy"}}, {}), reply)
    served(project, server)
    done = paft("evaluate", "served.yaml", "model.key=A_KEY", "-o", "run", cwd=project, A_KEY=f"{SECRET}\n")
    out, said = done.communicate(timeout=60)
    assert done.returncode == 0, said
    assert server.requests[0][1]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in out + said
    assert not [p for p in (project / "run").rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    for value in ("two words of " + SECRET, SECRET + "\nX-Evil: 1", SECRET + "é"):
        done = paft("evaluate", "served.yaml", "model.key=A_KEY", "-o", "other", cwd=project, A_KEY=value)
        _, said = done.communicate(timeout=60)
        assert done.returncode == 2
        assert "the key in $A_KEY holds" in said
        assert SECRET not in said


def test_a_served_model_loads_no_torch(project, serve):
    served(project, serve(reply))
    code = (
        "import sys; sys.argv = ['paft', 'evaluate', 'served.yaml', '-q', '-o', 'run']\n"
        "from paft.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'transformers', 'peft', 'datasets'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "base" in done.stdout


def test_it_cannot_be_fine_tuned(project, serve):
    with pytest.raises(
        UserError, match=r"methods: a model behind an endpoint cannot be fine-tuned; use paft evaluate"
    ):
        run(served(project, serve(reply)), project / "run", QUIET)
    assert not (project / "run").exists()


def test_how_it_is_reached_may_change_between_two_runs_and_what_is_asked_may_not(project, serve):
    server = serve(reply)
    evaluate(served(project, server), project / "run", QUIET)
    evaluate(
        served(project, server, "model.parallel=9", "model.retries=0", "model.timeout=5"), project / "run", QUIET
    )
    assert len(server.requests) == 13
    with pytest.raises(UserError, match=r"model\.request\.top_p \(was not set, now 0\.5\)"):
        evaluate(served(project, server, "model.request={top_p: 0.5}"), project / "run", QUIET)


def test_parameters_that_only_this_endpoint_knows_are_sent_as_they_are(project, serve):
    server = serve(reply)
    parameters = "{max_tokens: null, max_completion_tokens: 99, chat_template_kwargs: {enable_thinking: false}}"
    evaluate(served(project, server, f"model.request={parameters}"), project / "run", QUIET)
    body = server.requests[-1][0]
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["chat_template_kwargs"]) == (99, {"enable_thinking": False})


@pytest.mark.parametrize(
    ("choice", "output"),
    [
        ({"message": {"content": None}, "finish_reason": "length"}, ""),
        ({"message": {"content": None}, "finish_reason": "content_filter"}, ""),
        ({"message": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}, "I will not."),
        ({"message": {"content": "half \ud83d of it"}, "finish_reason": "stop"}, "half ? of it"),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_is_unparsed(project, serve, choice, output):
    server = serve((200, answer(choices=[choice], usage=None), {}))
    evaluate(served(project, server, "model.on_unanswered=count"), project / "run", QUIET)
    found = rows(project / "run")
    assert {r["output"] for r in found} == {output}
    assert {r["correct"] for r in found} == {None}
    assert {r["generated_tokens"] for r in found} == {0}


def test_the_same_question_is_asked_once(project, serve):
    write_rows(project / "test.jsonl", things(3, 100) * 4)
    server = serve(reply)
    evaluate(served(project, server), project / "run", QUIET)
    assert len(rows(project / "run")) == 24
    assert len(server.requests) == 1 + 6


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"path": "m", "base_url": "localhost:8000"}, "base_url of a language model is no URL: 'localhost:8000'; write it like http"),
        ({"path": "m", "base_url": "http://me:secret@host/v1"}, "base_url of a language model takes a plain URL"),
        ({"path": "m", "base_url": "http://host/v1?key=secret"}, "base_url of a language model takes a plain URL"),
        ({"path": "m", "base_url": "http://host:99999/v1"}, "base_url of a language model is no URL"),
        ({"path": "m", "base_url": "http://h/v1", "key": "sk-secret"}, "'key' of a language model takes the name of the environment"),
        ({"path": "m", "base_url": "http://h/v1", "adapter": "a"}, "model.adapter: a model behind an endpoint is used"),
        ({"path": "m", "base_url": "http://h/v1", "paralel": 3}, "model.paralel is unknown; did you mean 'parallel'?"),
        ({"path": "m", "base_url": "http://h/v1", "parallel": 0}, "model.parallel: Input should be"),
        ({"path": "m", "parallel": 3}, "model.base_url is missing"),
        ({"base_url": "http://h/v1"}, "model.path is missing"),
        ({"local": 1}, "model.local is unknown"),
        ({"served": 1, "path": "m", "base_url": "http://h/v1"}, "model.served is unknown"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_section_names_its_key_and_no_secret(project, model, message):
    path = project / "wrong.yaml"
    path.write_text(json.dumps({"model": model, "task": {"name": "piqa"}}))
    with pytest.raises(UserError) as error:
        load_config(path)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_a_config_made_in_code_keeps_the_form_of_its_model():
    model = ServedModel(path="m", base_url="http://h/v1")
    assert Config(model=model, task=TaskConfig(name="piqa")).model == model


def lettered(project, server, *overrides):
    return served(project, server, "task.answer=letter", "evaluation.mode=likelihood", *overrides)


def test_the_likelihood_of_letters_is_that_of_the_model_itself(project, serve, monkeypatch):
    """A server that computes: the tiny network's next-token distribution, its 20 likeliest tokens told."""
    import torch

    from paft.models.chat import ChatFormat

    monkeypatch.setattr(completions, "LEAST_MASS", 0)  # a random network does not prefer letters
    model, tokenizer = make_model(), make_tokenizer()
    chat = ChatFormat(tokenizer)

    def tell(body):
        texts = {m["role"]: m["content"] for m in body["messages"]}
        [ids] = chat.prompts([Conversation(texts["user"], texts.get("system"))])
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        letters = [tokenizer.convert_tokens_to_ids(letter) for letter in "AB"]
        chosen = [*scores.topk(body["top_logprobs"] - 2).indices.tolist(), *letters]  # C only where it is likely
        return likeliest(*((tokenizer.decode([i]), float(scores[i])) for i in dict.fromkeys(chosen)))

    server = serve(tell)
    overrides = ["task.answer=letter", "evaluation.mode=likelihood"]
    evaluate(load_config(project / "config.yaml", overrides), project / "here", QUIET)
    evaluate(lettered(project, server, "model.timeout=60"), project / "there", QUIET)
    for one, other in zip(rows(project / "here"), rows(project / "there"), strict=True):
        assert (one["prompt_id"], one["example_id"]) == (other["prompt_id"], other["example_id"])
        assert one["scores"][:2] == pytest.approx(other["scores"][:2], abs=1e-4)
    body = server.requests[-1][0]
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)


def test_a_letter_that_is_not_told_is_less_likely_and_few_of_the_mass_are_no_answer(project, serve, capsys):
    def tell(body):
        if "thing 103" in asked_for(body):
            return likeliest(("The", -0.1), (" A", -3.0))
        return likeliest(("The", -0.9), ("B", -1.0), ("A", -2.0), (" B", -2.0), ("B", -1.0))

    evaluate(lettered(project, serve(tell)), project / "run", Console())
    found = rows(project / "run")
    assert {r["prediction"] for r in found if r["example_id"] != "3"} == {"B"}
    assert found[0]["scores"] == pytest.approx([-2.0, math.log(math.exp(-1) + math.exp(-2)), -float("inf")])
    assert {r["prediction"] for r in found if r["example_id"] == "3"} == {None}
    said = " ".join(capsys.readouterr().err.split())
    assert "the letters hold 54% of the first token's probability on average; less than 50% in 2 of 12" in said


def test_a_model_that_writes_a_space_before_its_letter_is_right(project, serve):
    def tell(body):
        number = int("".join(c for c in asked_for(body) if c.isdigit()))
        right, wrong = "ABC"[number % 3], "ABC"[(number + 1) % 3]
        return likeliest((f" {right}", -0.7), (f" {wrong}", -1.6), ("\n", -2.5), (wrong, -6.2), (f"({right}", -3))

    evaluate(lettered(project, serve(tell)), project / "run", QUIET)
    assert all(r["correct"] for r in rows(project / "run"))


def test_an_answer_that_begins_with_no_letter_at_all_is_refused_by_the_first_question(project, serve):
    server = serve(likeliest(("The", -0.1), ("\n", -3.0)))
    with pytest.raises(
        UserError, match=r"one of the letters A, B, C \(likeliest: 'The' 0\.90.*set evaluation\.mode=gen"
    ):
        evaluate(lettered(project, server), project / "run", QUIET)
    assert len(server.requests) == 1
    assert not (project / "run").exists()


@pytest.mark.parametrize(
    "text",
    ["Invalid value for 'top_logprobs': must be less than or equal to 5.", "Requested sample logprobs of 20, which is greater than max allowed: 5"],
)  # fmt: skip
def test_the_limit_of_top_logprobs_is_shown_with_the_setting_to_take(project, serve, text):
    def limited(body):
        return likeliest(("A", -0.1)) if body["top_logprobs"] <= 5 else error(400, text)

    server = serve(limited)
    with pytest.raises(UserError, match=rf"{re.escape(text[:40])}.*set model\.request={{top_logprobs: 5}}"):
        evaluate(lettered(project, server), project / "run", QUIET)
    evaluate(lettered(project, server, "model.request={top_logprobs: 5}"), project / "run", QUIET)
    assert {r["prediction"] for r in rows(project / "run")} == {"A"}


def test_a_run_goes_on_where_the_server_has_moved(project, serve):
    first = serve(*[reply] * 8, (500, {}, {}))
    with pytest.raises(WorkError):
        evaluate(served(project, first, retries=0), project / "run", QUIET)
    kept = (project / "run/answers.jsonl").read_bytes().count(b"\n")
    second = serve(reply)
    evaluate(served(project, second), project / "run", QUIET)
    assert len(second.requests) == 12 - kept
    third = serve(reply)
    evaluate(served(project, third), project / "run", QUIET)
    assert not third.requests


@pytest.mark.parametrize(
    "change", ["model.path=other", "model.request={top_p: 0.5}", "evaluation.max_new_tokens=9"]
)
def test_answers_of_another_model_or_to_another_request_are_not_taken(project, serve, change):
    server = serve(*[reply] * 4, (500, {}, {}))
    with pytest.raises(WorkError):
        evaluate(served(project, server, "model.parallel=1", retries=0), project / "run", QUIET)
    server.replies[:] = [reply]
    asked = len(server.requests)
    evaluate(served(project, server, change), project / "run", QUIET)
    assert len(server.requests) - asked == 12


def test_an_answer_ends_before_a_stop_string_whatever_the_server_does_with_it(tmp_path, serve):
    server = serve((200, answer("red\nQ: next"), {}), (200, answer("blue END"), {}), (200, answer("green"), {}))
    model = EndpointModel(Endpoint("m", server.url, parallel=1), tmp_path / "answers.jsonl")
    asked = [Conversation(text) for text in "abc"]
    [[a], [b], [c]] = model.generate(asked, 9, ["\nQ:", " END"])
    assert [a.text, b.text, c.text] == ["red", "blue", "green"]
    assert server.requests[0][0]["stop"] == ["\nQ:", " END"]
    assert len(list(model.generate(asked, 9, ["\nQ:", " END"]))) == len(server.requests) == 3
    list(model.generate(asked, 9))
    assert len(server.requests) == 6
    assert "stop" not in server.requests[-1][0]


KEPT = {
    "94144761ed64f43683d6d1001a6eb137": {"text": "red", "finish": "stop"},
    "64b52bdaa9eb964441165bd1223899a3": {"text": " A", "first": {" A": -0.1}, "finish": "length"},
    "b9fd7d8b232bc43841d9c0a4eaa91f9f": {"text": "red", "finish": "stop"},
    "5cac7e826f9b0a3654235987d8c17f74": {"text": " red", "echoed": [[" red", -4.0]]},
    "14f439b61bb1db1f522e7203915e397b": {"text": " blue", "echoed": [[" bl", -2.0], ["ue", -3.0]]},
}
"""Five answers as earlier versions have kept them: two of chat completions, three of text completions."""


def test_answers_that_an_earlier_version_kept_are_not_asked_for_again(tmp_path, serve):
    server, file = serve(reply), tmp_path / "answers.jsonl"
    counts = {"prompt_tokens": 7, "completion_tokens": 3, "seconds": 0.1}
    write_rows(file, [{"key": key, "first": None, **counts, **kept} for key, kept in KEPT.items()])
    endpoint, ask = Endpoint("m", server.url, request={"top_p": 0.5}), [Conversation("Which?", "Be brief.")]
    chat, plain = EndpointModel(endpoint, file), EndpointModel(endpoint, file, prompts=PlainText())
    for model in (chat, plain):
        [[written]] = model.generate(ask, 9, ["\n"])
        assert written.text == "red"
    assert list(chat.score(ask, [["A", "B"]])) == [[[-0.1, -math.inf]]]
    assert list(plain.score(ask, [["red", "blue"]])) == [[[-4.0, -5.0]]]
    assert not server.requests


@pytest.mark.parametrize(
    ("overrides", "reply_"),
    [
        (["evaluation.mode=likelihood"], reply),
        (["evaluation.mode=likelihood", "task.answer=letter"], reply),
        (
            ["evaluation.mode=likelihood", "task.answer=letter"],
            (422, {"error": {"message": "Unsupported fields in the request: {'logprobs'}"}}, {}),
        ),
    ],
    ids=["texts", "not told", "refused"],
)
def test_likelihoods_that_cannot_be_known_are_refused_with_the_setting_to_take(project, serve, overrides, reply_):
    with pytest.raises(UserError, match=r"set evaluation\.mode=generate"):
        evaluate(served(project, serve(reply_), *overrides), project / "run", QUIET)
    assert not (project / "run").exists()


@pytest.mark.slow
@pytest.mark.embedded
def test_a_real_server_gives_the_answers_of_the_model_in_process(project, embedded, real_server):
    """``transformers serve`` and the engine, both in float32: the same texts, the same count of tokens."""
    url, folder = real_server
    write_rows(project / "test.jsonl", things(3, 100))
    generate = ["evaluation.mode=generate", "evaluation.max_new_tokens=12"]
    here = load_config(project / "config.yaml", [f"model.path={embedded}", *generate])
    evaluate(here, project / "here", QUIET)
    path = project / "served.yaml"
    text = (project / "config.yaml").read_text().split("\n", 1)[1]
    path.write_text(f"model: {json.dumps({'path': folder, 'base_url': url, 'parallel': 2})}\n{text}")
    evaluate(load_config(path, generate), project / "there", QUIET)
    assert rows(project / "there") == rows(project / "here")
    likelihood = load_config(path, ["task.answer=letter", "evaluation.mode=likelihood"])
    with pytest.raises(UserError, match=r"logprobs.*set evaluation\.mode=generate"):
        evaluate(likelihood, project / "other", QUIET)
    plain = "model.chat_template=none"
    evaluate(
        load_config(project / "config.yaml", [f"model.path={embedded}", plain, *generate]),
        project / "here-plain",
        QUIET,
    )
    evaluate(load_config(path, [plain, *generate]), project / "there-plain", QUIET)
    assert rows(project / "there-plain") == rows(project / "here-plain")
    with pytest.raises(UserError, match=r"vLLM; otherwise set evaluation\.mode=generate"):
        evaluate(load_config(path, [plain, "evaluation.mode=likelihood"]), project / "other", QUIET)
    model = EndpointModel(Endpoint(folder, url, timeout=120), project / "stop.jsonl")
    ask = Conversation("Count: one, two, three, four, five, six. Repeat this line word for word.")
    [[whole]], [[cut]] = model.generate([ask], 24), model.generate([ask], 24, [","])
    assert "," in whole.text
    assert (cut.text, cut.finish) == (whole.text.split(",")[0], "stop")
