"""From rewards to the loss of answer tokens, as in TRL 1.16 (``GRPOTrainer``)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from paft.training.grpo.settings import GroupSettings

SMALL = 1e-4
"""Added to a standard deviation before it divides."""


def is_flat(rewards: Sequence[float]) -> bool:
    """Return True if the rewards of a group are equal, so that nothing can be learned from it."""
    return max(rewards) == min(rewards)


def advantages(
    rewards: Sequence[Sequence[float]], scale: str, everyone: Sequence[float] | None = None
) -> list[list[float]]:
    """Return how much better each answer is than its group.

    Args:
        rewards: of each group.
        scale: ``scale_rewards`` of :class:`~paft.training.grpo.settings.GroupSettings`.
        everyone: the rewards of all answers of the step, over the processes; where ``scale`` is ``batch``.
    """
    values = []
    for group in rewards:
        own = torch.tensor(group, dtype=torch.float64)
        difference = torch.zeros_like(own) if is_flat(group) else own - own.mean()
        if scale != "none":
            spread = own if scale == "group" or everyone is None else torch.tensor(everyone, dtype=torch.float64)
            difference = difference / (spread.std() + SMALL)
        values.append(difference.tolist())
    return values


@dataclass(frozen=True)
class AnswerTags:
    """The answers of one forward.

    Attributes:
        step: the optimiser step, counted from 0.
        advantages, lengths: of each answer.
        old: log-probabilities of the answers' tokens when they were sampled, float32 ``(tokens,)``.
        place: ``(labels,)``, the kept position that predicts each label.
        answers_in_step: over gradient accumulation and processes.
        is_padding: no answer is trained on.
        reference: log-probabilities by the model that training began with; None where the loss has no KL term.
    """

    step: int
    advantages: Sequence[float]
    lengths: Sequence[int]
    old: torch.Tensor
    place: torch.Tensor
    answers_in_step: int
    is_padding: bool
    reference: torch.Tensor | None = None


def log_probs(logits: torch.Tensor, labels: torch.Tensor, place: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the log-probability of each label that is not -100, float32 ``(tokens,)``, answers one after another.

    Args:
        logits: ``(batch, kept positions, vocabulary)``.
        labels: ``(batch, labels)``.
        place: ``(labels,)``, the kept position that predicts each label.
    """
    scaled = logits.float() / temperature
    place = place.to(labels.device)
    row = torch.arange(len(labels), device=labels.device)[:, None]
    scores = scaled[row, place, labels.clamp(min=0)] - scaled.logsumexp(-1)[:, place]
    return scores[labels != -100]


def policy_loss(
    new: torch.Tensor, tags: AnswerTags, count: torch.Tensor | int, longest: int, settings: GroupSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the clipped loss of the answers of one forward, and how many of their tokens are clipped.

    The losses of a step are added up over its forwards and processes.

    Args:
        new: log-probabilities of the answers' tokens, ``(tokens,)``; gradients flow through them.
        count: answer tokens of the whole step.
        longest: the most tokens of an answer.
    """
    device = new.device
    lengths = torch.tensor(tags.lengths, device=device)
    advantage = torch.tensor(tags.advantages, dtype=torch.float32, device=device).repeat_interleave(lengths)
    ratio = (new - tags.old.to(device)).exp()
    low, high = 1 - settings.epsilon, 1 + (settings.epsilon_high or settings.epsilon)
    losses = -torch.min(ratio * advantage, ratio.clamp(low, high) * advantage)
    if tags.reference is not None:
        difference = tags.reference.to(device) - new
        # times the ratio, as in TRL: then the gradient is that of the KL divergence
        losses = losses + settings.beta * ratio * (difference.exp() - difference - 1)
    divisors = {
        "dapo": torch.as_tensor(count, device=device).clamp(min=1),
        "grpo": (lengths * tags.answers_in_step).repeat_interleave(lengths),
        "dr_grpo": torch.tensor(tags.answers_in_step * longest, device=device),
    }
    clipped = ((ratio < low) & (advantage < 0)) | ((ratio > high) & (advantage > 0))
    return (losses / divisors[settings.loss_type]).sum(), clipped.sum()
