"""Templates: their slots, how they end, and how they are filled.

A template is filled by plain substitution; nothing in it is executed. It is read from left to right: ``{{`` and
``}}`` are one literal brace each, ``{name}`` is a slot if the name is a Python identifier, all else is itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from paft.tasks.task import Task, slot_name
from paft.types import LETTERS, SHOTS, Conversation, Example, Prompt

_NAME = r"[^\W\d][^\s{}!-/:-@\[-^`|~]*"  # \w would leave out the vowel signs that an identifier may hold
_TOKEN = re.compile(rf"\{{\{{|\}}\}}|\{{({_NAME})\}}")
_LITERAL = {"{{": "{", "}}": "}"}
_DOUBLED_SLOT = re.compile(rf"(?<!\{{)\{{\{{[ \t]*({_NAME})[ \t]*\}}\}}(?!\}})")
_SPACED_SLOT = re.compile(rf"(?<!\{{)\{{[ \t]*({_NAME})[ \t]*\}}(?!\}})")
_LINE_END = re.compile(r"\\n(?![a-z]|(?:Left|Right|Leftright)arrow\b|V[Dd]ash\b)")
_TAB = re.compile(r"\\t(?![a-z])")


def slot_matches(text: str) -> Iterator[re.Match[str]]:
    """Yield a match for each slot of a template's text; its group 1 is the name as it is written."""
    return (match for match in _TOKEN.finditer(text) if match[1] and match[1].isidentifier())


def replace_slots(text: str, value: Callable[[str], str]) -> str:
    """Return a template's text with each slot replaced by a value of its name, and literal braces single."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] and match[1].isidentifier():
            return value(slot_name(match[1]))
        return _LITERAL.get(match[0], match[0])

    return _TOKEN.sub(replaced, text)


def slots(prompt: Prompt, aliases: Mapping[str, str] | None = None) -> list[str]:
    """Return the prompt's slots in order of appearance, system text first, aliases replaced."""
    names = [slot_name(match[1]) for match in slot_matches(f"{prompt.system or ''}\n{prompt.text}")]
    return [(aliases or {}).get(name, name) for name in names]


def doubled_slots(text: str) -> Iterator[re.Match[str]]:
    """Yield a match for each name in double braces, which is text in braces and no slot; group 1 is the name."""
    return (match for match in _DOUBLED_SLOT.finditer(text) if match[1].isidentifier())


def spaced_slots(text: str) -> Iterator[re.Match[str]]:
    """Yield a match for each name in braces with spaces beside it, which is no slot; group 1 is the name."""
    matches = _SPACED_SLOT.finditer(text)
    return (match for match in matches if match[1].isidentifier() and match[0] != f"{{{match[1]}}}")


def single_braces(text: str) -> str:
    """Return a text with the names in double braces, as Jinja writes its slots, in single ones."""
    return _DOUBLED_SLOT.sub(r"{\1}", text)


def mixes_braces(text: str) -> bool:
    """Return True if a template has both double braces and single ones that belong to no slot.

    ``{"a": {"b": 1}}`` ends in a double brace that was hardly meant as one literal brace.
    """
    tokens = {match[0] for match in _TOKEN.finditer(text)}
    return bool(tokens & _LITERAL.keys()) and bool(re.search(r"[{}]", _TOKEN.sub("", text)))


def with_line_ends(text: str) -> str:
    r"""Return a text with a written ``\n`` as a line end and a written ``\t`` as a space.

    One before a small letter stays, since it begins a command of LaTeX: ``\nabla``, ``\theta``.
    """
    return _TAB.sub(" ", _LINE_END.sub("\n", text.replace("\\r\\n", "\\n")))


def identity(prompt: Prompt, aliases: Mapping[str, str]) -> tuple[str, str]:
    """Return what two prompts share if they are equal whatever they are filled with."""
    system, text = (
        replace_slots(part, lambda name: f"\0{aliases.get(name, name)}\0")
        for part in (prompt.system or "", prompt.text)
    )
    return system, text


def ending(prompt: Prompt) -> tuple[str, str]:
    """Return how a prompt ends: ``slot``, ``cue``, ``question`` or ``sentence``, and the words of a cue."""
    text = prompt.text.rstrip()
    tail = text[max((match.end() for match in slot_matches(text)), default=0) :]
    if len(tail) < len(text) and re.fullmatch(r"[\"')\].>}]*", tail):
        return "slot", ""
    tail = tail.rpartition("\n")[2].strip()
    if tail.rstrip("*_").endswith((":", "\uff1a", "=", ">", "\u2192")):
        return "cue", tail
    return ("question" if tail.endswith("?") else "sentence"), ""


def literal(prompt: Prompt) -> str:
    """Return what the prompt says by itself: its text without slots, and without ``A.`` before ``{A}``."""
    text = f"{prompt.system or ''}\n{prompt.text}"
    text = re.sub(rf"[(\[]?\b[{LETTERS}]\b[)\].:=\-\s]*(?=\{{)", " ", text)
    return replace_slots(text, lambda name: " ")


def render(prompt: Prompt, task: Task, example: Example) -> Conversation:
    """Fill a prompt's slots with an example.

    One pass over the template: braces inside an example's text are just text. Training and evaluation both
    come through here, so both see the same characters. The task's demonstrations take the place of ``{shots}``; a
    prompt without that slot has them before its text.
    """
    values, text = task.slot_values(example), prompt.text
    if task.shots:
        values[SHOTS] = _demonstrations(prompt, task, example)
        text = text if SHOTS in slots(prompt, task.aliases) else f"{{{SHOTS}}}\n\n{text}"
    return Conversation(
        _filled(text, task, values), _filled(prompt.system, task, values) if prompt.system else None
    )


def _filled(template: str, task: Task, values: Mapping[str, str]) -> str:
    return replace_slots(template, lambda name: values[task.aliases.get(name, name)])


def _demonstrations(prompt: Prompt, task: Task, example: Example) -> str:
    """Return the task's demonstrations, an empty line between two; none of them asks what the example asks.

    Each has the prompt's own form: what follows ``{shots}`` in its text, the whole text where it lacks the slot.
    If that part lacks something that differs between examples, each has one line per field, the options where each
    example has its own, and the answer: ``question: ...``, ``answer: ...``.
    """
    form = _repeated_part(prompt, task) or plain_form(task)
    asked = question(example)
    shown = [shot for shot in task.demonstrations if question(shot) != asked][: task.shots]
    return "\n\n".join(
        _answered(form, _filled(form, task, task.slot_values(shot)), task.target(shot)) for shot in shown
    )


def plain_form(task: Task) -> str:
    """Return the form of a demonstration in a prompt whose own form lacks a part of the example."""
    options = ["{choices}"] if task.has_own_options else []
    return "\n".join([*(f"{name}: {{{name}}}" for name in task.fields), *options, "answer:"])


def question(example: Example) -> tuple[dict[str, str], list[str]]:
    """Return what two examples share if they ask the same, in whatever order their options are."""
    return dict(example.fields), sorted(example.options)


def _repeated_part(prompt: Prompt, task: Task) -> str | None:
    """Return the part of a prompt's text that a demonstration repeats; None if it lacks a part of the example."""
    form = prompt.text
    for match in slot_matches(prompt.text):
        if slot_name(match[1]) == SHOTS:
            form = prompt.text[match.end() :].lstrip()
    varying = set(slots(prompt, task.aliases)) - {SHOTS}
    if task.labels is not None:
        varying -= {"choices", *LETTERS}
    return form if varying <= set(slots(Prompt(form), task.aliases)) else None


def _answered(form: str, text: str, answer: str) -> str:
    """Return a demonstration: the answer follows a cue on the same line, anything else on the next one."""
    if text[-1:].isspace():
        return text + answer
    return f"{text} {answer}" if ending(Prompt(form))[0] == "cue" else f"{text}\n{answer}"
