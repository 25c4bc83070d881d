"""Several prompts in each step, up to one for each example (PrAg-PO, arXiv 2602.03190, draws one per example)."""

import random
from collections.abc import Sequence
from typing import Any

from paft.errors import UserError
from paft.training.samplers.sampler import PromptSampler
from paft.types import Example, Prompt
from paft.utils.settings import count


class MixedSampler(PromptSampler):
    """Draws ``prompts_per_step`` different prompts anew for each step and spreads its examples over them.

    ``K`` plays no part. The examples of one prompt stand side by side, so that they are packed together.

    Args:
        prompts_per_step: a prompt of its own for each example when left out. If there are fewer training prompts,
            all of them are in each step.

    Raises:
        UserError: ``prompts_per_step`` is larger than the batch.
    """

    def __init__(self, prompts: Sequence[Prompt], *, prompts_per_step: int | None = None, **given: Any):
        super().__init__(prompts, **given)
        if prompts_per_step is not None:
            count("training.prompts_per_step", prompts_per_step)
        limit = self.examples_per_step
        if prompts_per_step is not None and limit is not None and prompts_per_step > limit:
            raise UserError(
                f"config key training.prompts_per_step: {prompts_per_step} prompts for the {limit} examples of an "
                f"optimiser step; use at most {limit}, or raise training.batch_size"
            )
        self.prompts_per_step = limit if prompts_per_step is None else prompts_per_step

    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the prompts of the step, each for as many examples as another, give or take one."""
        return spread(self.choose(step, min(self.prompts_per_step or len(examples), len(examples))), len(examples))

    def choose(self, step: int, size: int) -> list[Prompt]:
        """Return ``size`` prompts for a step, or fewer where there are no more."""
        return self.randomness(step).sample(self.prompts, min(size, len(self.prompts)))

    def randomness(self, step: int) -> random.Random:
        """Return the random numbers of a step."""
        return random.Random(f"{type(self).__name__}:{self.seed}:{step}")


def spread(prompts: Sequence[Prompt], size: int) -> list[Prompt]:
    """Return ``size`` prompts, in blocks of equal length, give or take one; at most one block per prompt."""
    used = min(len(prompts), size)
    return [prompts[place * used // size] for place in range(size)]
