"""The part of an output that answers the prompt: without thoughts, control tokens and run-ons."""

import re
from collections.abc import Collection, Container, Iterator

_THOUGHT_WORDS = r"think(?:ing)?|thoughts?|reasoning|reflection|scratchpad"
_THOUGHT = re.compile(
    rf"<(?P<close>/)?(?:\w{{1,12}}:)?(?:{_THOUGHT_WORDS})>"
    rf"|\u25c1(?P<close2>/)?(?:{_THOUGHT_WORDS})\u25b7"
    r"|\[(?P<close3>/)?(?-i:THINK)\]"
    rf"|<\|(?:begin_of_|start_|(?P<close4>end_of_|end_))?(?:{_THOUGHT_WORDS})\|>",
    re.IGNORECASE,
)
_HARMONY = re.compile(r"<\|channel\|>\s{0,3}(\w+)[^<]{0,80}<\|message\|>")
_BARE_HARMONY = re.compile(r"\s{0,9}analysis(?=[A-Z])|\s{0,9}assistant(?:analysis|commentary)", re.ASCII)
"""What is left of channels where the control tokens were skipped by the decoder."""

_HEADER = re.compile(
    r"\s*(?:<\|start_header_id\|>\s*\w+\s*<\|end_header_id\|>"
    r"|<\|(?:im_start|start)\|>\s*(?:assistant|model)?|<start_of_turn>\s*(?:model|assistant)?|<\|assistant\|>"
    r"|<\|begin_of_text\|>|<s>|<bos>|\[/INST\])\s*",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<\uff5c[^<>\n]{1,40}\uff5c>|</?s>|<(?:eos|bos|pad|unk|eot|end_of_turn|start_of_turn)>"
    r"|\[/?INST\]",
    re.IGNORECASE,
)

_QUESTION_WORDS = (
    "questions?|problem|exercise|input|user|human|prompt|example|instructions?|task|query"
    "|preguntas?|ejemplo|pergunta|exemplo|domanda|esempio|frage|aufgabe|beispiel|exemple|вопрос|пример|задание"
    "|soru|örnek|câu hỏi|ví dụ|pertanyaan|contoh|soal|سؤال|السؤال|שאלה|प्रश्न|सवाल|उदाहरण|질문|문제|예시"
    "|问题|问|題目|题目|例子|質問|問題|例"
)
"""Words that open the next question of a base model's run-on, and no statement of an answer."""

_NEXT_QUESTION = re.compile(
    rf"^[#*> \t-]{{0,6}}(?:next )?(?P<word>{_QUESTION_WORDS})\*{{0,2}}(?: ?[#\d]{{1,5}}\*{{0,2}})?"
    r"(?:[ \u00a0]?[:\uff1a]|(?<=\d)\*{0,2}[ \t]{0,9}$)",
    re.IGNORECASE | re.MULTILINE,
)
_CUE = re.compile(r"[ \t]*(?P<cue>[^\s{}][^\n{}]{0,58}?[:\uff1a>\])])(?=[ \t]*(?P<rest>[^\n]*))")
_SLOT = re.compile(r"\{([^{}]+)\}")
_JSON_BEGUN = re.compile(r"\{\s*['\"]|\[\s*['\"{\[]")
_JSON_PART = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\[{]|[\]}]')


def without_thoughts(text: str) -> str:
    """Return what a reasoning model writes after its thoughts.

    Thoughts may begin in the prompt, so everything before an end tag without a start tag is dropped. If the last
    thought never ends, nothing is left: the model had not come to its answer.
    """
    if "<|channel|>" in text or text.lstrip().startswith(("analysis", "assistant")):
        text = _final_channel(text)
    if "<" not in text and "\u25c1" not in text and "[" not in text:
        return text
    kept: list[str] = []
    depth, start = 0, 0
    for tag in _THOUGHT.finditer(text):
        if any(tag.group("close", "close2", "close3", "close4")):
            if depth == 0:
                kept.clear()
            depth = max(0, depth - 1)
            start = tag.end()
        else:
            if depth == 0:
                kept.append(text[start : tag.start()])
            depth += 1
    return "" if depth else "".join(kept) + text[start:]


def _final_channel(text: str) -> str:
    """Return the message of the channel ``final``, in the format of gpt-oss; nothing if there is none yet."""
    channels = list(_HARMONY.finditer(text))
    if channels:
        last = channels[-1]
        return text[last.end() :] if last[1] == "final" else ""
    if "<|channel|>" in text:
        return ""
    if _BARE_HARMONY.match(text):
        _, mark, answer = text.rpartition("assistantfinal")
        return answer if mark else ""
    return text


def without_control_tokens(text: str) -> str:
    """Return the model's own turn, without the tokens that begin and end turns."""
    while header := _HEADER.match(text):
        if header.end() == 0:
            break
        text = text[header.end() :]
    if "<" not in text and "[" not in text:
        return text
    turns = (turn for turn in _CONTROL.split(text) if turn.strip())
    return next(turns, "")


def without_run_on(text: str, cues: tuple[str, ...] = (), *, answers: Container[str] = ()) -> str:
    """Return an output up to where the model goes on with a next question of its own.

    Args:
        cues: literal beginnings of the prompt's lines, such as ``Question:``; see :func:`run_on_cues`. A line of
            the output that begins with one of them, after something else, is cut off with all that follows.
        answers: words in lower case that begin no question, because the task answers with them: ``human``.
    """
    begin = len(text) - len(text.lstrip())
    questions = _NEXT_QUESTION.finditer(text, begin + 1)
    ends = [match.start() for match in questions if match["word"].lower() not in answers]
    return before_cue(text[: min(ends, default=len(text))], cues)


def before_cue(text: str, cues: tuple[str, ...], answers: Collection[str] = ()) -> str:
    """Return an output up to the first line, after something else, that begins as a line of its prompt does.

    A base model that has answered goes on with a prompt of its own. An output with thoughts is left as it is: a
    model may repeat the prompt while it thinks. A line inside the first JSON object is a part of it.

    Args:
        cues: literal beginnings of the prompt's lines, such as ``Question:``; see :func:`run_on_cues`.
        answers: the accepted answers; a line that begins as a later line of one of them is a part of the answer.
    """
    cues = tuple(
        cue for cue in cues if not any("\n" in answer and any(_lines(answer, (cue,))) for answer in answers)
    )
    if not cues or without_thoughts(text) != text:
        return text
    starts = [match.start() for match in _lines(text, cues)]
    begin, end = _first_object(text) if starts else (0, 0)
    return text[: next((start for start in starts if not begin < start < end), len(text))]


def _lines(text: str, cues: tuple[str, ...]) -> Iterator[re.Match[str]]:
    """Yield the lines, after something else, that begin with one of the cues."""
    beginnings = re.compile(rf"^[ \t]{{0,9}}(?:{'|'.join(map(re.escape, cues))})", re.MULTILINE)
    return beginnings.finditer(text, len(text) - len(text.lstrip()) + 1)


def _first_object(text: str) -> tuple[int, int]:
    """Return where the first JSON object or array begins and ends, by its brackets; 0 and 0 if it does not end."""
    if not (begun := _JSON_BEGUN.search(text)):
        return 0, 0
    depth = 0
    for part in _JSON_PART.finditer(text, begun.start()):
        depth += (part[0] in "[{") - (part[0] in "]}")
        if depth == 0:
            return begun.start(), part.end()
    return 0, 0


def run_on_cues(prompt: str, fields: Collection[str]) -> tuple[str, ...]:
    """Return what the lines of a template that hold a field begin with, up to a colon or a bracket: ``Question:``.

    Only these begin a next question. Lines that hold options, or say how to answer (``Label: one word``), are what
    an answer may look like.

    Args:
        fields: the names of the slots that hold the example's fields.
    """
    lines = [line for line in prompt.split("\n") if line.strip()]
    cues: dict[str, None] = {}
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        match = _CUE.match(line)
        held = (match["rest"] if match["rest"].strip() else following) if match else ""
        if match and re.search(r"\w", match["cue"]) and not set(_SLOT.findall(held)).isdisjoint(fields):
            cues[match["cue"].strip()] = None
    return tuple(cues)
