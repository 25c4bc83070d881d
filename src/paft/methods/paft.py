"""PAFT, Prompt-Agnostic Fine-Tuning (arXiv 2502.12859, section 3.3)."""

from typing import ClassVar

from paft.methods.method import Method, MethodContext, TrainingPlan


class Paft(Method):
    """Fine-tuning with a prompt that the run's sampler draws anew from the training prompts."""

    title: ClassVar[str] = "PAFT"

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return all training prompts."""
        return TrainingPlan(context.prompts)
