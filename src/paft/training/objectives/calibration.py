"""Batch Calibration (arXiv 2309.17249) as a training term: no prompt may shift the predictions between labels."""

import math

import torch

from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.tasks.task import Task
from paft.training.objectives.cross_entropy import CrossEntropy
from paft.training.objectives.objective import StepRows
from paft.utils.settings import number


class Calibration(CrossEntropy):
    """Cross-entropy plus ``weight`` times how far a prompt shifts the predictions from the label frequencies.

    A row's prediction over the labels is its distribution at the first answer token, restricted to the first
    tokens of the labels. Under each prompt of a step, the predictions are averaged to p, the right labels counted
    to frequencies f, and KL(f ‖ p) is taken; the term is its mean over the rows. With one row per prompt this is a
    second cross-entropy, so give several examples of a step the same prompt.

    The term is no sum over rows, so one forward must hold the whole step.

    Args:
        weight: of the term.
    """

    needs_whole_step = True

    def __init__(self, weight: float = 1.0):
        self.weight = number("training.objective.weight", weight, 0)
        self._first_tokens: list[int] = []

    def bind(self, task: Task, format: ChatFormat) -> None:
        """Take the first tokens of the labels, or of the letters where each example has its own options.

        Raises:
            UserError: the task has no labels that all examples share, or two of them begin with the same token.
        """
        options = ("",) * task.letters if task.labels is None else task.labels  # a letter needs no text
        labels = task.answer_format.candidates(options)
        if not labels or not all(labels):
            raise UserError(
                "config key training.objective: calibration needs the same labels or letters in every example of "
                f"the task {task.name!r}; use cross-entropy"
            )
        by_token: dict[int, str] = {}
        for label in labels:
            token = format.answer(label)[0]
            if token in by_token:
                raise UserError(
                    f"config key training.objective: calibration tells labels apart by their first token, but "
                    f"{by_token[token]!r} and {label!r} begin with the same one; use cross-entropy, or "
                    "task.answer=letter"
                )
            by_token[token] = label
        self._first_tokens = list(by_token)

    def loss(self, rows: StepRows) -> torch.Tensor:
        """Return both terms."""
        return super().loss(rows) + self.weight * self.shift(rows)

    def shift(self, rows: StepRows) -> torch.Tensor:
        """Return the mean over the rows of KL(f ‖ p) under their prompt, float32, a scalar."""
        device = rows.labels.device
        starts = torch.tensor(rows.answer_lengths).cumsum(0) - torch.tensor(rows.answer_lengths)
        starts, labels = starts.to(device), torch.tensor(self._first_tokens, device=device)
        log_p = rows.logits[starts][:, labels].float().log_softmax(-1)
        is_target = (rows.labels[starts][:, None] == labels).float()
        groups: dict[str, list[int]] = {}
        for row, prompt in enumerate(rows.prompts):
            groups.setdefault(prompt.id, []).append(row)
        total = log_p.new_zeros(())
        for members in groups.values():
            index = torch.tensor(members, device=device)
            log_mean = log_p[index].logsumexp(0) - math.log(len(members))
            frequencies = is_target[index].mean(0)
            total = total + len(members) * (torch.xlogy(frequencies, frequencies) - frequencies * log_mean).sum()
        return total / len(rows.prompts)
