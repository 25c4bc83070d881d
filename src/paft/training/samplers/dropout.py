"""Prompt dropout: now and then an example comes without a prompt (the null prompt of arXiv 2505.14157)."""

import random
from collections.abc import Sequence
from typing import Any

from paft.errors import UserError
from paft.tasks.task import Task
from paft.training.samplers.mixed import MixedSampler
from paft.training.samplers.sampler import PromptSampler
from paft.training.samplers.uniform import UniformSampler
from paft.types import Example, Prompt
from paft.utils.settings import choice, number

BASES = {"mixed": MixedSampler, "uniform": UniformSampler}


class DropoutSampler(PromptSampler):
    """Gives each example the bare prompt with probability ``p``, else the prompt that another sampler drew for it.

    The bare prompt holds the fields of the example, and its options where a prompt must show them. Of the copies
    of an example that an objective compares, one at most gets it.

    Args:
        p: from 0 to 1.
        over: ``mixed``, or ``uniform`` (the paper's schedule, with ``K``).
        prompts_per_step: of ``mixed``; the bare prompt is not counted.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        p: float = 0.2,
        over: str = "mixed",
        prompts_per_step: int | None = None,
        task: Task,
        **given: Any,
    ):
        super().__init__(prompts, task=task, **given)
        self.p = number("training.sampler.p", p, 0, 1)
        base = BASES[choice("training.sampler.over", over, tuple(BASES))]
        settings = {} if prompts_per_step is None else {"prompts_per_step": prompts_per_step}
        if base is UniformSampler and settings:
            raise UserError(
                f"config key training.prompts_per_step: {prompts_per_step} prompts, but dropout over uniform has "
                "one in each step; leave the key out, or set over: mixed"
            )
        self.base: PromptSampler = base(prompts, task=task, **settings, **given)
        self.prompts_per_step = self.base.prompts_per_step
        self.bare = bare_prompt(task)
        self.extra_prompts = (self.bare,)

    def draw(self, step: int, examples: Sequence[Example]) -> Sequence[Prompt]:
        """Return the other sampler's prompts, some of them replaced by the bare one."""
        draw, prompts = random.Random(f"dropout:{self.seed}:{step}"), list(self.base.draw(step, examples))
        with_bare: set[str] = set()
        for place, example in enumerate(examples):
            if draw.random() < self.p and example.id not in with_bare:
                prompts[place] = self.bare
                with_bare.add(example.id)
        return prompts


def bare_prompt(task: Task) -> Prompt:
    """Return a prompt that says nothing: the fields, one below the other, and own options of an example."""
    names = [*task.fields, *(["choices"] if task.has_own_options else [])]
    return Prompt("\n".join(f"{{{name}}}" for name in names), source="dropout")
