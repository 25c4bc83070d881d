"""What is minimised: a scalar computed from the logits of the answer tokens of one forward."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn.functional import cross_entropy

from paft.errors import WorkError
from paft.types import Example, Prompt
from paft.utils.plugins import Part, Registry, make_part, user_code


@dataclass(frozen=True)
class StepRows:
    """The rows of one forward: each is an example under a prompt, followed by its answer.

    Attributes:
        examples, prompts: of each row.
        logits: ``(tokens, vocabulary)``, at the positions that predict answer tokens, rows one after the other;
            in the type that the model computes in.
        labels: ``(tokens,)``, the ids of the answer tokens; the end of each answer is one of them.
        answer_lengths: answer tokens of each row.
        count: answer tokens of the whole optimiser step, over gradient accumulation and processes; None where
            the loss is computed outside of a training step.
        step: the optimiser step, counted from 0.
        examples_in_step: examples of the whole optimiser step.
    """

    examples: Sequence[Example]
    prompts: Sequence[Prompt]
    logits: torch.Tensor
    labels: torch.Tensor
    answer_lengths: Sequence[int]
    count: torch.Tensor | int | None
    step: int
    examples_in_step: int

    @cached_property
    def row_of(self) -> torch.Tensor:
        """The index of the row of each token, ``(tokens,)``."""
        rows = torch.arange(len(self.answer_lengths))
        return rows.repeat_interleave(torch.tensor(self.answer_lengths)).to(self.labels.device)

    @cached_property
    def token_losses(self) -> torch.Tensor:
        """The cross-entropy of each token, float32 ``(tokens,)``; gradients flow through it."""
        return cross_entropy(self.logits.float(), self.labels, reduction="none")

    @cached_property
    def row_losses(self) -> torch.Tensor:
        """The mean cross-entropy per answer token of each row, float32 ``(rows,)``; gradients flow through it."""
        lengths = torch.tensor(self.answer_lengths, device=self.labels.device)
        sums = self.token_losses.new_zeros(len(lengths)).index_add(0, self.row_of, self.token_losses)
        return sums / lengths


class Objective(ABC):
    """A loss of rows that are tagged with their example and prompt."""

    @abstractmethod
    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return what these rows add to the loss of their optimiser step, a scalar.

        The losses of a step's forwards are added up, over gradient accumulation and processes. So a mean over
        the step divides the sum over the rows by ``rows.count`` (tokens) or ``rows.examples_in_step``.
        """


class CrossEntropy(Objective):
    """The paper's objective: the mean cross-entropy of the step's answer tokens, as in ordinary fine-tuning."""

    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return the summed cross-entropy of the rows, divided by the step's answer tokens."""
        count = len(rows.labels) if rows.count is None else rows.count
        return rows.token_losses.sum() / torch.as_tensor(count).clamp(min=1)


OBJECTIVES = Registry("objective", {"cross-entropy": "paft.training.objectives:CrossEntropy"})


def make_objective(setting: Part, key: str = "training.objective") -> Objective:
    """Return the objective of a setting.

    Args:
        setting: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.
        key: the config key of the setting, for messages.

    Raises:
        UserError: there is no such objective, it is no :class:`Objective`, or it refuses a setting.
    """
    return make_part(OBJECTIVES, setting, key, Objective)  # type: ignore[type-abstract]


def loss_of(objective: Objective, rows: StepRows) -> torch.Tensor:
    """Return the objective's loss.

    Raises:
        WorkError: the objective's code fails, or returns anything but a scalar tensor.
    """
    name = f"the objective {type(objective).__name__}"
    with user_code(name):
        loss = objective.loss(rows)
    if not isinstance(loss, torch.Tensor) or loss.ndim:
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else ""
        raise WorkError(f"{name} returned a {type(loss).__name__}{shape}; loss() returns a scalar tensor")
    return loss
