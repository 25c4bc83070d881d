"""The hardest of some drawn prompts (the paper's future work), mined as in arXiv 1604.03540."""

import random
from collections.abc import Sequence
from typing import Any

from paft.errors import UserError, WorkError
from paft.training.samplers.mixed import MixedSampler, spread
from paft.training.samplers.sampler import LossFunction
from paft.types import Example, Prompt
from paft.utils.settings import count, number


class HardestSampler(MixedSampler):
    """Draws prompts uniformly and gives a share of the step's examples the one that the model does worst with.

    The prompts are compared by their mean loss on some of the step's examples, by the model as it is.

    Args:
        share: of the step's examples, at most, that get the hardest prompt; the others are spread over the other
            drawn prompts. So a prompt that is always hard, such as a misleading one, cannot take over.
        examples: of the step, on which the prompts are compared.
        prompts_per_step: prompts that are drawn.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        share: float = 0.5,
        examples: int = 2,
        prompts_per_step: int = 4,
        **given: Any,
    ):
        super().__init__(prompts, prompts_per_step=prompts_per_step, **given)
        if prompts_per_step < 2:
            raise UserError("config key training.prompts_per_step: hardest compares prompts; use 2 or more")
        self.share = number("training.sampler.share", share, 0, 1)
        self.examples = count("training.sampler.examples", examples)
        self._losses: LossFunction | None = None

    def bind(self, losses: LossFunction) -> None:
        """Take the function that the prompts are compared with."""
        self._losses = losses

    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the hardest prompt for the first examples of the step, the others for the rest."""
        if self._losses is None:
            raise WorkError("the sampler hardest was not bound to a model; call bind() before draw()")
        drawn = self.choose(step, self.prompts_per_step or 2)
        compared = random.Random(f"hardest on:{self.seed}:{step}").sample(
            list(examples), min(self.examples, len(examples))
        )
        sums = [sum(row) for row in self._losses(drawn, compared)]
        hardest = sums.index(max(sums))
        others = drawn[:hardest] + drawn[hardest + 1 :]
        size = max(1, int(self.share * len(examples) + 1e-9)) if others else len(examples)
        return [drawn[hardest]] * size + spread(others, len(examples) - size)
