"""How a conversation and its answer become token ids: by the model's chat template, or as plain text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paft.errors import UserError, one_line
from paft.models.control_tokens import ControlTokens
from paft.models.thoughts import CLOSE, OPEN, SWITCHES, TAGS, closing, open_thought, tag_of
from paft.types import Conversation
from paft.utils.safe_io import CONFIG, read_text

Answers = tuple[list[list[int]], list[int]]
"""The ids of a question's options, and those of the end that counts after each of them, or none."""

_PROBE = "\u00a7answer\u00a7"
_DAY = (
    "{%- macro strftime_now(form) -%}{{- '2025-01-01' if form == '%Y-%m-%d' else '01 Jan 2025' -}}{%- endmacro -%}"
)
"""Put before a template that uses the date, so that a run renders the same text on every day."""


class ChatFormat:
    """Convert conversations and answers to token ids.

    The text of a control token inside a conversation or an answer is ordinary text
    (:mod:`paft.models.control_tokens`). Where the template opens a thought, an answer comes after an empty one.

    Args:
        tokenizer: of the model.
        template: ``auto`` for the model's own chat template, ``none`` for plain text, or a Jinja file.

    Attributes:
        end: ids that end an answer in the chat template; without a template, the end-of-sequence token.
        thought: the beginning of a thought that the template's generation prompt ends with, such as
            ``<think>`` and a line end; empty for most models.

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
        self._settings: dict[str, bool] = {}
        """Arguments of the template for a prompt that an answer follows."""
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
        self.thought = "" if self.plain else open_thought(self._generation_prompt())
        if self.thought:
            self._close_thought()
        self.end: list[int] = self._end_of_answer()
        self._control = ControlTokens(tokenizer, self._template or "")
        self._special = ControlTokens(tokenizer, "")
        self._expected: dict[tuple[bool, bool], list[int]] = {}
        self._thought_tags = {
            id: CLOSE if str(token) in TAGS.values() else OPEN
            for id, token in tokenizer.added_tokens_decoder.items()
            if token.special and str(token) in (*TAGS, *TAGS.values())
        }
        """Special tokens that begin and end thoughts, which decoding would leave out."""

    def prompts(self, conversations: Sequence[Conversation], *, thinking: bool = False) -> list[list[int]]:
        """Return the ids of everything before the answer, one list per conversation.

        Args:
            thinking: end inside the thought that the template opens, instead of after an empty one.
        """
        texts = [self._text(conversation, thinking) for conversation in conversations]
        encoded = self.tokenizer(texts, add_special_tokens=self.plain)["input_ids"]
        for i, (conversation, ids) in enumerate(zip(conversations, encoded, strict=True)):
            if self._control.among(ids) != self._template_tokens(bool(conversation.system), thinking):
                encoded[i] = self._guarded(conversation, thinking, ids)
        return encoded

    def answer(self, text: str) -> list[int]:
        """Return the ids of an answer without its end, tokenised after the text that precedes it.

        Special tokens in it are ordinary text; other added tokens, such as ``<tool_call>``, a model writes itself.
        """
        before, whole, alone = self.tokenizer(
            [self._lead, f"{self._lead}{self._space}{text}", f"{self._space}{text}"], add_special_tokens=False
        )["input_ids"]
        if self._special.among(alone):
            text, encode = self._special.hide(text), self._special.encode
            whole, alone = encode(f"{self._lead}{self._space}{text}"), encode(f"{self._space}{text}")
        return whole[len(before) :] if whole[: len(before)] == before else alone

    def answers(self, options: Sequence[Sequence[str]]) -> list[Answers]:
        """Return the ids of each question's options.

        The end counts where one option's ids begin another's; otherwise the shorter one would always be likelier.
        """
        encoded = {text: self.answer(text) for texts in options for text in texts}
        rows = [[encoded[text] for text in texts] for texts in options]
        return [(row, self.end if share_a_beginning(row) else []) for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids; thoughts are between ``<think>`` and ``</think>``."""
        text, start = "", 0
        for i, id in enumerate(ids if self._thought_tags else ()):
            if id in self._thought_tags:
                text += self.tokenizer.decode(ids[start:i], skip_special_tokens=True) + self._thought_tags[id]
                start = i + 1
        text += self.tokenizer.decode(ids[start:], skip_special_tokens=True)
        return text.replace(TAGS[tag_of(self.thought)], CLOSE) if self.thought else text

    def _text(self, conversation: Conversation, thinking: bool = False) -> str:
        system, user = conversation.system, conversation.user
        if system and not self._takes_system:
            user, system = f"{system}\n\n{user}", None
        if self.plain:
            return user.rstrip(" ")
        messages = _messages(system, user)
        if thinking and self.thought:
            return self._render(messages, add_generation_prompt=True)
        return self._render(messages, add_generation_prompt=True, **self._settings) + self._opening

    def _template_tokens(self, system: bool, thinking: bool) -> list[int]:
        """Return the control tokens of a prompt whose texts have none."""
        if (system, thinking) not in self._expected:
            text = self._text(Conversation(_PROBE, _PROBE if system else None), thinking)
            ids = self.tokenizer(text, add_special_tokens=self.plain)["input_ids"]
            self._expected[system, thinking] = self._control.among(ids)
        return self._expected[system, thinking]

    def _guarded(self, conversation: Conversation, thinking: bool, ids: list[int]) -> list[int]:
        """Return the ids of a prompt with the control tokens of its texts as ordinary text.

        Args:
            ids: of the prompt as the tokenizer reads it, the result if its texts turn out to have none.
        """
        system, user = conversation.system, conversation.user
        hidden = Conversation(self._control.hide(user), self._control.hide(system) if system else system)
        if hidden == conversation and not self._control.can_encode:
            return ids
        text = self._text(hidden, thinking)
        if not self.plain:
            return self._control.encode(text)
        bare, around = self.tokenizer("a", add_special_tokens=False)["input_ids"], self.tokenizer("a")["input_ids"]
        start = next(i for i in range(len(around)) if around[i : i + len(bare)] == bare)
        return around[:start] + self._control.encode(text) + around[start + len(bare) :]

    def _render(self, messages: list[dict[str, str]], *, add_generation_prompt: bool, **settings: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **settings,
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
        prompt = self._render(question, add_generation_prompt=True, **self._settings)
        answered = [*question, {"role": "assistant", "content": _PROBE}]
        whole = self._render(answered, add_generation_prompt=False, **self._settings)
        between = whole[len(prompt) :].partition(_PROBE)[0] if whole.startswith(prompt) else ""
        opening = between.rstrip(" ")
        before = self._render(question, add_generation_prompt=False, **self._settings)
        lead = prompt[len(before) :] if prompt.startswith(before) else ""
        return opening, lead + opening, between[len(opening) :]

    def _generation_prompt(self) -> str:
        """Return what the template writes after the user's text and before an answer."""
        prompt = self._render(_messages(None, _PROBE), add_generation_prompt=True, **self._settings)
        return prompt.rpartition(_PROBE)[2]

    def _close_thought(self) -> None:
        """Let answers come after an empty thought: as the template writes one, or else as its tag is closed."""
        if not open_thought(self._generation_prompt() + self._opening):
            return
        for self._settings in SWITCHES:
            opening, lead, space = self._around_answer()
            if not open_thought(self._generation_prompt() + opening):
                self._opening, self._lead, self._space = opening, lead, space
                return
        self._settings = {}
        end = closing(open_thought(self._generation_prompt() + self._opening))
        self._opening, self._lead, self._space = self._opening + end, self._lead + end, ""

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


def share_a_beginning(answers: Sequence[Sequence[object]]) -> bool:
    """Return True if the tokens of one answer begin another's."""
    return any(long != short and long[: len(short)] == short for short in answers for long in answers)


def _messages(system: str | None, user: str) -> list[dict[str, str]]:
    return ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}]
