"""The samplers by name, and their draws, checked."""

from collections.abc import Sequence, Set

from paft.config.task import PartSetting
from paft.errors import UserError, WorkError
from paft.prompts.rules import WORDING, defect
from paft.tasks.task import Task
from paft.training.samplers.sampler import PromptSampler
from paft.types import Example, Prompt
from paft.utils.plugins import Part, Registry, keywords, make_part, part_setting, user_code

SAMPLERS = Registry(
    "sampler",
    {
        "uniform": "paft.training.samplers.uniform:UniformSampler",
        "mixed": "paft.training.samplers.mixed:MixedSampler",
        "dropout": "paft.training.samplers.dropout:DropoutSampler",
        "curriculum": "paft.training.samplers.curriculum:CurriculumSampler",
        "importance": "paft.training.samplers.importance:ImportanceSampler",
        "group-dro": "paft.training.samplers.group_dro:GroupDroSampler",
        "hardest": "paft.training.samplers.hardest:HardestSampler",
    },
)


def make_sampler(
    setting: Part,
    prompts: Sequence[Prompt],
    *,
    K: int,  # noqa: N803
    steps_per_epoch: int,
    seed: int,
    task: Task | None = None,
    examples_per_step: int | None = None,
    key: str = "training.sampler",
) -> PromptSampler:
    """Return the sampler of a setting.

    Args:
        setting: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.
        task, examples_per_step: passed to a sampler that takes them; prompts that it adds must fit the task.
        key: the config key of the setting, for messages.

    Raises:
        UserError: there is no such sampler, it is no :class:`PromptSampler`, it refuses a setting, or a prompt
            that it adds does not fit the task.
    """
    name, settings = part_setting(setting, key)
    taken = keywords(SAMPLERS.get(name, key) if isinstance(name, str) else name)
    if taken is not None and "prompts_per_step" in settings and "prompts_per_step" not in taken:
        raise UserError(
            f"config key training.prompts_per_step: the sampler {name!r} takes none; leave it out, or choose a "
            "sampler that gives the examples of a step several prompts, such as mixed"
        )
    given = {"prompts": prompts, "K": K, "steps_per_epoch": steps_per_epoch, "seed": seed}
    further = {"task": task, "examples_per_step": examples_per_step}
    given |= {name: value for name, value in further.items() if taken is None or name in taken}
    made = make_part(SAMPLERS, setting, key, PromptSampler, **given)  # type: ignore[type-abstract]
    if task is not None:
        _check_extra_prompts(made, task)
    return made


def _check_extra_prompts(sampler: PromptSampler, task: Task) -> None:
    for prompt in sampler.extra_prompts:
        if fault := defect(prompt, task, WORDING):
            raise UserError(
                f"the sampler {type(sampler).__name__} adds the prompt {prompt.text!r}, which does not fit the "
                f"task: {fault[1]}"
            )


def with_prompts_per_step(setting: PartSetting, size: int | None) -> PartSetting:
    """Return a sampler's setting with ``training.prompts_per_step`` among its own.

    Raises:
        UserError: it is there already.
    """
    if size is None:
        return setting
    settings = {"name": setting} if isinstance(setting, str) else setting
    if "prompts_per_step" in settings:
        raise UserError(
            f"config key training.prompts_per_step: {size} here, {settings['prompts_per_step']} in "
            "training.sampler; leave one of them out"
        )
    return {**settings, "prompts_per_step": size}


def draw_prompts(
    sampler: PromptSampler, step: int, examples: Sequence[Example], prompts: Set[Prompt]
) -> list[Prompt]:
    """Return the sampler's draw for a step.

    Args:
        prompts: the training prompts, and the extra prompts of the sampler.

    Raises:
        WorkError: the sampler's code fails, or does not return one of the prompts for each example.
    """
    name = f"the sampler {type(sampler).__name__}"
    with user_code(name):
        drawn = list(sampler.draw(step, examples))
    if len(drawn) != len(examples):
        raise WorkError(
            f"{name} drew {len(drawn)} prompts for the {len(examples)} examples of step {step}; "
            "draw() returns one prompt for each example"
        )
    for prompt in drawn:
        if not isinstance(prompt, Prompt) or prompt not in prompts:
            raise WorkError(
                f"{name} drew {str(prompt)[:80]!r} at step {step}, which is not one of the training prompts; "
                "draw() returns elements of self.prompts or of self.extra_prompts"
            )
    return drawn
