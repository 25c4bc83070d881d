"""Chat messages as one system and one user text; JSON texts that hold them."""

import json
from typing import Any

from paft.errors import UserError
from paft.prompts.importing.entry import UnreadableError

_SYSTEM, _USER, _ASSISTANT = "system", "user", "assistant"
_OTHER_NAMES = {"developer": _SYSTEM}


def is_chat(tree: Any) -> bool:
    """Return True for a list of objects that have a role."""
    return isinstance(tree, list) and bool(tree) and all(isinstance(m, dict) and "role" in m for m in tree)


def has_answers(tree: Any) -> bool:
    """Return True for a list of messages with one of the assistant."""
    return is_chat(tree) and any(message["role"] == _ASSISTANT for message in tree)


def system_and_user(messages: Any) -> tuple[str, str]:
    """Return the system text, empty if there is none, and the user text of a conversation.

    Raises:
        UnreadableError: it is no list of messages, or has other turns than these two.
    """
    if not is_chat(messages):
        raise UnreadableError("it is no list of messages, each with a role and content")
    roles = [_OTHER_NAMES.get(str(m["role"]), m["role"]) for m in messages]
    if _ASSISTANT in roles:
        raise UnreadableError(
            "it has assistant turns (few-shot examples); a prompt is one system and one user text"
        )
    if (turns := roles.count(_USER)) > 1:
        raise UnreadableError(f"it has {turns} user turns; a prompt is one system and one user text")
    if roles not in ([_USER], [_SYSTEM, _USER]):
        found = ", ".join(map(str, roles))
        raise UnreadableError(f"expected the messages system and user, or user alone; found {found[:60]}")
    texts = [_content(message) for message in messages]
    return texts[0] if len(texts) > 1 else "", texts[-1]


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        content = content[0].get("text")  # one part of a message in OpenAI's form
    if not isinstance(content, str):
        raise UnreadableError(f"the content of its {message['role']} message is no text")
    if content.startswith("file://"):
        raise UnreadableError(
            f"the content of its {message['role']} message is another file; write its text there"
        )
    return content


def json_tree(text: str, place: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        UserError: it is not JSON.
    """
    try:
        tree = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UserError(f"{place}: holds half of a surrogate pair (\\ud...); fix the text") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{place}:{error.lineno}: not JSON ({error.msg}); fix the line") from None
    except (ValueError, RecursionError):
        raise UserError(f"{place}: a number is too long, or nested too deeply") from None
    return tree
