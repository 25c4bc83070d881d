"""The sizes of experiments. ``paper`` has the paper's settings; the others suit machines without a GPU."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from paft.config.schema import EvaluationConfig, TrainingConfig
from paft.methods.batprompt.method import BatPrompt
from paft.methods.top_accuracy import TopAccuracy
from paft.methods.zopo.method import Zopo


@dataclass(frozen=True)
class Preset:
    """A size of experiments: the numbers of prompts, and the config values that it sets.

    The small presets score the options' likelihoods, which is faster on a CPU than generation. With
    ``evaluation.mode=generate`` they generate answers, as the paper does, limited to a few tokens.

    Attributes:
        counts: the numbers of training prompts in figure 6.
        edits: the maximum number of one-word edits in figure 1.
        config: replaces values of the config; overrides on the command line take precedence.
    """

    train_prompts: int
    test_prompts: int
    counts: tuple[int, ...]
    edits: int
    config: dict[str, Any] = field(default_factory=dict)


def _paper(section: BaseModel, *free: str) -> dict[str, Any]:
    """Return the default values of a section, which are the paper's, without the keys ``free``."""
    return section.model_dump(exclude=set(free))


PRESETS = {
    "tiny": Preset(
        train_prompts=60,
        test_prompts=10,
        counts=(1, 2, 5, 10, 60),
        edits=40,
        config={
            "training": {"examples": 500, "epochs": 1, "batch_size": 4},
            "evaluation": {"examples": 32, "mode": "likelihood", "max_new_tokens": 16},
            "baselines": {
                "top_accuracy": {"examples": 8},
                "zopo": {"budget": 24, "initial": 8, "examples": 16},
                "batprompt": {"pairs": 1, "examples": 4, "attacks": 1, "rounds": 2, "rewrites": 2},
            },
        },
    ),
    "small": Preset(
        train_prompts=200,
        test_prompts=20,
        counts=(1, 2, 5, 10, 20, 50, 100, 200),
        edits=120,
        config={
            "training": {"examples": 1000, "epochs": 2, "batch_size": 8},
            "evaluation": {"examples": 120, "mode": "likelihood", "max_new_tokens": 32},
            "baselines": {
                "top_accuracy": {"examples": 32},
                "zopo": {"budget": 100, "initial": 25, "examples": 20},
                "batprompt": {"pairs": 2, "examples": 8, "attacks": 2, "rounds": 3, "rewrites": 3},
            },
        },
    ),
    "paper": Preset(
        train_prompts=400,
        test_prompts=50,
        counts=(1, 2, 5, 10, 20, 50, 100, 200, 400),
        edits=400,
        config={
            "training": _paper(TrainingConfig(), "on_overlength", "logging_steps", "save_steps", "report_to"),
            "evaluation": _paper(EvaluationConfig(), "batch_tokens"),
            "baselines": {
                "top_accuracy": _paper(TopAccuracy()),
                "zopo": _paper(Zopo(), "embeddings"),
                "batprompt": _paper(BatPrompt(), "llm", "encoder", "max_tokens"),
            },
        },
    ),
}
