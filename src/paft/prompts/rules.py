"""The rules on a single prompt, each with its name and a reason in words."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from paft.errors import UserError, nearest
from paft.prompts.template import (
    doubled_slots,
    literal,
    mixes_braces,
    replace_slots,
    slots,
    spaced_slots,
    with_line_ends,
)
from paft.tasks.task import Task, slot_name
from paft.types import LETTERS, SHOTS, Prompt

_WORDS_IN_BRACES = re.compile(r"\{[ \t]*([^\W\d][\w .:!'\[\]()/-]{0,80}?)[ \t]*\}")
"""A column's name, or a slot in the way of Python's ``format``: ``{message!r}``, ``{row.message}``."""


def defect(prompt: Prompt, task: Task, off: frozenset[str] = frozenset()) -> tuple[str, str] | None:
    """Return ``(rule, reason)`` of the first rule that a prompt breaks, None for a sound one."""
    for name, rule in RULES.items():
        if name not in off and (reason := rule(prompt, task)):
            return name, reason
    return None


def normalised(prompt: Prompt, aliases: Mapping[str, str] | None = None) -> str:
    """Return the prompt's words: lower case, without spacing and punctuation, slots by their own names."""
    text = with_line_ends(f"{prompt.system or ''}\n{prompt.text}")
    return words(replace_slots(text, lambda name: f" {(aliases or {}).get(name, name)} "))


def words(text: str) -> str:
    """Return the words of a text in lower case and one Unicode form, a space between two."""
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(split_words(text.casefold().replace("_", " ")))


def split_words(text: str) -> list[str]:
    """Return the words of a text: runs of letters, digits, underscores, and the marks that letters bear.

    ``\\w`` of a regular expression leaves marks out, so that words in Hindi would lose their vowels.
    """
    return text.translate({ord(c): " " for c in set(text) if not _is_in_words(c)}).split()


@cache
def _is_in_words(character: str) -> bool:
    is_mark = unicodedata.category(character) in ("Mn", "Mc") and not "\ufe00" <= character <= "\ufe0f"
    return character == "_" or character.isalnum() or is_mark


def _empty(prompt: Prompt, task: Task) -> str | None:
    return None if prompt.text.strip() else "the text is empty"


def _unknown_slot(prompt: Prompt, task: Task) -> str | None:
    used = slots(prompt, task.aliases)
    if task.shots and used.count(SHOTS) > 1:
        return f"the slot {{{SHOTS}}} occurs {used.count(SHOTS)} times; demonstrations have one place"
    for match in spaced_slots(f"{prompt.system or ''}\n{prompt.text}"):
        name = slot_name(match[1])
        if task.aliases.get(name, name) in task.slots:
            return f"{match[0]} is the text {match[0]}, since a slot has no spaces: write {{{name}}}"
    for name in used:
        if name not in task.slots:
            if name == SHOTS:
                return f"{{{SHOTS}}}: there are no demonstrations; set prompts.shots to how many it stands for"
            if task.letters == 0 and name in LETTERS:
                return f"{{{name}}}: the examples differ in how many options they have; use {{choices}}"
            return f"the task has no slot {{{name}}}{nearest(name, [s for s in task.slots if len(s) > 1])}"
    return None


def _missing_slot(prompt: Prompt, task: Task) -> str | None:
    used = slots(prompt, task.aliases)
    missing = next((name for name in task.fields if slot_name(name) not in used), None)
    if missing is not None:
        fix = _if_doubled(prompt, slot_name(missing)) or _if_no_name(prompt, slot_name(missing))
        return f"the slot {{{missing}}} is missing{fix}"
    if task.has_own_options and "choices" not in used and not _single(used, task):
        return (
            f"the options are not shown: {{choices}}{' or {A}, {B}, ...' * bool(task.letters)} is missing"
            f"{_if_doubled(prompt, 'choices')}"
        )
    return None


def _if_doubled(prompt: Prompt, name: str) -> str:
    """Return what to write if a prompt has the name of a missing slot in double braces."""
    doubled = {slot_name(match[1]) for match in doubled_slots(f"{prompt.system or ''}\n{prompt.text}")}
    if name not in doubled:
        return ""
    return f"; {{{{{name}}}}} is the text {{{name}}}, since double braces are literal ones: write {{{name}}}"


def _if_no_name(prompt: Prompt, missing: str) -> str:
    """Return what to write if a prompt has words in braces that cannot be a slot, such as a column's name."""
    match = _WORDS_IN_BRACES.search(f"{prompt.system or ''}\n{prompt.text}")
    if match is None or match[1].isidentifier():
        return ""
    return (
        f"; {{{match[1]}}} is text, since a slot is one word: write {{{missing}}}, or name the slot of a column "
        "with task.fields: {SLOT: COLUMN}"
    )


def _double_braces(prompt: Prompt, task: Task) -> str | None:
    """A slot's name in double braces is text; after a letter or a brace, it may be LaTeX: ``\\frac{{A}}{{B}}``."""
    text = f"{prompt.system or ''}\n{prompt.text}"
    for match in doubled_slots(text):
        name = slot_name(match[1])
        may_be_meant = re.search(r"[\w}]$", text[: match.start()])
        if task.aliases.get(name, name) in task.slots and not may_be_meant:
            return f"{{{{{name}}}}} is the text {{{name}}}, since double braces are literal ones; write {{{name}}}"
    return None


def _mixed_braces(prompt: Prompt, task: Task) -> str | None:
    if any(mixes_braces(part) for part in (prompt.system or "", prompt.text)):
        return "has single and double braces beside its slots; write each brace that is text twice: {{ and }}"
    return None


def _lost_option(prompt: Prompt, task: Task) -> str | None:
    used = slots(prompt, task.aliases)
    single = _single(used, task)
    if "choices" in used or not 0 < len(single) < task.letters:
        return None
    lost = [f"{{{c}}}" for c in LETTERS[: task.letters] if c not in single]
    return f"not all options are shown: {', '.join(lost)} or {{choices}} is missing"


def _single(used: list[str], task: Task) -> set[str]:
    return {name for name in used if name in LETTERS[: task.letters]}


def _answer_leak(prompt: Prompt, task: Task) -> str | None:
    """A prompt that names some of the task's labels but not all of them hints at an answer.

    Where its slots show all options, a label may be a mere word: ``{choices} Give no explanation.``
    """
    used = slots(prompt, task.aliases)
    if task.labels is None or "choices" in used or (task.letters and len(_single(used, task)) == task.letters):
        return None
    text = literal(prompt)
    named = [label for label in task.labels if re.search(_word(label), text, re.IGNORECASE)]
    scale = all(label.isdecimal() for label in task.labels) and {task.labels[0], task.labels[-1]} <= set(named)
    if named and len(named) < len(task.labels) and not scale:  # "from 1 to 5" names all of them
        return f"names only some of the labels: {', '.join(named)}"
    return None


def _word(label: str) -> str:
    """Return a pattern for a label as whole words, in the singular or the plural."""
    stem, end = (label[:-1], "(?:y|ies)") if label.endswith("y") else (label, "(?:s|es)?")
    return rf"(?<!\w){re.escape(stem)}{end}(?!\w)"


def _states_answer(prompt: Prompt, task: Task) -> str | None:
    """``Answer: B`` states an answer; ``Answer: A, B or C`` states none."""
    stated = task.answer_format.stated_answers(literal(prompt), task.labels, task.letters)
    return (
        f"states an answer: {' '.join(next(iter(stated.values())).split())[:80]!r}" if len(stated) == 1 else None
    )


_NOT = re.compile(
    r"(?:\bnot?|n't|\bwithout|\bnever|\bnor|\bneither|\brather than|\binstead of|\bskip|\bomit)\b", re.IGNORECASE
)


def _other_format(prompt: Prompt, task: Task) -> str | None:
    """A prompt must not ask for a format in which the right answer would be counted as wrong."""
    match = _match(prompt, task.answer_format.forbidden_requests, own=" ".join(task.labels or ()))
    return f"asks for {match[0]}: {match[1]!r}" if match else None


_DO = r"(?:^|[.!?:;\n]\s*|\b(?:please|must|should|will|to|and|then) )"
_LANGUAGE = (
    r"(?:english|french|german|spanish|italian|portuguese|chinese|japanese|russian|arabic|another language)"
)
_TASKS = {
    "translation": rf"{_DO}translate\b[^.\n]{{0,60}}\b(?:in)?to {_LANGUAGE}\b",
    "summarisation": rf"{_DO}summari[sz]e (?:the|this|it|what)\b|\bwrite (?:a|the) (?:\w+ )?summary\b",
    "sentiment": r"\bsentiment (?:of|analysis|expressed|is)\b",
    "rewriting": rf"{_DO}(?:rewrite|rephrase|paraphrase|proofread) (?:the|this|it|each)\b",
    "programming": r"\bwrite (?:me )?(?:(?:a|the|some) )?(?:python |sql )?(?:code|function|program|query)\b",
    "free writing": r"\bwrite (?:me )?an? (?:\w+ )?(?:poem|story|essay|song|article|e-?mail)\b",
    "arithmetic": rf"{_DO}(?:solve the equation|calculate|compute) \w+",
    "entity recognition": r"\b(?:extract|list|find|tag) (?:all |the )*(?:named )?entities\b",
}


def _other_task(prompt: Prompt, task: Task) -> str | None:
    """A prompt must not ask for another task; a word that describes this task is fine."""
    own = " ".join((task.name, task.description, *task.fields, *(task.labels or ())))
    match = _match(prompt, _TASKS, own)
    return f"asks for {match[0]}: {match[1]!r}" if match else None


def _match(prompt: Prompt, patterns: Mapping[str, str], own: str) -> tuple[str, str] | None:
    """Return the first match as ``(name, phrase)``, unless the prompt negates it or it is about the task itself.

    A phrase's key words are the first and the last word that are not common ones. Only the beginnings of words
    are compared, so ``summarize`` belongs to a task on summaries.
    """
    text, known = literal(prompt), {word[:6] for word in words(own).split()}
    for name, pattern in patterns.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            clause = re.split(r"[.!?;\n]", text[max(0, match.start() - 25) : match.end()].rstrip(".!?;\n"))[-1]
            denied = _NOT.search(re.sub(r"yes(?: or |/)no", "", clause, flags=re.IGNORECASE))
            key_words = [word[:6] for word in words(match[0]).split() if word not in _COMMON] or [""]
            if not denied and not {key_words[0], key_words[-1]} & known:
                return name, " ".join(match[0].strip(" .!?:;\n").split())
    return None


_COMMON = frozenset(
    words(
        """the a an this it what that each is of in to me for and then please must should will answer reply respond
        return give write output state print provide only just with by one its single all"""
    ).split()
)
"""Words of the patterns above that do not describe a task."""


Rule = Callable[[Prompt, Task], str | None]

RULES: dict[str, Rule] = {
    "empty": _empty,
    "unknown-slot": _unknown_slot,
    "missing-slot": _missing_slot,
    "double-braces": _double_braces,
    "mixed-braces": _mixed_braces,
    "lost-option": _lost_option,
    "answer-leak": _answer_leak,
    "states-answer": _states_answer,
    "other-format": _other_format,
    "other-task": _other_task,
}
"""The rules in the order they are checked; :mod:`paft.prompts.screen` has those that compare prompts."""

NEEDED = {
    "empty": "such a prompt shows nothing",
    "unknown-slot": "such a prompt cannot be filled",
    "repeat": "one prompt measured twice counts as two",
}
"""Rules that cannot be turned off, and why."""

WORDING = frozenset({"other-format", "other-task", "near-duplicate", "copied-example"})
"""Rules on wording. They apply to generated and imported prompts, not to a prompt file that the user names."""


def check_rules(off: Iterable[str]) -> None:
    """Refuse to turn off a rule that does not exist or that is always needed."""
    known = [*RULES, "repeat", "near-duplicate", "copied-example"]
    for name in off:
        if name not in known:
            raise UserError(f"config key prompts.screen.off: no rule {name!r}{nearest(name, known)}")
        if name in NEEDED:
            raise UserError(f"config key prompts.screen.off: {name} cannot be turned off: {NEEDED[name]}")
