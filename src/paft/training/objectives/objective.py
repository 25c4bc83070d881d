"""What is minimised: a scalar computed from the logits of the answer tokens of one forward."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy

from paft.models.chat import ChatFormat
from paft.tasks.task import Task
from paft.types import Example, Prompt


@dataclass(frozen=True)
class StepRows:
    """The rows of one forward: each is an example under a prompt, followed by its answer.

    If the objective needs each example under several prompts, all examples of the forward come under a first
    prompt, then all of them again, in the same order, under a second one, and so on.

    Attributes:
        examples, prompts: of each row.
        logits: ``(tokens, vocabulary)``, at the positions that predict answer tokens, rows one after the other;
            in the type that the model computes in.
        labels: ``(tokens,)``, the ids of the answer tokens; the end of each answer is one of them.
        answer_lengths: answer tokens of each row.
        tokens_in_step: answer tokens of the whole optimiser step, over gradient accumulation and processes; of
            these rows where the loss is computed outside of a training step. At least 1, a scalar.
        step: the optimiser step, counted from 0.
        examples_in_step: examples of the whole optimiser step, each counted once.
    """

    examples: Sequence[Example]
    prompts: Sequence[Prompt]
    logits: torch.Tensor
    labels: torch.Tensor
    answer_lengths: Sequence[int]
    tokens_in_step: torch.Tensor
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
    """A loss of rows that are tagged with their example and prompt.

    Attributes:
        prompts_per_example: how many rows a step holds of each of its examples, each under a prompt of its own
            where the sampler has so many in use.
    """

    needs_whole_step: ClassVar[bool] = False
    """Whether the loss is no sum over rows, so that one forward must hold all rows of a step."""

    prompts_per_example: int = 1

    def bind(self, task: Task, format: ChatFormat) -> None:  # noqa: B027  (most objectives need neither)
        """Take the task and the way that its answers become tokens; called once, before the training.

        Raises:
            UserError: the loss cannot be computed for this task.
        """

    @abstractmethod
    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return what these rows add to the loss of their optimiser step, a scalar.

        The losses of a step's forwards are added up, over gradient accumulation and processes. So a mean over
        the step divides the sum over the rows by ``rows.tokens_in_step`` or ``rows.examples_in_step``.
        """
