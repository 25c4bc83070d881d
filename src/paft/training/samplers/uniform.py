"""The paper's schedule (arXiv 2502.12859, section 3.3).

In each of T epochs every example is visited once; a prompt is drawn uniformly from the training prompts, kept for
K iterations, then drawn again. An iteration is one optimiser step, so neither gradient accumulation nor the number
of processes changes which example is trained with which prompt.
"""

import random
from collections.abc import Sequence

from paft.training.samplers.sampler import PromptSampler
from paft.types import Example, Prompt


class UniformSampler(PromptSampler):
    """The paper's schedule: one prompt for all examples of K steps; a fixed prompt is the case of one prompt."""

    prompts_per_step = 1

    def prompt_of(self, step: int) -> Prompt:
        """Return the prompt of an optimiser step; a prompt is drawn again where an epoch begins."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        draw = random.Random(f"prompt:{self.seed}:{epoch}:{step_in_epoch // self.K}")
        return self.prompts[draw.randrange(len(self.prompts))]

    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the prompt of the step once for each example."""
        return [self.prompt_of(step)] * len(examples)
