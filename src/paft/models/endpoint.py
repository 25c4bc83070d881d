"""A model behind an OpenAI-compatible endpoint: one request at a time, adapted to what the endpoint takes."""

import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from json import JSONDecodeError
from typing import Any, TypeVar

from paft.config.model import EndpointSection
from paft.errors import UserError
from paft.models.client import Completion, ModelError
from paft.models.completion_prompts import Continuation, Text
from paft.models.failures import ErrorTranslator, passes, refuses_stop, refuses_system
from paft.models.replies import ErrorReplyError, prompt_tokens, read_chat, read_echo, read_text
from paft.types import Conversation

NO_SCHEMA = (400, 404, 422)
"""Status codes of servers that do not support a schema."""

STOP_LIMIT = 4
"""The most stop strings that OpenAI's own endpoint, and others after its model, take."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
"""Seconds before a request is sent again; doubled each time. Those of the client library."""

Result = TypeVar("Result")


class Endpoint:
    """A model behind an OpenAI-compatible endpoint: chat completions and text completions.

    Args:
        name: the model's name at the endpoint.
        say: called with one line where requests are adapted to what the endpoint takes.
        how: the keys of its section of the config. ``retries`` apply to 408, 409, 429, 5xx, time-outs, lost
            connections and errors with status 200, each after a longer wait or after the endpoint's Retry-After.

    Raises:
        UserError: the variable of the API key is not set.
    """

    def __init__(
        self, name: str, base_url: str, key: str | None = None, say: Callable[[str], None] = print, **how: Any
    ):
        from openai import OpenAI

        config = EndpointSection(base_url=base_url, key=key, **how)
        self.name, self.parallel, self.base_url = name, config.parallel, base_url
        self.where, self.request = f"{name} at {base_url}", config.request
        secret = _secret(key, name)
        self._failures, self._retries, self._say = ErrorTranslator(self.where, key, secret), config.retries, say
        self._client = OpenAI(
            api_key=secret or "none",
            base_url=base_url,
            max_retries=config.retries,
            timeout=config.timeout,
        )
        self._takes_schema = self._takes_system = True
        self._most_stops: int | None = None
        self._adapting = threading.Lock()

    @classmethod
    def of(cls, name: str, config: EndpointSection, say: Callable[[str], None] = print) -> "Endpoint":
        """Return the endpoint of a section of the config."""
        assert config.base_url is not None  # the client library would take one of its own
        return cls(name, say=say, **{key: getattr(config, key) for key in EndpointSection.model_fields})

    def complete(
        self,
        conversation: Conversation,
        *,
        max_tokens: int,
        temperature: float,
        seed: int | None = None,
        schema: Mapping[str, Any] | None = None,
        first_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> Completion:
        """Return the answer to a conversation, by a chat completion.

        If the endpoint rejects the schema and answers without it, it is left out from then on. If it rejects
        system messages, their text precedes the user's from then on, as in a chat template without a system role.

        Args:
            first_tokens: request the log-probabilities of this many first tokens.
            stop: strings before which the answer ends; those beyond the endpoint's limit are not sent.
        """
        parameters = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "logprobs": True if first_tokens else None,
            "top_logprobs": first_tokens,
        }
        if schema is not None and self._takes_schema:
            form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
            try:
                return self._chat(conversation, parameters | {"response_format": form}, stop)
            except ModelError as error:
                if error.status not in NO_SCHEMA or error.filtered:
                    raise
            completion = self._chat(conversation, parameters, stop)
            self._takes_schema = False  # only now, since the message may be what it rejects
            return completion
        return self._chat(conversation, parameters, stop, first_tokens=first_tokens is not None)

    def continue_text(self, prompt: Text, *, max_tokens: int, stop: Sequence[str] = ()) -> Completion:
        """Return what the model writes after a prompt at temperature 0, by a text completion."""

        def send() -> Completion:
            parameters = {"max_tokens": max_tokens, "temperature": 0}
            return self._sent(lambda: read_text(self._text(prompt, parameters | self._stops(stop))))

        return self._adapted(send, stop=stop)

    def echo(self, continuation: Continuation) -> Completion:
        """Return an option's tokens with their log-probabilities after its prompt, by an echoed text completion.

        Raises:
            ModelError: there is no answer, or it does not show which tokens are the option's.
        """

        def send() -> Completion:
            # One token is written, and dropped: some servers take 0 for "without limit".
            reply = self._text(continuation.text, {"max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True})
            echoed = continuation.echoed(*read_echo(reply), prompt_tokens(reply))
            return Completion(continuation.option, prompt_tokens(reply), 0, echoed=tuple(echoed))

        return self._sent(send)

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
            raise self._failures.of(error) from None

    def _chat(
        self,
        conversation: Conversation,
        parameters: dict[str, Any],
        stop: Sequence[str],
        first_tokens: bool = False,
    ) -> Completion:
        def send() -> Completion:
            sent = self._parameters(parameters | self._stops(stop))
            messages = self._messages(conversation)
            return self._sent(
                lambda: read_chat(
                    self._client.chat.completions.create(
                        model=self.name,
                        messages=messages,  # type: ignore[arg-type]
                        extra_body=sent,  # as they are: an endpoint may know more of them than the client library
                    ),
                    first_tokens=first_tokens,
                )
            )

        return self._adapted(send, stop=stop, system=conversation.system)

    def _text(self, prompt: Text, parameters: dict[str, Any]) -> Any:
        return self._client.completions.create(
            model=self.name,
            prompt=prompt if isinstance(prompt, str) else list(prompt),
            extra_body=self._parameters(parameters),
        )

    def _messages(self, conversation: Conversation) -> list[dict[str, str]]:
        system, user = conversation.system, conversation.user
        if system and not self._takes_system:  # as models/chat.py does where a template has no system role
            user, system = f"{system}\n\n{user}", None
        return ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}]

    def _parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in (parameters | self.request).items() if value is not None}

    def _stops(self, stop: Sequence[str]) -> dict[str, list[str] | None]:
        return {"stop": list(stop)[: self._most_stops] or None}

    def _adapted(
        self, send: Callable[[], Completion], *, stop: Sequence[str], system: str | None = None
    ) -> Completion:
        """Send a request, again without what the endpoint says it does not take."""
        while True:
            takes_system, most_stops = self._takes_system, self._most_stops
            try:
                return send()
            except ModelError as error:
                if system and takes_system and refuses_system(error):
                    self._take_no_system(error)
                elif len(stop) and most_stops != 0 and refuses_stop(error):
                    self._take_fewer_stops(most_stops, len(stop))
                else:
                    raise

    def _take_no_system(self, error: ModelError) -> None:
        with self._adapting:
            if self._takes_system:
                self._takes_system = False
                self._say(f"{error}; the system text of a prompt is sent at the beginning of the user's message")

    def _take_fewer_stops(self, before: int | None, count: int) -> None:
        with self._adapting:
            if self._most_stops == before:  # otherwise another thread has lowered it
                self._most_stops = STOP_LIMIT if before is None and count > STOP_LIMIT else 0
                taken = f"no more than {self._most_stops}" if self._most_stops else "no"
                self._say(
                    f"{self.where} takes {taken} stop strings; at the others, answers are cut after they arrived"
                )

    def _sent(self, call: Callable[[], Result]) -> Result:
        """Return the result of a call of the client library.

        It is sent again where an error came with status 200, or JSON that was cut off.
        """
        from openai import OpenAIError

        for attempt in range(self._retries + 1):
            try:
                return call()
            except (ErrorReplyError, JSONDecodeError) as error:
                if attempt == self._retries or not passes(getattr(error, "status", None)):
                    raise self._failures.of(error) from None
                time.sleep(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.75, 1))
            except (OpenAIError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
                raise self._failures.of(error) from None
        raise AssertionError("unreachable")


def _secret(variable: str | None, model: str) -> str | None:
    if variable is None:
        return None
    if not (secret := os.environ.get(variable, "").strip()):
        raise UserError(f"the key of model {model!r} is missing: set the environment variable {variable}")
    if not re.fullmatch(r"[!-~]+", secret):  # else the HTTP library would quote it, escaped, in an error
        raise UserError(f"the key in ${variable} holds spaces, line ends or letters that no key has; set it anew")
    return secret
