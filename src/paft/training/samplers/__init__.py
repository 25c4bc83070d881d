"""Which prompt each example of an optimiser step gets: one file per sampler."""

from paft.training.samplers.mixed import MixedSampler
from paft.training.samplers.registry import SAMPLERS, draw_prompts, make_sampler, with_prompts_per_step
from paft.training.samplers.sampler import LossFunction, PromptSampler
from paft.training.samplers.uniform import UniformSampler

__all__ = [
    "SAMPLERS",
    "LossFunction",
    "MixedSampler",
    "PromptSampler",
    "UniformSampler",
    "draw_prompts",
    "make_sampler",
    "with_prompts_per_step",
]
