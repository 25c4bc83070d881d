"""The paper's objective."""

import torch

from paft.training.objectives.objective import Objective, StepRows


class CrossEntropy(Objective):
    """The paper's objective: the mean cross-entropy of the step's answer tokens, as in ordinary fine-tuning."""

    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return the summed cross-entropy of the rows, divided by the step's answer tokens."""
        return rows.token_losses.sum() / rows.tokens_in_step
