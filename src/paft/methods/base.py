"""The base model, measured as it is."""

from typing import ClassVar, Literal

from paft.methods.method import Method, MethodContext, TrainingPlan


class Base(Method):
    """The base model without any training."""

    title: ClassVar[str] = "the base model"
    trains: ClassVar[bool] = False
    starts_from: ClassVar[Literal["nothing", "user", "train"]] = "nothing"

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return a plan without prompts: nothing is trained."""
        return TrainingPlan(())
