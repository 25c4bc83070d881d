"""Curricula over prompts: the share of them in use grows with competence (arXiv 1903.09848)."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from paft.errors import WorkError
from paft.training.samplers.mixed import MixedSampler
from paft.training.samplers.sampler import LossFunction
from paft.types import Example, Prompt
from paft.utils.settings import choice, count, number


class CurriculumSampler(MixedSampler):
    """Draws from the first prompts of an order, and from more of them as training goes on.

    The share in use at step t is the root of ``start² + (1 - start²) · t / T``, where T is ``epochs`` in steps.

    Args:
        order: ``easy-to-hard`` sorts the prompts by the loss of the model that training starts from, on examples
            of the first step; ``few-to-many`` shuffles them with the seed.
        start: the share of the prompts in use at first.
        epochs: after so many epochs, all prompts are in use.
        examples: how many examples of the first step the prompts are compared on, at most.
        prompts_per_step: as of :class:`MixedSampler`.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        order: str = "easy-to-hard",
        start: float = 0.1,
        epochs: float = 1.0,
        examples: int = 8,
        **given: Any,
    ):
        super().__init__(prompts, **given)
        self.by_loss = choice("training.sampler.order", order, ("easy-to-hard", "few-to-many")) == "easy-to-hard"
        self.start = number("training.sampler.start", start, 0, 1)
        self.full_at = number("training.sampler.epochs", epochs, 0) * self.steps_per_epoch
        self.examples = count("training.sampler.examples", examples)
        self._losses: LossFunction | None = None
        self._order: tuple[Prompt, ...] | None = None
        if not self.by_loss:
            shuffled = random.Random(f"curriculum:{self.seed}").sample(self.prompts, len(self.prompts))
            self._order = tuple(shuffled)

    def bind(self, losses: LossFunction) -> None:
        """Take the function that the prompts are compared with."""
        self._losses = losses

    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return prompts that are in use; the first draw puts them in order."""
        if self._order is None:
            self._order = self._easy_to_hard(examples[: self.examples])
        return super().draw(step, examples)

    def choose(self, step: int, size: int) -> list[Prompt]:
        """Return ``size`` of the prompts in use, or all of them if they are fewer."""
        assert self._order is not None
        in_use = self._order[: self.in_use(step)]
        return self.randomness(step).sample(in_use, min(size, len(in_use)))

    def in_use(self, step: int) -> int:
        """Return how many prompts are in use at a step."""
        progress = min(1.0, step / self.full_at) if self.full_at else 1.0
        share = math.sqrt(self.start**2 + (1 - self.start**2) * progress)
        return max(1, math.ceil(share * len(self.prompts) - 1e-9))

    def _easy_to_hard(self, examples: Sequence[Example]) -> tuple[Prompt, ...]:
        if self._losses is None:
            raise WorkError("the sampler curriculum was not bound to a model; call bind() before draw()")
        means = [sum(row) / len(row) for row in self._losses(self.prompts, examples)]
        return tuple(
            prompt for _, prompt in sorted(zip(means, self.prompts, strict=True), key=lambda pair: pair[0])
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the order by loss, which a resumed training could not compute again."""
        if not self.by_loss:
            return {}
        return {"order": None if self._order is None else [prompt.id for prompt in self._order]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the order."""
        if self.by_loss:
            by_id = {prompt.id: prompt for prompt in self.prompts}
            order = state.get("order")
            self._order = None if order is None else tuple(by_id[prompt_id] for prompt_id in order)
