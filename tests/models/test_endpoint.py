"""Endpoints: a local server that misbehaves on purpose, and a real one that serves the embedded model."""

import json
import socket

import pytest

from command import paft, paft_here
from endpoints import AZURE_FILTER, OK, Server, answer, error, pool
from paft.models.client import ModelError
from paft.models.endpoint import Endpoint
from paft.prompts.instruct import SCHEMA
from paft.types import Conversation

ASK = Conversation("Write.", "Be brief.")
SECRET = "sk-do-not-print-me-0123456789"


@pytest.fixture
def serve():
    servers = []

    def start(*replies, **arguments):
        server = Server(*replies)
        servers.append(server)
        return server, Endpoint("m", server.url, **({"timeout": 0.5, "retries": 2} | arguments))

    yield start
    for server in servers:
        server.shutdown()


def ask(endpoint, **changes):
    return endpoint.complete(
        ASK, **({"max_tokens": 50, "temperature": 1.0, "seed": 3, "schema": SCHEMA} | changes)
    )


def test_a_request_holds_what_was_asked_and_the_answer_its_cost(serve):
    server, endpoint = serve(OK, request={"top_p": 0.9, "seed": None})
    found = ask(endpoint)
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("fine", 7, 3)
    [(body, _, _)] = server.requests
    assert [m["content"] for m in body["messages"]] == ["Be brief.", "Write."]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (body["model"], body["top_p"], body["max_tokens"]) == ("m", 0.9, 50)
    assert "seed" not in body


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"error": {"message": "slow down"}}, {"Retry-After": "0.2"}),
        (500, {"error": {}}, {}),
        (503, b"<html>", {}),
        (200, b'{"id": "1", "choices": [{"index": 0, "mess', {}),
        "hang",
        "cut",
    ],
    ids=["429", "500", "503", "JSON cut off", "hang", "cut"],
)
def test_a_fault_that_passes_is_tried_again(serve, fault):
    server, endpoint = serve(fault, OK)
    assert ask(endpoint).text == "fine"
    assert len(server.requests) == 2


def test_retry_after_is_waited_for(serve):
    server, endpoint = serve((429, {}, {"Retry-After": "1"}), OK)
    ask(endpoint)
    assert server.requests[1][2] - server.requests[0][2] > 0.95


@pytest.mark.parametrize(
    ("fault", "final", "said"),
    [
        ("hang", False, "no answer in time"),
        ("cut", False, "no connection"),
        ((500, {"error": {"message": "boom"}}, {}), False, "status 500"),
        ((404, {"error": {"message": "model m does not exist"}}, {}), True, "does not exist"),
        ((401, {"error": {"message": f"wrong key {SECRET}"}}, {}), True, "check the key in \\$TEST_KEY"),
        ((200, b"this is not JSON", {}), False, "not an answer"),
        (
            (200, b"<html>\n<title>Chat</title>", {"Content-Type": "text/html"}),
            False,
            "the text '<html> <title>Chat.*check base_url",
        ),
        ((200, b"", {}), False, "not an answer"),
        ((200, b"[" * 100_000, {}), False, "not an answer"),
        ((200, b"junk", {"Content-Encoding": "gzip"}), False, "no connection|not an answer"),
        ((200, answer(choices={"a": 1}), {}), False, "not an answer"),
        ((200, {"hello": [1, 2]}, {}), False, "not an answer"),
        ((200, [1, 2], {}), False, "not an answer"),
        ((200, answer(choices=[]), {}), False, "holds no text"),
        ((200, answer(None), {}), False, "holds no text"),
        ((200, answer(choices="x"), {}), False, "not an answer"),
    ],
)
def test_a_fault_that_stays_is_one_line_without_the_key(serve, monkeypatch, fault, final, said):
    monkeypatch.setenv("TEST_KEY", SECRET)
    server, endpoint = serve(fault, key="TEST_KEY", retries=1)
    with pytest.raises(ModelError, match=said) as caught:
        ask(endpoint)
    assert caught.value.final is final
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.requests[0][1]["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "{max_tokens: null, max_completion_tokens: 256}",
        ),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "{temperature: null}"),
        ("[{'loc': ['body', 'seed'], 'msg': 'Extra inputs are not permitted'}]", "{seed: null}"),
        ("`temperature` is deprecated for this model.", "{temperature: null}"),
    ],
)
def test_a_refused_parameter_names_the_setting_that_leaves_it_out(serve, said, setting):
    _, endpoint = serve((400, {"error": {"message": said}}, {}))
    with pytest.raises(ModelError) as refused:
        ask(endpoint, schema=None)
    assert str(refused.value).endswith(f"; set the key request of the model to {setting}")
    assert refused.value.refused


@pytest.mark.parametrize(("path", "hint"), [("", True), ("/v1", False), ("/v1/chat/completions", True)])
def test_a_404_says_how_a_base_url_ends(path, hint):
    server = Server((404, b"404 page not found", {}))
    endpoint = Endpoint("m", server.url.removesuffix("/v1") + path, retries=0)
    with pytest.raises(ModelError, match="status 404") as refused:
        ask(endpoint, schema=None)
    assert ("base_url" in str(refused.value)) == hint
    server.shutdown()


def test_a_rejected_request_that_repeats_the_message_is_not_taken_for_a_content_filter(serve):
    fault = {
        "type": "value_error",
        "msg": "Value error, top_k must be -1 or more",
        "input": {"messages": ["Unsafe?"]},
    }
    for body in (
        {"error": {"message": str([fault])}},
        {"detail": [fault]},
        {"error": {"message": f"{fault['msg']} [input_value={fault['input']}]"}},
    ):
        _, endpoint = serve((400, body, {}))
        with pytest.raises(ModelError) as refused:
            ask(endpoint, schema=None)
        assert (refused.value.refused, refused.value.filtered) == (True, False)


@pytest.mark.parametrize("status", [400, 422, 404])
def test_a_server_without_structured_output_is_asked_without_it_from_then_on(serve, status):
    server, endpoint = serve((status, {"error": {"message": "unknown field response_format"}}, {}), OK)
    assert ask(endpoint).text == ask(endpoint).text == "fine"
    assert ["response_format" in body for body, _, _ in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("refusal", "sent"),
    [(error(400, "too long"), [True, False]), (AZURE_FILTER, [True])],
    ids=["too long", "filter"],
)
def test_a_message_that_is_refused_for_itself_changes_nothing_for_the_others(serve, refusal, sent):
    server, endpoint = serve(*[refusal] * len(sent), OK)
    with pytest.raises(ModelError):
        ask(endpoint)
    assert ask(endpoint).text == "fine"
    assert ["response_format" in body for body, _, _ in server.requests] == [*sent, True]


def test_a_server_that_tells_no_usage_costs_nothing_known(serve):
    _, endpoint = serve((200, answer(usage=None), {}))
    assert ask(endpoint).prompt_tokens == 0


def test_nobody_there_is_final():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ModelError, match="no connection") as caught:
        ask(Endpoint("m", url, retries=0))
    assert caught.value.final


def config(folder, models, **more):
    text = {
        "task": {
            "name": "colours",
            "train": "train.jsonl",
            "test": "test.jsonl",
            "fields": ["thing"],
            "choices": ["red", "green", "blue"],
            "target": "colour",
            "description": "Say which colour a thing has",
        },
        "prompts": {"train": {"generate": {"models": models} | more}, "user": "What colour is {thing}? {choices}"},
    }
    path = folder / "generate.yaml"
    path.write_text(json.dumps(text))
    return path


def test_generation_goes_on_without_a_server_that_is_down_and_says_what_is_missing(serve, project):
    server, _ = serve(*[(200, answer(pool(i)), {}) for i in range(40)])
    path = config(
        project,
        [
            {"model": "up", "base_url": server.url, "key": "A_KEY"},
            {"model": "down", "base_url": "http://127.0.0.1:9/v1", "retries": 0},
        ],
        zero_shot=14,
        few_shot=7,
    )
    first = paft("prompts", "generate", path, "-o", "out", cwd=project, A_KEY=SECRET)
    assert first.returncode == 1, first.stderr
    assert (
        "down, zero-shot: 14 of 14 prompts are missing: down at http://127.0.0.1:9/v1: no connection"
        in first.stderr
    )
    assert "unknown-slot" in first.stdout
    assert "answer-leak" in first.stdout
    train = [json.loads(line) for line in (project / "out/train.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (project / "out/test.jsonl").read_text().splitlines()]
    assert len(train) + len(test) == 21
    assert {p["model"] for p in train} == {"up"}
    asked = len(server.requests)
    second = paft_here("prompts", "generate", path, "-o", "out", cwd=project, A_KEY=SECRET)
    assert len(server.requests) == asked
    assert second.returncode == 1
    everything = first.stdout + first.stderr + "".join(p.read_text() for p in (project / "out").iterdir())
    assert SECRET not in everything


def test_ctrl_c_and_a_missing_key_are_one_line(serve, project):
    path = config(project, [{"model": "m", "base_url": "http://127.0.0.1:9/v1", "key": "NOT_SET_ANYWHERE"}])
    done = paft_here("prompts", "generate", path, "-o", "out", cwd=project)
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert "set the environment variable NOT_SET_ANYWHERE" in done.stderr


@pytest.mark.embedded
def test_a_real_server_is_asked_and_its_tokens_are_counted(real_server):
    url, folder = real_server
    endpoint = Endpoint(folder, url, timeout=120, retries=1)
    found = ask(endpoint, max_tokens=24)
    assert found.text
    assert 0 < found.completion_tokens <= 24
    assert found.prompt_tokens > 5
