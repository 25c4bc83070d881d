"""JSON and YAML files of prompts, read by the tool that they are from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.prompts.importing import promptfoo, promptsource, promptsuite
from paft.prompts.importing.chat import is_chat, json_tree
from paft.prompts.importing.entry import Entry
from paft.tasks.task import Task
from paft.utils.safe_io import PROMPTS, read_text, yaml_tree


def json_document(path: Path, task: Task) -> Iterator[Entry]:
    """Yield the prompts of a JSON file of promptfoo or PromptSuite."""
    tree = json_tree(read_text(path, PROMPTS), str(path))
    return _entries(path, tree, task, "JSON of promptfoo or PromptSuite")


def yaml_document(path: Path, task: Task) -> Iterator[Entry]:
    """Yield the prompts of a YAML file of promptsource, promptfoo or PromptSuite."""
    kind = "YAML of promptsource, promptfoo or PromptSuite"
    tree = yaml_tree(read_text(path, PROMPTS), str(path), promptsource.PromptsourceLoader, kind)
    if isinstance(tree, dict) and "templates" in tree and "prompts" not in tree:
        return promptsource.entries(path, tree, task)
    return _entries(path, tree, task, kind)


def _entries(path: Path, tree: Any, task: Task, kind: str) -> Iterator[Entry]:
    """Yield the prompts of a tree.

    Raises:
        UserError: it is of another tool.
    """
    if isinstance(tree, dict) and "prompts" in tree:
        return promptfoo.entries(path, tree)
    if is_chat(tree):
        return iter([promptfoo.chat_entry(str(path), tree)])
    if promptsuite.has_prompts(tree):
        return promptsuite.entries(path, tree, task)
    raise UserError(
        f"{path}: not {kind}: it has no prompts, templates, chat messages or variations; see docs/prompts.md"
    )
