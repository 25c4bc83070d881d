"""The requests to language models that write prompts, zero-shot and few-shot."""

import random
from collections.abc import Sequence
from typing import Any

from paft.tasks.task import Task
from paft.types import LETTERS, Conversation, Example, Prompt

ZERO_SHOT, FEW_SHOT = "zero-shot", "few-shot"

FORMS = (
    "the input first and the instruction after it; the instruction first and the input last",
    "very short ones, one line, without any politeness; long and careful ones that say what to look for",
    "a question; an order; a request from a colleague; a line from a form to be filled in",
    "with headings and line breaks; in running text, the slots inside a sentence; with marks such as === or ##",
    "with a role for the model in the system text; without any system text",
    "ending on a cue such as 'Answer:'; ending on the input; ending on a reminder of how to answer",
    "plain words for a child; technical words; a chatty tone; a formal tone",
    "the task as a game, a quiz, an examination, a job at an office",
)
"""Ways in which prompts may differ; each request names two of them, in turn."""

OTHER_TASK = (
    "(For another task, sorting mails, a template with the slot {mail} might be: "
    "'Which folder is this mail for?\\n\\n{mail}')"
)
"""Explains slots to models that would otherwise write questions; the task is none of paft's."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"system": {"type": "string"}, "text": {"type": "string"}},
                "required": ["system", "text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["prompts"],
    "additionalProperties": False,
}
"""The schema of an answer; an empty system text means none."""


def instruction(
    task: Task, example: Example | None, strategy: str, shots: Sequence[Prompt], count: int, index: int
) -> Conversation:
    """Return the ``index``-th request of a strategy for ``count`` prompts."""
    parts = [
        f"Write {count} prompt templates that ask a language model to do this task.",
        *requirements(task),
    ]
    if example is not None:
        parts.append(f"One question of the task, so that you know it: {_shown(task, example)}")
    if strategy == FEW_SHOT:
        drawn = random.Random(f"shots:{index}").sample(list(shots), min(len(shots), 4))
        known = "\n\n".join(f"Template {i}:\n{whole(prompt)}" for i, prompt in enumerate(drawn, start=1))
        parts.append(
            f"Templates that exist already; write others, in other words and with another layout:\n\n{known}"
        )
    forms = [FORMS[(2 * index + i) % len(FORMS)] for i in range(2)]
    parts.append(
        "Let them differ clearly from each other in wording, tone, length and layout. "
        f"This time: {'; '.join(forms)}."
    )
    parts.append(json_form(task))
    return Conversation("\n\n".join(parts))


def requirements(task: Task) -> list[str]:
    """Return the description of the task and the requirements on a template, one paragraph each."""
    slots = ", ".join(f"{{{name}}}" for name in task.fields)
    answer = task.answer_format.describe(task.labels, task.letters)
    return [
        f"The task: {task.description or task.name}.".replace("..", "."),
        f"Slots: each template must hold {slots}, exactly so, braces included; the same template serves for "
        "thousands of questions, and the program puts the text of each where the slot is. "
        f"{_options(task)}Use no other braces, and write no question of your own. {OTHER_TASK}",
        f"The model must answer with {answer} and nothing else; a template must not ask for another form "
        "of answer, and must not give an answer away.",
    ]


def json_form(task: Task) -> str:
    """Return the request for an answer in the form of :data:`SCHEMA`."""
    needed = [*task.fields, *(["choices"] if task.has_own_options else [])]
    text = " ... ".join(["", *(f"{{{name}}}" for name in needed), ""]).strip()
    return (
        f'Answer with JSON alone: {{"prompts": [{{"system": "", "text": "{text}"}}]}}, where text is a template '
        "with its slots still in it, and system a system text or empty."
    )


def whole(prompt: Prompt) -> str:
    """Return a prompt as a language model sees it."""
    return f"(system: {prompt.system})\n{prompt.text}" if prompt.system else prompt.text


def _options(task: Task) -> str:
    if not task.has_options:
        return ""
    single = ", ".join(f"{{{c}}}" for c in LETTERS[: task.letters])
    if task.labels is not None:
        return (
            f"{{choices}} stands for the list of labels ({', '.join(task.labels)}); use it or name all of them. "
        )
    if not single:
        return "It must hold {choices} too, which stands for the list of the options. "
    return (
        f"It must hold either {{choices}}, the list of the options, or every one of {single}, the single options. "
    )


def _shown(task: Task, example: Example) -> str:
    fields = "; ".join(f"{name} = {value[:300]!r}" for name, value in example.fields.items())
    options = f"; options = {[option[:100] for option in example.options]}" if task.has_own_options else ""
    right = "" if task.has_options else task.target(example)[:300]
    answer = "" if task.has_options else f"; its right answer, which no template may hold, = {right!r}"
    return f"{fields}{options}{answer}."
