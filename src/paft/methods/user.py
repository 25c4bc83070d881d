"""Fine-tuning on the one prompt that the user wrote (``prompts.user``)."""

from typing import Any, ClassVar

from paft.methods.method import ONE_PROMPT, Method, MethodContext, PromptsKey, TrainingPlan


class User(Method):
    """Ordinary fine-tuning on one prompt (row "user-specified" of the paper's table 1)."""

    title: ClassVar[str] = "the fixed prompt"
    prompts_key: ClassVar[PromptsKey | None] = "prompts.user"
    fixed_training: ClassVar[dict[str, Any]] = ONE_PROMPT

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return the user's prompt."""
        return TrainingPlan(context.prompts)
