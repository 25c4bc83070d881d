"""The sampler of a training on groups, checked: it must not need losses that such a training does not have."""

from paft.errors import UserError
from paft.training.data import PromptData
from paft.training.samplers import PromptSampler, make_sampler


def group_sampler(data: PromptData, *, steps_per_epoch: int, examples_per_step: int) -> PromptSampler:
    """Return the sampler of a training on groups; one of its steps is one generation of groups.

    Raises:
        UserError: a setting is wrong, or the sampler learns from the losses of target answers.
    """
    made = make_sampler(
        data.sampler,
        data.prompts,
        K=data.K,
        steps_per_epoch=steps_per_epoch,
        seed=data.seed,
        task=data.task,
        examples_per_step=examples_per_step,
    )
    if made.observes:
        raise UserError(
            f"config key training.sampler: {type(made).__name__} learns from the loss of the right answer, which "
            "a training on rewards does not compute; use another, such as uniform, mixed or dropout"
        )
    return made
