"""Which prompt serves which example of an optimiser step.

Section 3.3 of the paper: in each of T epochs every example is visited once; a prompt is drawn uniformly from the
training prompts, kept for K iterations, then drawn again. An iteration is one optimiser step, so neither gradient
accumulation nor the number of processes changes which example is trained with which prompt.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar

from paft.errors import WorkError
from paft.types import Example, Prompt
from paft.utils.plugins import Part, Registry, make_part, user_code


class PromptSampler(ABC):
    """Draws the prompt of each example of an optimiser step.

    :meth:`draw` is a pure function of the seed, the step and :meth:`state_dict`. Then every process draws the same
    prompts without communication, and a resumed training equals an uninterrupted one.

    Args:
        prompts: the training prompts.
        K: optimiser steps that one drawn prompt is kept for; a sampler of your own may ignore it.
        steps_per_epoch: optimiser steps in an epoch.
        seed: the only source of randomness.
    """

    observes: ClassVar[bool] = False
    """Whether :meth:`observe` is called. Losses are gathered over the processes only then."""

    def __init__(self, prompts: Sequence[Prompt], *, K: int, steps_per_epoch: int, seed: int):  # noqa: N803
        self.prompts = tuple(prompts)
        self.K, self.steps_per_epoch, self.seed = K, steps_per_epoch, seed

    @abstractmethod
    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the prompt of each example, in the order of the examples.

        Args:
            step: the optimiser step, counted from 0 over all epochs.
            examples: all examples of the step, over gradient accumulation and all processes.
        """

    def observe(  # noqa: B027  (most samplers observe nothing)
        self, step: int, prompts: Sequence[Prompt], losses: Sequence[float]
    ) -> None:
        """Take the losses of a step after its update; called on every process with the same values.

        Args:
            prompts: what :meth:`draw` returned for the step.
            losses: for each example of the step, in the same order, the mean cross-entropy of its answer tokens.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`observe` has changed, as JSON values (the keys of a mapping are strings)."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Restore what :meth:`state_dict` returned."""


class UniformSampler(PromptSampler):
    """The paper's schedule: one prompt for all examples of K steps; a fixed prompt is the case of one prompt."""

    def prompt_of(self, step: int) -> Prompt:
        """Return the prompt of an optimiser step; a prompt is drawn again where an epoch begins."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        draw = random.Random(f"prompt:{self.seed}:{epoch}:{step_in_epoch // self.K}")
        return self.prompts[draw.randrange(len(self.prompts))]

    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the prompt of the step once for each example."""
        return [self.prompt_of(step)] * len(examples)


SAMPLERS = Registry("sampler", {"uniform": "paft.training.samplers:UniformSampler"})


def make_sampler(
    setting: Part,
    prompts: Sequence[Prompt],
    *,
    K: int,  # noqa: N803
    steps_per_epoch: int,
    seed: int,
    key: str = "training.sampler",
) -> PromptSampler:
    """Return the sampler of a setting.

    Args:
        setting: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.
        key: the config key of the setting, for messages.

    Raises:
        UserError: there is no such sampler, it is no :class:`PromptSampler`, or it refuses a setting.
    """
    settings = {"prompts": prompts, "K": K, "steps_per_epoch": steps_per_epoch, "seed": seed}
    return make_part(SAMPLERS, setting, key, PromptSampler, **settings)  # type: ignore[type-abstract]


def draw_prompts(
    sampler: PromptSampler, step: int, examples: Sequence[Example], prompts: Set[Prompt]
) -> list[Prompt]:
    """Return the sampler's draw for a step.

    Args:
        prompts: the training prompts.

    Raises:
        WorkError: the sampler's code fails, or does not return one of the training prompts for each example.
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
                "draw() returns elements of self.prompts"
            )
    return drawn
