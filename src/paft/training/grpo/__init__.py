"""Reinforcement learning with dynamic prompts: groups of answers to one rendered prompt, compared with each other."""

from paft.training.grpo.mixin import DynamicPromptGroups

__all__ = ["DynamicPromptGroups"]
