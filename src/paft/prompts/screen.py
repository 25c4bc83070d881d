"""Which prompts cannot be used for a task, each with the rule it breaks and the reason in words."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paft.errors import nearest
from paft.prompts.template import SLOT, literal, slots
from paft.tasks.task import LETTERS, Task
from paft.types import Example, Prompt


@dataclass(frozen=True)
class Screened:
    """A prompt that was left out, the name of the rule and the reason."""

    prompt: Prompt
    rule: str
    reason: str


def screen(
    prompts: Iterable[Prompt], task: Task, examples: Iterable[Example] = ()
) -> tuple[list[Prompt], list[Screened]]:
    """Split prompts into those that are fit for the task and those that are not, both in their order.

    Args:
        examples: a prompt that holds the right option of one of them word for word leaks an answer.
    """
    answers = _long_answers(examples) if task.labels is None else {}
    kept: list[Prompt] = []
    out: list[Screened] = []
    seen: dict[str, Prompt] = {}
    for prompt in prompts:
        key = normalised(prompt, task.aliases)
        fault = defect(prompt, task) or _leaked_example(prompt, answers)
        if fault is None and key in seen:
            fault = ("repeat", f"repeats prompt {seen[key].id} up to case, spacing and punctuation")
        if fault is not None:
            out.append(Screened(prompt, *fault))
        else:
            seen[key] = prompt
            kept.append(prompt)
    return kept, out


def overlap(train: Iterable[Prompt], test: Iterable[Prompt], task: Task) -> list[tuple[Prompt, Prompt]]:
    """Return the pairs ``(training prompt, test prompt)`` equal up to case, spacing and punctuation."""
    known = {normalised(prompt, task.aliases): prompt for prompt in train}
    return [(known[key], prompt) for prompt in test if (key := normalised(prompt, task.aliases)) in known]


def defect(prompt: Prompt, task: Task) -> tuple[str, str] | None:
    """Return ``(rule, reason)`` for a prompt that breaks a rule by itself, None for a sound one."""
    used = slots(prompt, task.aliases)
    if not prompt.text.strip():
        return "empty", "the text is empty"
    for name in used:
        if name not in task.slots:
            if task.letters == 0 and name in LETTERS:
                return (
                    "unknown-slot",
                    f"{{{name}}}: the examples differ in how many options they have; use {{choices}}",
                )
            return "unknown-slot", f"the task has no slot {{{name}}}{nearest(name, task.slots)}"
    for name in task.fields:
        if name not in used:
            return "missing-slot", f"the slot {{{name}}} is missing"
    single = {name for name in used if name in LETTERS[: task.letters]}
    if task.labels is None and "choices" not in used and len(single) < max(task.letters, 1):
        missing = [f"{{{c}}}" for c in LETTERS[: task.letters] if c not in single] or ["{choices}"]
        return "missing-slot", f"not all options are shown: {', '.join(missing)} or {{choices}} is missing"
    if task.labels is not None and "choices" not in used and 0 < len(single) < task.letters:
        return "answer-leak", "shows only some of the options"
    return _leaked_label(prompt, task) or _leaked_letter(prompt, task)


def normalised(prompt: Prompt, aliases: Mapping[str, str] | None = None) -> str:
    """Return the prompt's words: lower case, without spacing and punctuation, slots by their own names."""
    text = f"{prompt.system or ''}\n{prompt.text}".replace("\\n", "\n")
    text = SLOT.sub(lambda m: f" {(aliases or {}).get(m[1], m[1])} ", text)
    return _words(text)


def _leaked_label(prompt: Prompt, task: Task) -> tuple[str, str] | None:
    """A prompt that names some labels of the task but not all of them points at an answer."""
    if task.labels is None:
        return None
    text = literal(prompt)
    named = [label for label in task.labels if re.search(_word(label), text, re.IGNORECASE)]
    if named and len(named) < len(task.labels):
        return "answer-leak", f"names only some of the labels: {', '.join(named)}"
    return None


def _word(label: str) -> str:
    """Return a pattern for a label as whole words, in the singular or the plural."""
    stem, end = (label[:-1], "(?:y|ies)") if label.endswith("y") else (label, "(?:s|es)?")
    return rf"(?<!\w){re.escape(stem)}{end}(?!\w)"


_LETTER_STATED = re.compile(
    r"\b(?:answer|choice|option)[^\S\n]*(?:is|:|=)[^\S\n]*[\"'(\[]?([A-Z])[\"')\]]?(?P<rest>[^\n]*)", re.IGNORECASE
)


def _leaked_letter(prompt: Prompt, task: Task) -> tuple[str, str] | None:
    """``Answer: B`` states an answer; ``Answer: A, B or C`` and ``the answer is a letter`` do not."""
    if task.answer != "letter":
        return None
    letters = LETTERS[: task.letters]
    for match in _LETTER_STATED.finditer(literal(prompt)):
        others = [c for c in letters if c != match[1] and re.search(rf"\b{c}\b", match["rest"])]
        word_goes_on = re.match(r"\w|\s+[a-z]", match["rest"])
        if match[1] in letters and not others and not word_goes_on:
            return "answer-leak", f"states an answer: {match[0].strip()!r}"
    return None


def _long_answers(examples: Iterable[Example]) -> dict[str, str]:
    """Return the right options that are long enough to be no coincidence, normalised, with their example."""
    found = ((_words(e.options[e.target]), e.id) for e in examples)
    return {words: example for words, example in found if words.count(" ") >= 5}


def _leaked_example(prompt: Prompt, answers: dict[str, str]) -> tuple[str, str] | None:
    words = f" {_words(literal(prompt))} "
    for answer, example in answers.items():
        if f" {answer} " in words:
            return "answer-leak", f"holds the answer of example {example}"
    return None


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


def counts(screened: Iterable[Screened]) -> str:
    """Return ``3 answer-leak, 1 repeat``."""
    return ", ".join(f"{n} {rule}" for rule, n in Counter(s.rule for s in screened).most_common())
