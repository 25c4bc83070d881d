"""What a reply of an OpenAI-compatible endpoint holds; a server that calls itself compatible may send anything."""

import math
from collections.abc import Mapping
from typing import Any

from paft.models.client import Completion
from paft.types import Finish
from paft.utils.io import encodable

FINISH: dict[str, Finish] = {
    **dict.fromkeys(("stop", "stop_sequence", "eos", "eos_token", "end_turn"), "stop"),
    **dict.fromkeys(("length", "max_tokens"), "length"),
    **dict.fromkeys(
        ("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "refusal"), "refused"
    ),
}
"""What ``finish_reason`` means, in lower case; OpenAI's names, and those of other servers."""

THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Fields of a message that hold a model's thoughts. They are not the answer."""


class ErrorReplyError(Exception):
    """A reply of status 200 that is an error.

    Attributes:
        error: the error object, or the text beside ``finish_reason: error``.
        status: the HTTP status that the object names; None where it names none.
    """

    def __init__(self, error: Any):
        self.error = error
        code = str(error.get("code", error.get("status"))) if isinstance(error, Mapping) else ""
        self.status = int(code) if code.isascii() and code.isdecimal() and 400 <= int(code) < 600 else None
        super().__init__(words(error))


def words(error: Any) -> str:
    """Return what an error object says, or the whole object where it has no message."""
    message = error.get("message") if isinstance(error, Mapping) else None
    return message if isinstance(message, str) and message.strip() else str(error)


def read_chat(reply: Any, *, first_tokens: bool = False) -> Completion:
    """Return the answer of a chat completion.

    Args:
        first_tokens: log-probabilities of the first token were requested.

    Raises:
        ErrorReplyError: it is an error in spite of its status.
        ValueError: it holds no answer.
    """
    choice = _choice(reply)
    text = _message_text(choice)
    return Completion(
        encodable(text),
        *_usage(reply),
        _first_tokens(choice) if first_tokens else None,
        _finish(choice),
    )


def read_text(reply: Any) -> Completion:
    """Return the answer of a text completion.

    Raises:
        ErrorReplyError, ValueError: as :func:`read_chat`.
    """
    choice = _choice(reply)
    if not isinstance(choice.text, str):
        raise ValueError("it holds no text")
    return Completion(encodable(choice.text), *_usage(reply), finish=_finish(choice))


def read_echo(reply: Any) -> tuple[list[str], list[float | None], list[int]]:
    """Return the tokens of an echoed prompt, their log-probabilities and their places in the text.

    What the model wrote after the prompt is at the end of all three.

    Raises:
        ErrorReplyError, ValueError: as :func:`read_chat`.
    """
    logprobs = getattr(_choice(reply), "logprobs", None)
    tokens = list(getattr(logprobs, "tokens", None) or [])
    values = list(getattr(logprobs, "token_logprobs", None) or [])
    places = list(getattr(logprobs, "text_offset", None) or [])
    if not tokens or len(tokens) != len(values):
        raise ValueError("it echoes no log-probabilities")
    return [str(token) for token in tokens], [None if v is None else float(v) for v in values], places


def prompt_tokens(reply: Any) -> int:
    """Return how many tokens the endpoint read; 0 where it does not say."""
    return _usage(reply)[0]


def _choice(reply: Any) -> Any:
    if isinstance(reply, str):  # such as the page of a web interface, or of a proxy
        raise ValueError(f"no JSON but the text {' '.join(reply[:60].split())!r}; check base_url")
    if error := getattr(reply, "error", None):
        raise ErrorReplyError(error)
    choices = getattr(reply, "choices", None)
    choice = choices[0] if choices else None
    if choice is None:
        raise ValueError("it holds no text")
    if getattr(choice, "finish_reason", None) == "error" or getattr(choice, "error", None):
        partial = getattr(getattr(choice, "message", None), "content", None) or getattr(choice, "text", None)
        raise ErrorReplyError(getattr(choice, "error", None) or partial or "finish_reason is error")
    return choice


def _message_text(choice: Any) -> str:
    content = choice.message.content
    if isinstance(content, list):
        content = "".join(_part_text(part) for part in content)
    if isinstance(content, str):
        return content
    if content is not None:
        raise ValueError("it holds no text")
    refusal = getattr(choice.message, "refusal", None)
    if isinstance(refusal, str) and refusal:
        return refusal
    is_cut = _finish(choice) in ("length", "refused")  # in thoughts not shown, or for its words
    if is_cut or any(getattr(choice.message, name, None) for name in THOUGHTS):
        return ""
    raise ValueError("it holds no text")


def _part_text(part: Any) -> str:
    """Return the text of one part of a message; a thought has another type, and so no text."""
    if isinstance(part, str):
        return part
    kind, text = (
        (part.get("type"), part.get("text"))
        if isinstance(part, Mapping)
        else (getattr(part, "type", None), getattr(part, "text", None))
    )
    return text if kind in ("text", "output_text", None) and isinstance(text, str) else ""


def _finish(choice: Any) -> Finish | None:
    """Return why a model stopped; what follows a colon is a detail, as in ``content_filter: SAFETY``."""
    reason = str(getattr(choice, "finish_reason", None)).partition(":")[0]
    return FINISH.get(reason.strip().lower())


def _usage(reply: Any) -> tuple[int, int]:
    usage = getattr(reply, "usage", None)
    counts = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    read, written = (count if isinstance(count, int) and 0 <= count < 2**31 else 0 for count in counts)
    return read, written


def _first_tokens(choice: Any) -> dict[str, float]:
    """Return the log-probabilities of the first token by its text; tokens of one text are summed."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None) or []
    top = getattr(tokens[0], "top_logprobs", None) or [] if tokens else []
    first: dict[str, float] = {}
    for text, value in dict.fromkeys((token.token, float(token.logprob)) for token in top):  # one may be repeated
        first[text] = log_sum((first.get(text, -math.inf), value))
    return first


def log_sum(values: Any) -> float:
    """Return the logarithm of the sum of probabilities that are given by their logarithms."""
    values = [value for value in values if value > -math.inf]
    highest = max(values, default=-math.inf)
    return highest + math.log(sum(math.exp(value - highest) for value in values)) if values else highest
