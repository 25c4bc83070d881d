"""How a template is laid out: its slots, their order, and how it ends."""

import re
from collections.abc import Mapping

from paft.types import Prompt

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
