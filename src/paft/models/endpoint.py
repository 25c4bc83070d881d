"""A model behind an OpenAI-compatible endpoint."""

import math
import os
import re
from collections.abc import Mapping
from typing import Any

from paft.config.schema import EndpointSection
from paft.errors import UserError
from paft.models.client import Completion, ModelError
from paft.types import Conversation, Finish

FINISH: dict[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "refused"}
"""What ``finish_reason`` of a chat completion means."""

NO_SCHEMA = (400, 404, 422)
"""Status codes of servers that do not support a schema."""


class Endpoint:
    """A model behind an OpenAI-compatible endpoint: chat completions.

    Args:
        name: the model's name at the endpoint.
        how: the keys of its section of the config. ``retries`` apply to 408, 409, 429, 5xx, time-outs and lost
            connections, each after a longer wait or after the endpoint's Retry-After.

    Raises:
        UserError: the variable of the API key is not set.
    """

    def __init__(self, name: str, base_url: str, key: str | None = None, **how: Any):
        from openai import OpenAI

        config = EndpointSection(base_url=base_url, key=key, **how)
        self.name, self.parallel, self.base_url = name, config.parallel, base_url
        self._key, self._secret, self._request = key, _secret(key, name), config.request
        self._client = OpenAI(
            api_key=self._secret or "none",
            base_url=base_url,
            max_retries=config.retries,
            timeout=config.timeout,
        )
        self._takes_schema = True

    @classmethod
    def of(cls, name: str, config: EndpointSection) -> "Endpoint":
        """Return the endpoint of a section of the config."""
        assert config.base_url is not None  # the client library would take one of its own
        return cls(name, **{key: getattr(config, key) for key in EndpointSection.model_fields})

    def complete(
        self,
        conversation: Conversation,
        *,
        max_tokens: int,
        temperature: float,
        seed: int | None = None,
        schema: Mapping[str, Any] | None = None,
        first_tokens: int | None = None,
    ) -> Completion:
        """Return the answer; a schema that the endpoint rejects is left out from then on.

        Args:
            first_tokens: request the log-probabilities of this many first tokens.
        """
        from openai import APIStatusError, OpenAIError

        parameters: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "logprobs": True if first_tokens else None,
            "top_logprobs": first_tokens,
        } | self._request
        parameters = {key: value for key, value in parameters.items() if value is not None}
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        try:
            if schema is not None and self._takes_schema:
                try:
                    return _completion(self._send(conversation, parameters | {"response_format": form}))
                except APIStatusError as error:
                    if error.status_code not in NO_SCHEMA:
                        raise
                    self._takes_schema = False  # if the fault lies elsewhere, the request below fails too
            return _completion(self._send(conversation, parameters), tells_first=first_tokens is not None)
        except (OpenAIError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise self._failure(error) from None

    def models(self) -> list[str] | None:
        """Return the names that the endpoint lists; None where it has no such list.

        Raises:
            ModelError: no server answers, or the API key is refused.
        """
        from openai import OpenAIError

        try:
            return [str(model.id) for model in self._client.models.list().data]
        except (OpenAIError, ValueError, TypeError, AttributeError, RecursionError) as error:
            if getattr(error, "status_code", None) in (404, 405, 501) or not isinstance(error, OpenAIError):
                return None
            raise self._failure(error) from None

    def _send(self, conversation: Conversation, parameters: dict[str, Any]) -> Any:
        system = [{"role": "system", "content": conversation.system}] if conversation.system else []
        return self._client.chat.completions.create(
            model=self.name,
            messages=[*system, {"role": "user", "content": conversation.user}],  # type: ignore[list-item]
            extra_body=parameters,  # as they are: an endpoint may know more of them than the client library
        )

    def _failure(self, error: Exception) -> ModelError:
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        where = f"{self.name} at {self.base_url}"
        if isinstance(error, APITimeoutError):
            return ModelError(f"{where}: no answer in time", final=False)
        if isinstance(error, APIConnectionError):
            cause = error.__cause__ or error
            no_server = type(cause).__name__ == "ConnectError"  # otherwise a server closed the connection
            return ModelError(f"{where}: no connection ({self._redacted(cause)})", final=no_server)
        if isinstance(error, APIStatusError):
            status = error.status_code
            if status in (401, 403):
                fix = (
                    f"check the key in ${self._key}"
                    if self._key
                    else "it requires an API key; name its variable in 'key'"
                )
                return ModelError(f"{where}: refused with status {status}; {fix}", final=True)
            refused = status in (400, 404, 422)
            return ModelError(
                f"{where}: status {status} ({self._redacted(error)})", final=refused, refused=refused
            )
        return ModelError(f"{where}: not an answer of a chat completion ({self._redacted(error)})", final=False)

    def _redacted(self, error: BaseException) -> str:
        """Return the beginning of an error's text on one line, never with the key in it."""
        text = " ".join(str(error).split())
        if self._secret:
            text = text.replace(self._secret, f"${self._key}")
        return text[:200]


def _secret(variable: str | None, model: str) -> str | None:
    if variable is None:
        return None
    if not (secret := os.environ.get(variable, "").strip()):
        raise UserError(f"the key of model {model!r} is missing: set the environment variable {variable}")
    if not re.fullmatch(r"[!-~]+", secret):  # else the HTTP library would quote it, escaped, in an error
        raise UserError(f"the key in ${variable} holds spaces, line ends or letters that no key has; set it anew")
    return secret


def _completion(answer: Any, *, tells_first: bool = False) -> Completion:
    """Check the answer's shape: a server that calls itself compatible may send anything."""
    choice = choices[0] if (choices := getattr(answer, "choices", None)) else None
    text = choice.message.content if choice else None
    if choice and text is None:
        cut = choice.finish_reason in ("length", "content_filter")  # in thoughts not shown, or for its words
        text = getattr(choice.message, "refusal", None) or ("" if cut else None)
    if not isinstance(text, str):
        raise ValueError("it holds no text")
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair fits into no file
    return Completion(
        text,
        _count(answer.usage, "prompt_tokens"),
        _count(answer.usage, "completion_tokens"),
        _first_tokens(choice) if tells_first else None,
        FINISH.get(str(getattr(choice, "finish_reason", None))),
    )


def _count(usage: Any, name: str) -> int:
    count = getattr(usage, name, None)
    return count if isinstance(count, int) and 0 <= count < 2**31 else 0


def _first_tokens(choice: Any) -> dict[str, float]:
    """Return the log-probabilities of the first token by its text; of one text the likelier token."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None) or []
    found: dict[str, float] = {}
    for token in getattr(tokens[0], "top_logprobs", None) or [] if tokens else []:
        found[token.token] = max(float(token.logprob), found.get(token.token, -math.inf))
    return found
