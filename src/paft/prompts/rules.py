"""The rules that a prompt must keep by itself, each with its name and a reason in words."""

import re
from collections.abc import Callable, Iterable, Mapping

from paft.errors import UserError, nearest
from paft.prompts.template import SLOT, literal, slots
from paft.tasks.task import LETTERS, Task
from paft.types import Prompt


def defect(prompt: Prompt, task: Task, off: frozenset[str] = frozenset()) -> tuple[str, str] | None:
    """Return ``(rule, reason)`` of the first rule that a prompt breaks, None for a sound one."""
    for name, rule in RULES.items():
        if name not in off and (reason := rule(prompt, task)):
            return name, reason
    return None


def normalised(prompt: Prompt, aliases: Mapping[str, str] | None = None) -> str:
    """Return the prompt's words: lower case, without spacing and punctuation, slots by their own names."""
    text = f"{prompt.system or ''}\n{prompt.text}".replace("\\n", "\n")
    return words(SLOT.sub(lambda m: f" {(aliases or {}).get(m[1], m[1])} ", text))


def words(text: str) -> str:
    """Return the words of a text in lower case, a space between two."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


def _empty(prompt: Prompt, task: Task) -> str | None:
    return None if prompt.text.strip() else "the text is empty"


def _unknown_slot(prompt: Prompt, task: Task) -> str | None:
    for name in slots(prompt, task.aliases):
        if name not in task.slots:
            if task.letters == 0 and name in LETTERS:
                return f"{{{name}}}: the examples differ in how many options they have; use {{choices}}"
            return f"the task has no slot {{{name}}}{nearest(name, [s for s in task.slots if len(s) > 1])}"
    return None


def _missing_slot(prompt: Prompt, task: Task) -> str | None:
    used = slots(prompt, task.aliases)
    missing = next((name for name in task.fields if name not in used), None)
    if missing is not None:
        return f"the slot {{{missing}}} is missing"
    if task.labels is None and "choices" not in used and not _single(used, task):
        return f"the options are not shown: {{choices}}{' or {A}, {B}, ...' * bool(task.letters)} is missing"
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
    """A prompt that names some labels of the task but not all of them points at an answer."""
    if task.labels is None:
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


_LETTER_STATED = r"\b(?:answer|choice|option)[^\S\n]*(?:is|:|=)[^\S\n]*[\"'(\[]?"
_LABEL_STATED = r"\b(?:answer|label|class|category)[^\S\n]*(?:is|:)[^\S\n]*[\"'(\[]?"


def _states_answer(prompt: Prompt, task: Task) -> str | None:
    """``Answer: B`` states an answer; ``Answer: A, B or C`` and ``the answer is a letter`` do not."""
    letters = task.answer == "letter"
    answers = LETTERS[: task.letters] if letters else task.labels or ()
    case = re.NOFLAG if letters else re.IGNORECASE
    one = "|".join(map(re.escape, answers))
    stated = re.compile(
        rf"(?i:{_LETTER_STATED if letters else _LABEL_STATED})({one})(?!\w)[\"')\]]?([^\n]*)", case
    )
    found: dict[str, str] = {}
    for match in stated.finditer(literal(prompt)) if answers else ():
        if letters and re.match(r"\s+[a-z]", match[2]):
            continue
        found |= {
            answer.casefold(): match[0] for answer in re.findall(rf"\b(?:{one})\b", match[1] + match[2], case)
        }
    return f"states an answer: {' '.join(next(iter(found.values())).split())[:80]!r}" if len(found) == 1 else None


_ASK = r"\b(?:answer|reply|respond|return|give|write|output|state|print|provide)\b"
_ONLY = (
    rf"{_ASK}(?: only| just)?(?: with| by| in)?(?: only| just)? (?:the |a |one |its )?(?:single |correct |right )?"
)
_NOT = re.compile(
    r"(?:\bnot?|n't|\bwithout|\bnever|\bnor|\bneither|\brather than|\binstead of|\bskip|\bomit)\b", re.IGNORECASE
)
_YES_NO = rf"{_ASK}[^.\n]{{0,20}}[\"']?\b(?:yes or no|yes/no|true or false|true/false)\b"
_NUMBER = rf"{_ONLY}(?:digit|index|integer|score|rating)\b(?!'| letter)"
_FORMATS = {
    "JSON or other markup": r"\b(?:in|as|valid) (?:an? )?(?:JSON|XML|YAML|CSV|HTML)\b"
    r"|\bJSON (?:object|array|list|format)\b",
    "an explanation": r"\b(?:explain|justify|defend) (?:why|how|your|the|each)\b|\bshow your (?:work|reasoning)\b"
    rf"|{_ASK}[^.\n]{{0,30}}\b(?:explanation|justification|reasons)\b|\bgive (?:a|your|the) reason",
}
_TEXT_FORMATS = {"a letter": rf"{_ONLY}letter\b", "yes or no": _YES_NO, "a number": _NUMBER}
_LETTER_FORMATS = {
    "the option's text": rf"{_ASK}[^.\n]{{0,20}}\b(?:full|whole|entire|complete) "
    r"(?:text|sentence|option|ending|answer)\b",
    "yes or no": _YES_NO,
    "a number": _NUMBER,
}


def _other_format(prompt: Prompt, task: Task) -> str | None:
    """A prompt may forbid a format; it may not ask for one in which the right answer would be counted wrong."""
    formats = _FORMATS | (_LETTER_FORMATS if task.answer == "letter" else _TEXT_FORMATS)
    found = _asked(prompt, formats, own=" ".join(task.labels or ()))
    return f"asks for {found[0]}: {found[1]!r}" if found else None


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
    """What asks for another task, unless this task is described in that word too."""
    own = " ".join((task.name, task.description, *task.fields, *(task.labels or ())))
    found = _asked(prompt, _TASKS, own)
    return f"asks for {found[0]}: {found[1]!r}" if found else None


def _asked(prompt: Prompt, patterns: Mapping[str, str], own: str) -> tuple[str, str] | None:
    """Return the first ``(name, phrase)`` that a prompt does not deny and whose key words are not the task's.

    The first and the last word that mean something are its key words; of a word its beginning counts, so that
    ``summarize`` is the word of a task on summaries.
    """
    text, known = literal(prompt), {word[:6] for word in words(own).split()}
    for name, pattern in patterns.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            clause = re.split(r"[.!?;\n]", text[max(0, match.start() - 25) : match.end()].rstrip(".!?;\n"))[-1]
            denied = _NOT.search(re.sub(r"yes(?: or |/)no", "", clause, flags=re.IGNORECASE))
            said = [word[:6] for word in words(match[0]).split() if word not in _COMMON] or [""]
            if not denied and not {said[0], said[-1]} & known:
                return name, " ".join(match[0].strip(" .!?:;\n").split())
    return None


_COMMON = frozenset(
    words(
        """the a an this it what that each is of in to me for and then please must should will answer reply respond
        return give write output state print provide only just with by one its single all"""
    ).split()
)
"""Words of the patterns above that say nothing of the task that is asked for."""


Rule = Callable[[Prompt, Task], str | None]

RULES: dict[str, Rule] = {
    "empty": _empty,
    "unknown-slot": _unknown_slot,
    "missing-slot": _missing_slot,
    "lost-option": _lost_option,
    "answer-leak": _answer_leak,
    "states-answer": _states_answer,
    "other-format": _other_format,
    "other-task": _other_task,
}
"""The rules in the order they are asked; :mod:`paft.prompts.screen` has those that look at more than a prompt."""

NEEDED = {
    "empty": "such a prompt shows nothing",
    "unknown-slot": "such a prompt cannot be filled",
    "repeat": "one prompt measured twice counts as two",
}
"""Rules that cannot be turned off, and why."""

WORDING = frozenset({"other-format", "other-task", "near-duplicate", "copied-example"})
"""Rules on what a prompt says. A file that a user names is taken at its word; these are for what is collected."""


def check_rules(off: Iterable[str]) -> None:
    """Refuse a rule to be turned off that does not exist or cannot be."""
    known = [*RULES, "repeat", "near-duplicate", "copied-example"]
    for name in off:
        if name not in known:
            raise UserError(f"config key prompts.screen.off: no rule {name!r}{nearest(name, known)}")
        if name in NEEDED:
            raise UserError(f"config key prompts.screen.off: {name} cannot be turned off: {NEEDED[name]}")
