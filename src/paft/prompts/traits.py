"""The traits of a prompt that can be read from its text: its length, its parts, their order, how it ends."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from paft.prompts.template import ending, replace_slots, slot_matches
from paft.types import Prompt


@dataclass(frozen=True)
class PromptTraits:
    """The traits of a prompt.

    Attributes:
        words: the number of words in the template; a slot counts as one word.
        lines: the number of lines of the user text.
        system: whether the prompt has a system text.
        options: ``spelled out``, ``filled in`` (by a slot) or ``not shown``; None in a free-text task.
        options_in: the text that holds the options, ``system`` or ``user``; None if they are not shown.
        first: which comes first, ``options`` or ``question``; None if no options are shown.
        ending: the kind of ending, see :func:`paft.prompts.template.ending`.
    """

    words: int
    lines: int
    system: bool
    options: str | None
    options_in: str | None
    first: str | None
    ending: str

    def describe(self) -> str:
        """Return the traits as a phrase."""
        order = f"{self.first} first" if self.first else ""
        where = f" in the {self.options_in} text" if self.options_in else ""
        parts = [
            f"{self.words} words",
            "system text" if self.system else "",
            order,
            f"options {self.options}{where}" if self.options else "",
            f"ends with a {self.ending}",
        ]
        return ", ".join(filter(None, parts))


def traits_of(
    prompt: Prompt,
    fields: Sequence[str],
    labels: Sequence[str] | None,
    aliases: Mapping[str, str],
    *,
    has_options: bool = True,
) -> PromptTraits:
    """Return the traits of a prompt.

    Args:
        fields: names of the question's columns; if empty, every slot that shows no option counts as the question.
        labels: the task's fixed options, which a prompt may spell out.
        aliases: slot name -> the name that it stands for.
        has_options: whether the task is to choose between options; if not, no slot is one.
    """
    system = prompt.system or ""
    text = f"{system}\n{prompt.text}"
    slots = {m.start(): aliases.get(m[1], m[1]) for m in slot_matches(text)}
    options = [
        start for start, name in slots.items() if has_options and re.fullmatch("choices|[A-Z]", name)
    ]  # fmt: skip
    question = [start for start, name in slots.items() if (name in fields if fields else start not in options)]
    how = "filled in"
    if not options and labels and has_options:
        matches = [re.search(rf"(?<!\w){re.escape(label)}", text, re.IGNORECASE) for label in labels]
        options = [match.start() for match in matches if match] if all(matches) else []
        how = "spelled out"
    start = min(options, default=None)
    return PromptTraits(
        words=len(re.findall(r"\w+", replace_slots(text, lambda name: " slot "))),
        lines=len(prompt.text.strip().split("\n")),
        system=bool(system),
        options=(how if options else "not shown") if has_options else None,
        options_in=None if start is None else "system" if start < len(system) else "user",
        first=None if start is None or not question else "options" if start < min(question) else "question",
        ending=ending(prompt)[0],
    )


def contrasts(prompts: Sequence[PromptTraits]) -> dict[str, tuple[str, list[bool | None]]]:
    """Return each trait's opposite, and whether each prompt has the trait; None if neither applies to a prompt."""
    middle = statistics.median(prompt.words for prompt in prompts) if prompts else 0
    rules: dict[tuple[str, str], Callable[[PromptTraits], bool | None]] = {
        (f"longer than {middle:.0f} words", "shorter"): lambda prompt: prompt.words > middle,
        ("several lines", "one line"): lambda prompt: prompt.lines > 1,
        ("has a system text", "has none"): lambda prompt: prompt.system,
        ("options before the question", "after it"): lambda prompt: (
            prompt.first == "options" if prompt.first else None
        ),
        ("options shown", "not shown"): lambda prompt: prompt.options != "not shown",
        ("options in the system text", "in the user text"): lambda prompt: (
            prompt.options_in == "system" if prompt.options_in else None
        ),
        ("options spelled out", "filled in by a slot"): lambda prompt: (
            None if prompt.options == "not shown" else prompt.options == "spelled out"
        ),
        ("ends in a closing cue", "ends otherwise"): lambda prompt: prompt.ending == "cue",
        ("ends in a slot", "ends otherwise"): lambda prompt: prompt.ending == "slot",
    }
    if all(prompt.options is None for prompt in prompts):  # a free-text task
        rules = {names: rule for names, rule in rules.items() if not names[0].startswith("options")}
    return {name: (opposite, [rule(prompt) for prompt in prompts]) for (name, opposite), rule in rules.items()}
