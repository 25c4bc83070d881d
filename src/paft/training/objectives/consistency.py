"""One example, the same answer under several prompts (arXiv 2205.00049, 2402.15833; R-Drop, arXiv 2106.14448)."""

import math

import torch

from paft.training.objectives.cross_entropy import CrossEntropy
from paft.training.objectives.objective import StepRows
from paft.utils.settings import count, number


class Consistency(CrossEntropy):
    """Cross-entropy plus ``weight`` times the mean divergence of each prompt's prediction from their mean.

    Each example of a step is asked under ``prompts_per_example`` prompts. At each token of its answer they predict
    distributions p_1, ..., p_m over the vocabulary, with mean M. The divergence is the mean over i of KL(p_i ‖ M),
    averaged over the answer tokens of the step. Gradients flow through M too.

    A step costs about m times as much as one with cross-entropy. Steps, epochs and ``training.batch_size`` still
    count examples, not rows.

    Args:
        weight: of the divergence.
        prompts_per_example: m.
    """

    def __init__(self, weight: float = 1.0, prompts_per_example: int = 2):
        self.weight = number("training.objective.weight", weight, 0)
        self.prompts_per_example = count("training.objective.prompts_per_example", prompts_per_example, 2)

    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return both terms, each summed over the rows and divided by the step's answer tokens."""
        return super().loss(rows) + self.weight * self.divergences(rows).sum() / rows.tokens_in_step

    def divergences(self, rows: StepRows) -> torch.Tensor:
        """Return KL(p_i ‖ M) of each token under each prompt, float32 ``(prompts, tokens of one prompt)``."""
        # an answer has the same tokens under every prompt, so the prompts' tokens stand one below the other
        log_p = rows.logits.float().log_softmax(-1).unflatten(0, (self.prompts_per_example, -1))
        log_mean = log_p.logsumexp(0) - math.log(self.prompts_per_example)
        return (log_p.exp() * (log_p - log_mean)).sum(-1)
