"""The settings of GRPO, by the names that TRL gives them where it has them."""

from typing import Annotated, Literal

from pydantic import Field

from paft.config.schema import Positive, Section


class GroupSettings(Section):
    """How answers are sampled, rewarded and compared; defaults are those of TRL's ``GRPOConfig``."""

    reward: str | None = None
    """``module:name`` of a function ``f(completions, **columns) -> list[float]``; the task's first scorer if left
    out."""
    num_generations: Positive = 8
    """Answers in a group: to one example under one prompt."""
    max_completion_length: Positive | None = None
    """The most tokens of an answer; ``evaluation.max_new_tokens`` if left out."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Of the sampled answers."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What an answer's difference to its group's mean reward is divided by: the standard deviation of the group,
    that of all answers of the step, or nothing."""
    loss_type: Literal["dapo", "grpo", "dr_grpo"] = "dapo"
    """The loss is averaged over all tokens of the step, over the tokens of each answer and then over answers, or
    over answers of ``max_completion_length`` tokens."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2
    """The ratio of new to old probability of a token is clipped at 1 - epsilon and 1 + epsilon."""
    epsilon_high: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The upper limit, where it is another; 0.28 in DAPO."""
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Weight of the KL divergence from the model that training began with."""
    num_iterations: Positive = 1
    """Optimiser steps on each batch of answers."""
    max_flat_steps: Positive | None = 50
    """Stop after so many steps in a row in which no group's rewards differ, because nothing is learned from them;
    null: never."""
    eval_steps: Positive | None = None
    """Optimiser steps between two measurements of the validation reward: the mean over greedy answers to training
    examples under training prompts that are held back. The adapter with the highest is kept. null: nothing is held
    back, and the last adapter is kept."""
    eval_prompts: Positive | None = None
    """Training prompts that are held back; a tenth, at most 8, if left out."""
    eval_examples: Positive | None = None
    """Training examples that are held back; a tenth, at most 32, if left out. Each is asked under each held-back
    prompt."""
