"""The paper's objective."""

import torch

from paft.training.objectives.objective import Objective, StepRows


class CrossEntropy(Objective):
    """The paper's objective: the mean cross-entropy of the step's answer tokens, as in ordinary fine-tuning."""

    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return the summed cross-entropy of the rows, divided by the step's answer tokens."""
        count = len(rows.labels) if rows.count is None else rows.count
        return rows.token_losses.sum() / torch.as_tensor(count).clamp(min=1)
