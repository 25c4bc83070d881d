"""What an endpoint's reply holds: text parts joined, thoughts left out, errors that come as answers, refusals."""

import contextlib
import json

import pytest

from endpoints import FILTERS, OK, SYSTEM_REFUSALS, Server, answer, error, message
from paft.models.client import ModelError
from paft.models.endpoint import Endpoint
from paft.types import Conversation

ASK = Conversation("Write.", "Be brief.")


@pytest.fixture
def serve():
    servers, lines = [], []

    def start(*replies, **arguments):
        server = Server(*replies)
        servers.append(server)
        return (
            server,
            Endpoint("m", server.url, say=lines.append, **({"timeout": 5, "retries": 1} | arguments)),
            lines,
        )

    yield start
    for server in servers:
        server.shutdown()


def ask(endpoint, conversation=ASK, **more):
    return endpoint.complete(conversation, max_tokens=50, temperature=0, **more)


@pytest.mark.parametrize(
    ("reply", "text", "finish"),
    [
        (message(content=[{"type": "text", "text": "The answer "}, {"type": "text", "text": "is B."}]), "The answer is B.", "stop"),
        (message(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "B? A?"}]}, {"type": "text", "text": "A"}]), "A", "stop"),
        (message(content=["a", "b"]), "ab", "stop"),
        (message(content=[]), "", "stop"),
        (message(content=None, reasoning_content="I think it is B."), "", "stop"),
        (message("length", content=None, reasoning="I think"), "", "length"),
        (message("length", content=None), "", "length"),
        (message("length", content=""), "", "length"),
        (message("max_tokens", content="red a"), "red a", "length"),
        (message("eos_token", content="red"), "red", "stop"),
        (message("content_filter", content=None), "", "refused"),
        (message("content_filter: PROHIBITED_CONTENT", content=None), "", "refused"),
        (message("SAFETY", content="The answer"), "The answer", "refused"),
        (message("MAX_TOKENS", content=None), "", "length"),
        (message(content="A", reasoning_content="I think it is B."), "A", "stop"),
    ],
)  # fmt: skip
def test_text_is_joined_and_thoughts_are_not_the_answer(serve, reply, text, finish):
    _, endpoint, _ = serve(reply)
    completion = ask(endpoint)
    assert (completion.text, completion.finish) == (text, finish)


ERRORS = {
    "finish_reason": message("error", content=""),
    "finish_reason with a text": message("error", content="upstream is gone"),
    "error object": (200, {"error": {"message": "upstream is gone", "code": 502}}, {}),
    "error text": (200, {"error": "upstream is gone"}, {}),
    "error in the choice": (200, answer(choices=[{"index": 0, "message": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "upstream is gone"}}]), {}),
}  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("reply", ERRORS.values(), ids=ERRORS)
def test_an_error_with_status_200_is_no_answer_and_is_tried_again(serve, reply):
    server, endpoint, _ = serve(reply)
    with pytest.raises(ModelError, match=r"upstream is gone|finish_reason is error") as caught:
        ask(endpoint)
    assert not caught.value.final
    assert len(server.requests) == 2
    server, endpoint, _ = serve(reply, OK)
    assert ask(endpoint).text == "fine"


def test_an_error_with_status_200_that_names_a_status_is_taken_as_that_status(serve):
    server, endpoint, _ = serve((200, {"error": {"code": 401, "message": "no such user"}}, {}))
    with pytest.raises(ModelError, match="refused with status 401") as caught:
        ask(endpoint)
    assert caught.value.final
    assert len(server.requests) == 1
    _, endpoint, _ = serve((200, {"error": {"code": "400", "message": "prompt is too long"}}, {}))
    with pytest.raises(ModelError, match=r"status 400 \(prompt is too long\)") as caught:
        ask(endpoint)
    assert (caught.value.final, caught.value.refused, caught.value.filtered) == (False, True, False)


@pytest.mark.parametrize("reply", FILTERS.values(), ids=FILTERS)
def test_a_content_filter_is_told_from_other_refusals(serve, reply):
    server, endpoint, _ = serve(reply)
    with pytest.raises(ModelError) as caught:
        ask(endpoint)
    assert (caught.value.filtered, caught.value.final) == (True, False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("text", ["maximum context length is 4096 tokens", "max_tokens is not supported", "invalid value for top_p"])  # fmt: skip
def test_another_refusal_is_no_content_filter(serve, text):
    _, endpoint, _ = serve(error(400, text))
    with pytest.raises(ModelError) as caught:
        ask(endpoint)
    assert (caught.value.filtered, caught.value.refused, caught.value.final) == (False, True, False)


@pytest.mark.parametrize("refusal", SYSTEM_REFUSALS.values(), ids=SYSTEM_REFUSALS)
def test_where_the_system_role_is_refused_its_text_begins_the_users(serve, refusal):
    def reply(body):
        return (
            refusal
            if body["messages"][0]["role"] == "system"
            else (200, answer(body["messages"][0]["content"]), {})
        )

    server, endpoint, lines = serve(reply, retries=0)
    assert ask(endpoint).text == "Be brief.\n\nWrite."
    assert ask(endpoint).text == "Be brief.\n\nWrite."
    assert ask(endpoint, Conversation("Only this.")).text == "Only this."
    assert len(server.requests) == 4
    [line] = lines
    assert "the system text of a prompt is sent at the beginning of the user's message" in line


def test_another_refusal_leaves_the_system_role_alone(serve):
    server, endpoint, lines = serve(error(400, "the system is overloaded"), OK, retries=0)
    with pytest.raises(ModelError):
        ask(endpoint)
    ask(endpoint)
    assert [m["role"] for m in server.requests[-1][0]["messages"]] == ["system", "user"]
    assert not lines


@pytest.mark.parametrize(
    ("most", "sent", "line"),
    [(9, [6], None), (4, [6, 4, 4], "no more than 4 stop strings"), (0, [6, 4, 0, 0], "takes no stop strings")],
)
def test_stop_strings_beyond_the_endpoints_limit_are_not_sent(serve, most, sent, line):
    def reply(body):
        count = len(body.get("stop", ()))
        return error(400, "Invalid 'stop': array too long") if count > most else OK

    server, endpoint, lines = serve(reply)
    stop = [f"\n{i}" for i in range(6)]
    ask(endpoint, stop=stop)
    if line:
        ask(endpoint, stop=stop)
        assert line in lines[-1]
    assert [len(body.get("stop", ())) for body, _, _ in server.requests] == sent


def test_a_reply_of_any_shape_is_an_answer_or_a_model_error(serve):
    shapes = [
        None,
        0,
        "x",
        [],
        {},
        {"message": None},
        {"message": {"content": 3}},
        {"message": {"content": {"a": 1}}},
        {"text": 1},
    ]
    for shape in shapes:
        for whole in (shape, {"choices": shape}, {"choices": [shape]}, {"error": shape, "choices": [shape]}):
            _, endpoint, _ = serve((200, json.dumps(whole).encode(), {}), retries=0)
            for call in (lambda e=endpoint: ask(e), lambda e=endpoint: e.continue_text("x", max_tokens=3)):
                with contextlib.suppress(ModelError):
                    assert isinstance(call().text, str)
