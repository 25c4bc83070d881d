"""The protocol of a sampler: which prompt each example of an optimiser step gets."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from paft.tasks.task import Task
from paft.types import Example, Prompt

LossFunction = Callable[[Sequence[Prompt], Sequence[Example]], list[list[float]]]
"""``losses(prompts, examples)[i][j]``: the mean cross-entropy of the answer tokens of example j under prompt i,
by the model as it is now, without dropout. It costs a forward; its tokens are counted in the log of the step."""


class PromptSampler(ABC):
    """Draws the prompt of each example of an optimiser step.

    :meth:`draw` is a pure function of the seed, the step, :meth:`state_dict` and the model. Then every process
    draws the same prompts without communication, and a resumed training equals an uninterrupted one.

    Args:
        prompts: the training prompts.
        K: optimiser steps that one drawn prompt is kept for; a sampler of your own may ignore it.
        steps_per_epoch: optimiser steps in an epoch.
        seed: the only source of randomness.
        task: what is asked.
        examples_per_step: how many examples :meth:`draw` gets, except in the last step of an epoch.

    Attributes:
        prompts_per_step: how many prompts the examples of a step get, at most; None where that is not known.
        extra_prompts: prompts that :meth:`draw` may return besides the training prompts.
    """

    observes: ClassVar[bool] = False
    """Whether :meth:`observe` is called. Losses are gathered over the processes only then."""

    prompts_per_step: int | None = None
    extra_prompts: tuple[Prompt, ...] = ()

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        K: int,  # noqa: N803
        steps_per_epoch: int,
        seed: int,
        task: Task | None = None,
        examples_per_step: int | None = None,
    ):
        self.prompts = tuple(prompts)
        self.K, self.steps_per_epoch, self.seed = K, steps_per_epoch, seed
        self.task, self.examples_per_step = task, examples_per_step

    def bind(self, losses: LossFunction) -> None:  # noqa: B027  (most samplers need none)
        """Take a function that asks the model for losses; called once, before anything is drawn.

        With several processes, :meth:`draw` must call it equally often on each of them, with the same arguments.
        All of them get the same values.
        """

    @abstractmethod
    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the prompt of each example, in the order of the examples.

        Args:
            step: the optimiser step, counted from 0 over all epochs.
            examples: all examples of the step, over gradient accumulation and all processes. If the objective
                needs each example under several prompts, all examples come once, then all of them again.
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
        """Return what :meth:`observe` and :meth:`draw` have changed, as JSON values (keys are strings)."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Restore what :meth:`state_dict` returned."""
