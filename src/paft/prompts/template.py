"""Rendering. A template is filled by plain substitution; nothing in it is ever executed."""

import re

from paft.layout import SLOT
from paft.tasks.task import LETTERS, Task
from paft.types import Conversation, Example, Prompt


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
