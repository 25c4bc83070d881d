"""Simulated grids whose answers are the likeliest options."""

import numpy as np

from paft.evaluation.option_effects import OptionScores


def option_grid(seed, prompts=24, examples=100, labels=5, offset=0.5, hard=0):
    """Return scores and options of a grid: the prompts differ in offsets of the labels, in sharpness and in noise.

    Args:
        offset: standard deviation of the offsets, relative to that of what an example says.
        hard: so many prompts, under which the model listens to the example half as much and is noisier.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(labels, size=examples)
    of_example = 1.5 * np.eye(labels)[label] + rng.normal(size=(examples, labels))
    slope, noise = np.ones(prompts), np.full(prompts, 0.3)
    slope[:hard], noise[:hard] = 0.5, 1.0
    values = slope[:, None, None] * of_example + offset * rng.normal(size=(prompts, 1, labels))
    values += noise[:, None, None] * rng.standard_t(6, size=(prompts, examples, labels))
    values *= rng.uniform(0.5, 3, size=(prompts, 1, 1))
    scores = (values.argmax(axis=2) == label).astype(float)
    return scores, OptionScores(values, np.eye(labels, dtype=bool)[label])
