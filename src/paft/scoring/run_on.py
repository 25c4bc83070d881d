"""The part of an output that is judged: a base model that has answered goes on with a next question of its own."""

from functools import lru_cache

from paft.prompts.template import plain_form
from paft.scoring.text import before_cue, run_on_cues
from paft.tasks.task import Task
from paft.types import Example, Prompt


def judged_part(output: str, prompt: Prompt, task: Task, example: Example) -> str:
    """Return an output up to where the model goes on with a next question in the form of what it was shown.

    That is the form of the prompt or, where the task has demonstrations, the plain one that they may have.
    """
    slots = frozenset((*task.fields, *(alias for alias, slot in task.aliases.items() if slot in task.fields)))
    template = f"{prompt.text}\n{plain_form(task)}" if task.shots else prompt.text
    return before_cue(output, _cues(template, slots), task.targets(example))


@lru_cache(maxsize=1024)  # each prompt is asked about many examples
def _cues(template: str, slots: frozenset[str]) -> tuple[str, ...]:
    return run_on_cues(template, slots)
