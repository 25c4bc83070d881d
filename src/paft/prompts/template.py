"""Templates: their slots, how they end, and how they are filled.

A template is filled by plain substitution; nothing in it is executed.
"""

import re
from collections.abc import Mapping

from paft.tasks.task import Task
from paft.types import LETTERS, Conversation, Example, Prompt

SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def slots(prompt: Prompt, aliases: Mapping[str, str] | None = None) -> list[str]:
    """Return the prompt's slots in order of appearance, system text first, aliases replaced."""
    names = SLOT.findall(f"{prompt.system or ''}\n{prompt.text}")
    return [(aliases or {}).get(name, name) for name in names]


def ending(prompt: Prompt) -> tuple[str, str]:
    """Return how a prompt ends: ``slot``, ``cue``, ``question`` or ``sentence``, and the words of a cue."""
    text = prompt.text.rstrip()
    if re.search(SLOT.pattern + r"[\"')\].>}]*$", text):
        return "slot", ""
    tail = SLOT.split(text.rpartition("\n")[2])[-1].strip()
    if tail.endswith((":", "=", ">", "\u2192")):
        return "cue", tail
    return ("question" if tail.endswith("?") else "sentence"), ""


def literal(prompt: Prompt) -> str:
    """Return what the prompt says by itself: its text without slots, and without ``A.`` before ``{A}``."""
    text = f"{prompt.system or ''}\n{prompt.text}"
    text = re.sub(rf"[(\[]?\b[{LETTERS}]\b[)\].:=\-\s]*(?=\{{)", " ", text)
    return SLOT.sub(" ", text)


def render(prompt: Prompt, task: Task, example: Example) -> Conversation:
    """Fill a prompt's slots with an example.

    One pass over the template: braces inside an example's text are just text. Training and evaluation both
    come through here, so both see the same characters.
    """
    values = task.slot_values(example)

    def fill(template: str) -> str:
        return SLOT.sub(lambda m: values[task.aliases.get(m[1], m[1])], template)

    return Conversation(fill(prompt.text), fill(prompt.system) if prompt.system else None)
