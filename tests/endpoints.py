"""A local server that speaks the protocol of chat completions, and misbehaves on purpose."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(text="fine", **changes):
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    } | changes


class Server(ThreadingHTTPServer):
    """Plays a list of replies, the last one for ever.

    A reply is ``(status, body, headers)``, ``"hang"``, ``"cut"``, or a function that makes one of the request's body.
    """

    daemon_threads = True

    def __init__(self, *replies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies, self.requests = list(replies), []
        self.under_way = self.most_under_way = 0
        self.counting = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.counting:
            server.requests.append((body, {k.lower(): v for k, v in self.headers.items()}, time.monotonic()))
            reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            self.play(reply(body) if callable(reply) else reply)
        finally:
            with server.counting:
                server.under_way -= 1

    def play(self, reply):
        if reply == "hang":
            time.sleep(2)
            return
        if reply == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, content, headers = reply
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(data))} | headers
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


OK = (200, answer(), {})


def message(finish="stop", **fields):
    """Return a reply whose message has these fields."""
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish}
    return 200, answer(choices=[choice]), {}


def error(status, text, **fields):
    return status, {"error": {"message": text, **fields}}, {}


def likeliest(*tokens):
    """Return a reply that tells its first token's log-probabilities."""
    top = [{"token": t, "logprob": p, "bytes": None} for t, p in tokens]
    logprobs = {"content": [top[0] | {"top_logprobs": top}]}
    choice = {"index": 0, "message": {"content": tokens[0][0]}, "finish_reason": "length", "logprobs": logprobs}
    return 200, answer(choices=[choice]), {}


AZURE_FILTER = error(
    400,
    "The response was filtered due to the prompt triggering the content management policy.",
    code="content_filter",
    innererror={"code": "ResponsibleAIPolicyViolation"},
)
FILTERS = {
    "azure": AZURE_FILTER,
    "openai": error(
        400, "Invalid prompt: it was flagged as potentially violating our usage policy.", code="invalid_prompt"
    ),
    "openrouter": error(403, "Your input was flagged", metadata={"flagged_input": "...", "provider_name": "x"}),
    "deepseek": error(400, "Content Exists Risk", type="invalid_request_error"),
    "alibaba": error(400, "Input data may contain inappropriate content.", code="data_inspection_failed"),
    "status 200": (200, {"error": {"code": 400, "message": "blocked by content_filter"}}, {}),
}
"""How content filters refuse a message."""

SYSTEM_REFUSALS = {
    "vllm": (400, {"object": "error", "message": "System role not supported", "code": 400}, {}),
    "mistral": error(400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    "openai": error(400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    "google": error(400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
    "llama.cpp": error(500, "Jinja Exception: System role not supported"),
}
"""How servers refuse a system message."""


class Computing:
    """Plays /v1/completions with a real model: greedy answers, and the log-probabilities of an echoed prompt.

    Args:
        bos: a token that is shown before the text and echoed, as servers do that add one.
        merges: tokens shown as one, as by a tokenizer that joins the end of a prompt and an option.
    """

    def __init__(self, model, tokenizer, *, bos="", merges=()):
        self.model, self.tokenizer, self.bos, self.merges = model, tokenizer, bos, tuple(merges)
        self.computing = threading.Lock()

    def __call__(self, body):
        import torch

        prompt = body["prompt"]
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"] if isinstance(prompt, str) else prompt
        written, finish = list(ids), "length"
        with self.computing, torch.no_grad():
            for _ in range(body["max_tokens"]):
                scores = self.model(torch.tensor([written])).logits[0].log_softmax(-1)
                written.append(int(scores[-1].argmax()))
                if written[-1] == self.tokenizer.eos_token_id:
                    finish = "stop"
                    break
            values = self.model(torch.tensor([written])).logits[0].log_softmax(-1)
        new = written[len(ids) :]
        text = self.tokenizer.decode(new, skip_special_tokens=True)
        choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
        if body.get("echo"):
            choice["text"] = (prompt if isinstance(prompt, str) else self.tokenizer.decode(ids)) + text
            choice["logprobs"] = self.logprobs(written, values)
        usage = {"prompt_tokens": len(ids) + bool(self.bos), "completion_tokens": len(new), "total_tokens": 0}
        return (
            200,
            {
                "id": "1",
                "object": "text_completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            },
            {},
        )

    def logprobs(self, ids, values):
        tokens = [self.tokenizer.decode([i]) for i in ids]
        scores = [None] + [float(values[k, i]) for k, i in enumerate(ids[1:])]
        if self.bos:
            tokens, scores = [self.bos, *tokens], [None, *scores]
        for left, right in self.merges:
            for k in range(len(tokens) - 2, -1, -1):
                if tokens[k : k + 2] == [left, right]:
                    tokens[k : k + 2], scores[k : k + 2] = [left + right], [scores[k + 1]]
        places = [sum(map(len, tokens[:k])) for k in range(len(tokens))]
        return {"tokens": tokens, "token_logprobs": scores, "text_offset": places, "top_logprobs": None}


def pool(call):
    """Ten prompts; some of them are not fit."""
    good = [f"{' '.join(f'w{call}x{i}y{k}' for k in range(5))} {{thing}}" for i in range(7)]
    return json.dumps({"prompts": [*good, "no slot", "Is it red? {thing}", "{thing} {__class__}"]})
