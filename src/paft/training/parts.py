"""The sampler and the objective of a training, checked against each other, the task and the batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.tasks.task import Task
from paft.training.objectives import Objective, make_objective
from paft.training.samplers import PromptSampler, make_sampler
from paft.types import Prompt
from paft.utils.plugins import Part, user_code


@dataclass(frozen=True)
class StepShape:
    """What an optimiser step holds.

    Attributes:
        examples: over gradient accumulation and processes; the last step of an epoch may hold fewer.
        forwards: over gradient accumulation and processes.
    """

    examples: int
    forwards: int
    steps_per_epoch: int


def make_parts(
    sampler: Part,
    objective: Part,
    task: Task,
    format: ChatFormat,
    prompts: Sequence[Prompt],
    shape: StepShape,
    *,
    K: int,  # noqa: N803
    seed: int,
) -> tuple[PromptSampler, Objective]:
    """Return the sampler and the objective of a training.

    Args:
        sampler, objective: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.
        format: how answers become tokens.
        prompts: the training prompts.

    Raises:
        UserError: a setting is wrong, or the two do not fit each other, the task or the step.
    """
    loss = make_objective(objective)
    made = make_sampler(
        sampler,
        prompts,
        K=K,
        steps_per_epoch=shape.steps_per_epoch,
        seed=seed,
        task=task,
        examples_per_step=shape.examples * loss.prompts_per_example,
    )
    _check_objective(loss, made, prompts, shape)
    with user_code(f"the objective {type(loss).__name__}"):
        loss.bind(task, format)
    return made, loss


def _check_objective(
    objective: Objective, sampler: PromptSampler, prompts: Sequence[Prompt], shape: StepShape
) -> None:
    """Refuse an objective that compares more prompts than a step holds, or more forwards than it takes."""
    name, copies = type(objective).__name__, objective.prompts_per_example
    if copies > 1 and (sampler.prompts_per_step or copies) < copies:
        raise UserError(
            f"config key training.objective: {name} compares {copies} prompts of each example, but the sampler "
            f"{type(sampler).__name__} gives a step {sampler.prompts_per_step}; set training.sampler=mixed, with "
            f"training.prompts_per_step of {copies} or more, for a method that trains on several prompts"
        )
    if copies > len(prompts) > 0:  # none: the method has not written them yet
        raise UserError(
            f"config key training.objective: {name} compares {copies} prompts of each example, but the method "
            f"trains on {len(prompts)}; give it to a variant of a method that trains on more prompts"
        )
    if objective.needs_whole_step and shape.forwards > 1:
        raise UserError(
            f"config key training.objective: {name} needs all rows of a step in one forward, but there are "
            f"{shape.forwards} (gradient_accumulation_steps times processes); use one process and "
            f"training.gradient_accumulation_steps=1, with training.batch_size={shape.examples}"
        )
