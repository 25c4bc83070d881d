"""PAFT with several prompts in each step; ``docs/beyond.md`` says why and when not."""

from typing import Any, ClassVar

from paft.methods.method import Method, MethodContext, TrainingPlan


class PaftPlus(Method):
    """PAFT whose steps mix prompts: each example of a step has a prompt drawn for it, up to four different ones.

    The paper's schedule gives one prompt to all examples of K steps. Mixing takes more seconds per step, since
    fewer tokens are shared, and fewer steps to the same accuracy over unseen prompts.
    """

    title: ClassVar[str] = "PAFT+"
    fixed_sampler: ClassVar[str | dict[str, Any] | None] = {"name": "mixed", "prompts_per_step": 4}

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return all training prompts, and the sampler."""
        return TrainingPlan(context.prompts, sampler=self.fixed_sampler)
