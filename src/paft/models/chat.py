"""How a conversation and its answer become token ids: by the model's chat template, or as plain text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paft.errors import UserError, one_line
from paft.types import Conversation
from paft.utils.safe_io import CONFIG, read_text

_PROBE = "\u00a7answer\u00a7"
_DAY = (
    "{%- macro strftime_now(form) -%}{{- '2025-01-01' if form == '%Y-%m-%d' else '01 Jan 2025' -}}{%- endmacro -%}"
)
"""Put before a template that uses the date, so that a run renders the same text on every day."""


class ChatFormat:
    """Convert conversations and answers to token ids.

    Args:
        tokenizer: of the model.
        template: ``auto`` for the model's own chat template, ``none`` for plain text, or a Jinja file.

    Attributes:
        end: ids that end an answer in the chat template; without a template, the end-of-sequence token.

    Raises:
        UserError: ``auto`` and the model has no chat template, or the file does not exist.
    """

    def __init__(self, tokenizer: Any, template: str = "auto"):
        self.tokenizer = tokenizer
        self.plain = template == "none"
        if template not in ("auto", "none"):
            if not Path(template).is_file():
                raise UserError(f"config key model.chat_template: no such file: {template}")
            tokenizer.chat_template = read_text(Path(template), CONFIG)
        self._template: str | None = None
        if not self.plain and not tokenizer.chat_template:
            raise UserError(
                "the model has no chat template; set model.chat_template=none to use plain text, "
                "or to the path of a Jinja template"
            )
        if not self.plain:
            own = tokenizer.get_chat_template()
            self._template = _DAY + own if "strftime_now" in own else own
        if not self.plain and _PROBE not in self._render(_messages(None, _PROBE), add_generation_prompt=True):
            raise UserError("config key model.chat_template: the template leaves out what the user says")
        self._takes_system = not self.plain and self._renders_system()
        self._opening, self._lead, self._space = ("", ":", " ") if self.plain else self._around_answer()
        self.end: list[int] = self._end_of_answer()

    def prompts(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """Return the ids of everything before the answer, one list per conversation."""
        texts = [self._text(conversation) for conversation in conversations]
        return self.tokenizer(texts, add_special_tokens=self.plain)["input_ids"]

    def answer(self, text: str) -> list[int]:
        """Return the ids of an answer without its end, tokenised after the text that precedes it."""
        before, whole, alone = self.tokenizer(
            [self._lead, f"{self._lead}{self._space}{text}", f"{self._space}{text}"], add_special_tokens=False
        )["input_ids"]
        return whole[len(before) :] if whole[: len(before)] == before else alone

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def _text(self, conversation: Conversation) -> str:
        system, user = conversation.system, conversation.user
        if system and not self._takes_system:
            user, system = f"{system}\n\n{user}", None
        if self.plain:
            return user.rstrip(" ")
        return self._render(_messages(system, user), add_generation_prompt=True) + self._opening

    def _render(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except Exception as error:  # a template is a program in Jinja's sandbox and may raise anything
            raise UserError(f"config key model.chat_template: the template fails: {one_line(error)}") from None

    def _renders_system(self) -> bool:
        """Return False if the template refuses or drops a system message; it then precedes the user's text."""
        try:
            return _PROBE in self._render(_messages(_PROBE, "question"), add_generation_prompt=True)
        except UserError:
            return False

    def _around_answer(self) -> tuple[str, str, str]:
        """Return three texts that the template writes before an answer.

        First, what is between its generation prompt and an answer, such as an empty thought. Second, all text from
        the generation prompt up to the answer. Third, the spaces before the answer, which are tokenised with it.
        """
        question = _messages(None, "question")
        prompt = self._render(question, add_generation_prompt=True)
        whole = self._render([*question, {"role": "assistant", "content": _PROBE}], add_generation_prompt=False)
        between = whole[len(prompt) :].partition(_PROBE)[0] if whole.startswith(prompt) else ""
        opening = between.rstrip(" ")
        before = self._render(question, add_generation_prompt=False)
        lead = prompt[len(before) :] if prompt.startswith(before) else ""
        return opening, lead + opening, between[len(opening) :]

    def _end_of_answer(self) -> list[int]:
        if not self.plain:
            messages = [*_messages(None, "question"), {"role": "assistant", "content": _PROBE}]
            _, probe, after = self._render(messages, add_generation_prompt=False).partition(_PROBE)
            tokens = {*self.tokenizer.all_special_tokens, *self._added_special_tokens()}
            special = [token for token in tokens if token in after]
            if probe and special:
                first = min(special, key=lambda token: (after.index(token), -len(token)))
                return self.tokenizer(first, add_special_tokens=False)["input_ids"]
        if self.tokenizer.eos_token_id is None:
            raise UserError("the model's tokenizer has neither a chat template nor an end-of-sequence token")
        return [self.tokenizer.eos_token_id]

    def _added_special_tokens(self) -> list[str]:
        """Return special tokens without a role in the tokenizer, such as Phi-3's end of a turn."""
        return [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]


def _messages(system: str | None, user: str) -> list[dict[str, str]]:
    return ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}]
