"""The base model, measured as it is."""

from typing import ClassVar

from paft.methods.method import Method, MethodContext, PromptsKey, TrainingPlan


class Base(Method):
    """The base model without any training."""

    title: ClassVar[str] = "the base model"
    trains: ClassVar[bool] = False
    prompts_key: ClassVar[PromptsKey | None] = None

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return a plan without prompts: nothing is trained."""
        return TrainingPlan(())
