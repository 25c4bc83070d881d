"""Why a request failed: which faults pass, which concern one message, and which concern them all."""

import re
from typing import Any

from paft.models.client import ModelError
from paft.models.replies import ErrorReplyError, words

_FILTER = re.compile(
    r"content[_ ]?(filter|policy|management)|content exists risk|responsible ?ai|moderation|\bflagged\b"
    r"|data_inspection_failed|inappropriate content|prohibited_content|usage polic|considered high risk"
    r"|\bunsafe\b|sensitive (content|information)|safety (system|filter|setting|reason|polic)|guardrail"
    r"|invalid_prompt",
    re.IGNORECASE,
)
"""How providers name the refusal of their content filter (Azure, OpenAI, OpenRouter, DeepSeek, Alibaba, ...)."""

_SYSTEM = re.compile(
    r"system[^.]{0,30}\b(role|message|prompt|instruction)|\broles?\b[^.]{0,60}\bsystem\b|roles must alternate"
    r"|developer instruction",
    re.IGNORECASE,
)
"""How servers say that a model takes no system message (vLLM, llama.cpp, OpenAI, Google)."""

_ECHO = re.compile(r"(?<!\w)['\"]?input(?:_value)?['\"]?\s?[:=].*", re.DOTALL)
"""Where the error of a server that checks requests with pydantic repeats the message, which is anyone's text."""

_NAME = r"\b(max_tokens|temperature|seed)\b"
_NO_PARAMETER = re.compile(
    rf"unsupported (?:parameter|value)\W{{1,4}}{_NAME}"
    rf"|{_NAME}.{{1,40}}?(?:not support|not permitted|deprecated)",
    re.IGNORECASE,
)
"""How endpoints say that a model takes no such parameter, or not its value (OpenAI, Mistral, ...)."""

NO_KEY = (401, 403)
ABOUT_THE_REQUEST = (400, 403, 413, 422, 451)
"""Statuses with which a message may be refused; others take the same request."""
PASSING = (408, 409, 429)
"""Statuses that may pass, as all from 500 on."""


def passes(status: int | None) -> bool:
    """Return True if the same request may succeed later."""
    return status is None or status in PASSING or status >= 500


def refuses_system(error: ModelError) -> bool:
    """Return True if an endpoint says that it takes no system message."""
    return error.status in (400, 422, 500, 501) and _SYSTEM.search(str(error)) is not None


def refuses_stop(error: ModelError) -> bool:
    """Return True if an endpoint says that it takes no such list of ``stop`` strings."""
    return error.refused and re.search(r"\bstop\b", str(error)) is not None


class ErrorTranslator:
    """Turns what a client library raises into a :class:`ModelError` of one line that never holds the API key.

    Args:
        where: the model and its address, which each line begins with.
        key: the environment variable that holds the API key.
        secret: the API key.
    """

    def __init__(self, where: str, key: str | None, secret: str | None):
        self.where, self._key, self._secret = where, key, secret

    def of(self, error: Exception) -> ModelError:
        """Return what an error means."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        if isinstance(error, APITimeoutError):
            return ModelError(f"{self.where}: no answer in time", final=False)
        if isinstance(error, APIConnectionError):
            cause = error.__cause__ or error
            no_server = type(cause).__name__ == "ConnectError"  # otherwise a server closed the connection
            return ModelError(f"{self.where}: no connection ({self._line(cause)})", final=no_server)
        if isinstance(error, APIStatusError):
            body = error.body
            return self._of_status(error.status_code, words(body) if isinstance(body, dict) else str(error), body)
        if isinstance(error, ErrorReplyError):
            if error.status is not None:
                return self._of_status(error.status, str(error), error.error)
            filtered = _FILTER.search(str(error.error)) is not None
            line = f"{self.where}: it answers with an error ({self._line(error)})"
            return ModelError(line, final=False, filtered=filtered)
        line = f"{self.where}: not an answer of a completion ({self._line(error)})"
        return ModelError(line, final=False, unreadable=True)

    def _of_status(self, status: int, text: str, body: Any) -> ModelError:
        refused = status in ABOUT_THE_REQUEST
        filtered = refused and any(_FILTER.search(_ECHO.sub("", part)) for part in (text, str(body)))
        if status in NO_KEY and not filtered:
            fix = (
                f"check the key in ${self._key}"
                if self._key
                else "it requires an API key; name its variable in 'key'"
            )
            return ModelError(f"{self.where}: refused with status {status}; {fix}", final=True, status=status)
        line = f"{self.where}: status {status} ({self._line(text)}){self._fix(status, text)}"
        return ModelError(line, final=status == 404, refused=refused, filtered=filtered, status=status)

    def _fix(self, status: int, text: str) -> str:
        """Return the setting to change; nothing where the error does not show it."""
        if status == 404 and not re.search(r"/v\d\w*/?$", self.where):
            return "; check base_url, which ends in /v1 at most servers"
        if status in ABOUT_THE_REQUEST and (refused := _NO_PARAMETER.search(text)):
            name = refused[1] or refused[2]
            instead = ", max_completion_tokens: 256" if "max_completion_tokens" in text else ""
            return f"; set the key request of the model to {{{name}: null{instead}}}"
        return ""

    def _line(self, error: object) -> str:
        """Return the beginning of an error's text on one line, never with the key in it."""
        text = " ".join(str(error).split())
        if self._secret:
            text = text.replace(self._secret, f"${self._key}")
        return text[:300]
