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
        threading.Thread(target=self.serve_forever, daemon=True).start()

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


def pool(call):
    """Ten prompts; some of them are not fit."""
    good = [f"{' '.join(f'w{call}x{i}y{k}' for k in range(5))} {{thing}}" for i in range(7)]
    return json.dumps({"prompts": [*good, "no slot", "Is it red? {thing}", "{thing} {__class__}"]})
