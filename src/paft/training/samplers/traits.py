"""Groups of prompts by their traits: 400 prompts are seen less than once each, a trait is seen often."""

from collections.abc import Mapping, Sequence

from paft.errors import UserError
from paft.prompts.traits import contrasts, traits_of
from paft.tasks.task import Task
from paft.types import Prompt


def trait_groups(prompts: Sequence[Prompt], task: Task | None, sampler: str) -> dict[str, list[Prompt]]:
    """Return for each trait the prompts that have it, and under ``not TRAIT`` those that do not.

    A prompt is in one group of each trait that applies to it. A trait that all prompts share makes no group.

    Args:
        sampler: the name of the sampler, for the message.

    Raises:
        UserError: the prompts differ in no trait.
    """
    fields, labels, aliases = (task.fields, task.labels, task.aliases) if task else ((), None, {})
    traits = [traits_of(prompt, fields, labels, aliases) for prompt in prompts]
    groups: dict[str, list[Prompt]] = {}
    for name, (_, has) in contrasts(traits).items():
        having = [prompt for prompt, value in zip(prompts, has, strict=True) if value is True]
        lacking = [prompt for prompt, value in zip(prompts, has, strict=True) if value is False]
        if having and lacking:
            groups |= {name: having, f"not {name}": lacking}
    if not groups:
        raise UserError(
            f"config key training.sampler: {sampler} needs prompts that differ in a trait, but the {len(prompts)} "
            "training prompts share them all (length, lines, system text, place of the options, ending); add "
            "prompts of another kind, or use mixed"
        )
    grouped = {prompt for members in groups.values() for prompt in members}
    if others := [prompt for prompt in prompts if prompt not in grouped]:
        groups["no trait"] = others
    return groups


def groups_by_prompt(groups: Mapping[str, Sequence[Prompt]]) -> dict[str, list[str]]:
    """Return for the id of each prompt the groups that it is in."""
    found: dict[str, list[str]] = {}
    for group, members in groups.items():
        for prompt in members:
            found.setdefault(prompt.id, []).append(group)
    return found
