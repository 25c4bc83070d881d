"""The sampler of a training on groups, checked: it must not need losses that such a training does not have."""

from collections.abc import Sequence

from paft.errors import UserError
from paft.prompts.rules import WORDING, defect
from paft.tasks.task import Task
from paft.training.samplers import PromptSampler, make_sampler
from paft.types import Prompt
from paft.utils.plugins import Part


def group_sampler(
    setting: Part,
    prompts: Sequence[Prompt],
    task: Task,
    *,
    K: int,  # noqa: N803
    steps_per_epoch: int,
    seed: int,
    examples_per_step: int,
) -> PromptSampler:
    """Return the sampler of a training on groups; one of its steps is one generation of groups.

    Args:
        setting: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.

    Raises:
        UserError: a setting is wrong, or the sampler learns from the losses of target answers.
    """
    made = make_sampler(
        setting,
        prompts,
        K=K,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        task=task,
        examples_per_step=examples_per_step,
    )
    name = type(made).__name__
    if made.observes:
        raise UserError(
            f"config key training.sampler: {name} learns from the loss of the right answer, which a training on "
            "rewards does not compute; use another, such as uniform, mixed or dropout"
        )
    for prompt in made.extra_prompts:
        if fault := defect(prompt, task, WORDING):
            raise UserError(
                f"the sampler {name} adds the prompt {prompt.text!r}, which does not fit the task: {fault[1]}"
            )
    return made
