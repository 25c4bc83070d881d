"""Edits of a prompt that may make a model fail although the prompt still asks the same; slots stay as they are.

One-word edits are those of PromptBench (arXiv 2306.04528) and TextBugger (1812.05271), edits of format those of
FormatSpread (2310.11324). What is inside braces is never edited, and a command of LaTeX is not a word.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from paft.prompts.instruct import json_form, requirements, whole
from paft.prompts.parse import prompts_in
from paft.prompts.template import ending, slot_matches, slots
from paft.prompts.words import brace_depths, in_case, put_word, words_of
from paft.tasks.task import Task, slot_name
from paft.types import Prompt
from paft.utils.typos import altered, typo

Edit = Callable[[Prompt, Task, random.Random], Prompt | None]
"""Returns the edited prompt; None where the edit does not apply."""

FEWEST = 3
"""Words outside braces that an edit leaves in a prompt, if it has as many."""

REWRITES = 2
"""Rewrites that one request to a language model asks for."""

_TRIES = 4
"""Draws for each edit that is wanted; some do not apply, or repeat another."""


def edits(prompt: Prompt, task: Task, draw: random.Random, most: int) -> Iterator[Prompt]:
    """Yield at most ``most`` different prompts that are one edit away; ``strategy`` gains the edit's name."""
    seen, names = {(prompt.system, prompt.text)}, list(EDITS)
    for _ in range(_TRIES * most):
        name = draw.choice(names)
        edited = EDITS[name](prompt, task, draw)
        if edited is None or (edited.system, edited.text) in seen or not _keeps_words(prompt, edited):
            continue
        seen.add((edited.system, edited.text))
        yield _named(prompt, edited, name)
        if len(seen) > most:
            return


def rewrite_request(prompt: Prompt, task: Task) -> str:
    """Return the request to a language model for rewrites that another one is likely to get wrong."""
    return "\n\n".join(
        (
            f"This prompt template asks a language model to do a task:\n\n{whole(prompt)}",
            f"Write {REWRITES} other versions of it. Each must ask exactly the same, so that a person understands "
            "it at once, but in a way that a language model is likely to answer wrongly. Keep every slot once.",
            *requirements(task),
            json_form(task),
        )
    )


def rewrites(answer: str, prompt: Prompt, model: str) -> list[Prompt]:
    """Return the rewrites of an answer that keep the prompt's slots and are at most twice as long."""
    written = (replace(text, model=model) for text in prompts_in(answer, most=REWRITES))
    named = (_named(prompt, rewrite, "rewrite") for rewrite in written)
    return [r for r in named if _slots(r) == _slots(prompt) and len(whole(r)) <= 2 * len(whole(prompt))]


def _named(before: Prompt, edited: Prompt, name: str) -> Prompt:
    """Return an edited prompt with its provenance and an id of its own."""
    strategy = f"{before.strategy}, {name}" if before.strategy else name
    return replace(edited, source="attack", strategy=strategy, id="")


def _keeps_words(before: Prompt, edited: Prompt) -> bool:
    return len(words_of(edited)) >= min(FEWEST, len(words_of(before)))


def _slots(prompt: Prompt) -> list[str]:
    return sorted(match[0] for part in (prompt.system, prompt.text) for match in slot_matches(part or ""))


def _on_word(change: Callable[[str, random.Random], str]) -> Edit:
    """Return the edit that changes one word."""

    def edit(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
        if not (words := words_of(prompt)):
            return None
        part, start, end = draw.choice(words)
        return put_word(prompt, (part, start, end), change(getattr(prompt, part)[start:end], draw))

    return edit


def _drop_word(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
    """Drop a word with the space after it, or before it where it ends a line."""
    if not (words := words_of(prompt)):
        return None
    part, start, end = draw.choice(words)
    text = getattr(prompt, part)
    if text[end : end + 1] == " ":
        end += 1
    elif text[:start].endswith(" "):
        start -= 1
    return put_word(prompt, (part, start, end), "")


def _swap_words(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
    words = words_of(prompt)
    pairs = [
        (left, right)
        for left, right in itertools.pairwise(words)
        if left[0] == right[0] and getattr(prompt, left[0])[left[2] : right[1]] == " "
    ]
    if not pairs:
        return None
    (part, start, middle), (_, second, end) = draw.choice(pairs)
    text = getattr(prompt, part)
    return put_word(prompt, (part, start, end), f"{text[second:end]} {text[start:middle]}")


def _in_case(change: Callable[[str], str]) -> Edit:
    """Return the edit that writes all words in another case."""
    return lambda prompt, task, draw: in_case(prompt, change)


def _separated(pattern: str, *others: str) -> Edit:
    """Return the edit that writes one of ``others`` for each separator of the user's text."""

    def edit(prompt: Prompt, task: Task, draw: random.Random) -> Prompt:
        depths, other = brace_depths(prompt.text), draw.choice(others)
        return replace(prompt, text=re.sub(pattern, lambda m: m[0] if depths[m.start()] else other, prompt.text))

    return edit


def _drop_cue(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
    kind, cue = ending(prompt)
    if kind != "cue" or re.search(r"[{}\\]", cue):
        return None
    return replace(prompt, text=prompt.text.rstrip()[: -len(cue)].rstrip())


def _add_cue(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
    return None if ending(prompt)[0] == "cue" else replace(prompt, text=f"{prompt.text.rstrip()}\nAnswer:")


def _move_question(*, first: bool) -> Edit:
    """Return the edit that moves the line of the last field, the question, to the beginning or the end."""

    def edit(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
        lines = prompt.text.split("\n")
        places = [i for i, line in enumerate(lines) if slot_name(task.fields[-1]) in _names(line, task)]
        if len(places) != 1 or brace_depths("".join(lines[: places[0]]))[-1] or brace_depths(lines[places[0]])[-1]:
            return None
        lines.insert(0 if first else len(lines), lines.pop(places[0]))
        return replace(prompt, text="\n".join(lines))

    return edit


def _names(text: str, task: Task) -> list[str]:
    return slots(Prompt(text), task.aliases)


def _system_to_user(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
    return replace(prompt, text=f"{prompt.system}\n\n{prompt.text}", system=None) if prompt.system else None


def _user_to_system(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
    """Make the first line the system text, where it holds no field."""
    first, _, rest = prompt.text.partition("\n")
    holds_field = {slot_name(name) for name in task.fields} & set(_names(first, task))
    if prompt.system or holds_field or not first.strip() or brace_depths(first)[-1]:
        return None
    return replace(prompt, text=rest.strip(), system=first.strip()) if rest.strip() else None


def _around_slot(left: str, right: str) -> Edit:
    """Return the edit that writes something around one slot."""

    def edit(prompt: Prompt, task: Task, draw: random.Random) -> Prompt | None:
        text, depths = prompt.text, brace_depths(prompt.text)
        places = [match.span() for match in slot_matches(text) if not depths[match.start()]]
        if not places:
            return None
        start, end = draw.choice(places)
        return replace(prompt, text=f"{text[:start]}{left}{text[start:end]}{right}{text[end:]}")

    return edit


EDITS: dict[str, Edit] = {
    "drop-word": _drop_word,
    "swap-words": _swap_words,
    "repeat-word": _on_word(lambda word, draw: f"{word} {word}"),
    "typo": _on_word(lambda word, draw: draw.choice((typo, altered))(word, draw)),
    "lower-case": _in_case(str.lower),
    "upper-case": _in_case(str.upper),
    "lines": _separated(r"[ \t]*\n\s*", " ", "\n\n", " | "),
    "colons": _separated(": ", " - "),
    "drop-cue": _drop_cue,
    "add-cue": _add_cue,
    "question-first": _move_question(first=True),
    "question-last": _move_question(first=False),
    "system-to-user": _system_to_user,
    "user-to-system": _user_to_system,
    "quotes": _around_slot('"', '"'),
    "brackets": _around_slot("[", "]"),
}
"""The edits by name."""
