"""Text that surrounds an answer."""

import re

_THOUGHTS_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THOUGHTS = re.compile(r"<think(?:ing)?>.*", re.IGNORECASE | re.DOTALL)


def without_thoughts(text: str) -> str:
    """Return what a reasoning model writes after its thoughts.

    Thoughts may begin in the prompt, so everything before the end tag is dropped. If the end tag is missing,
    nothing after the start tag is left.
    """
    return _THOUGHTS.sub("", _THOUGHTS_END.split(text)[-1])
