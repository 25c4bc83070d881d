"""Thoughts of a reasoning model, and how a chat template opens and closes them."""

import re

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
"""What models write before their thoughts, and after them."""

OPEN, CLOSE = "<think>", "</think>"
"""How generated thoughts are marked for a reader of the text, whatever the model's own tags are."""

SWITCHES = ({"enable_thinking": False}, {"thinking": False})
"""Arguments by which chat templates leave thoughts out."""

_TAG = re.compile("|".join(re.escape(tag) for pair in TAGS.items() for tag in pair))


def open_thought(text: str) -> str:
    """Return the last thought of a text, from its tag on, if the text ends inside it; else an empty string."""
    tags = list(_TAG.finditer(text))
    return text[tags[-1].start() :] if tags and tags[-1][0] in TAGS else ""


def closing(thought: str) -> str:
    """Return what closes an open thought, with the line ends that models write around it.

    Behind ``<think>`` and a line end this makes the empty thought that Qwen3 writes.
    """
    tag = tag_of(thought)
    return ("\n" if thought.endswith("\n") else "") + TAGS[tag] + "\n\n"


def tag_of(thought: str) -> str:
    """Return the tag that an open thought begins with."""
    match = _TAG.match(thought)
    assert match is not None
    return match[0]
