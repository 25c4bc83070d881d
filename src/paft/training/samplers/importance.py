"""Prompts with a high loss more often: priorities as in prioritised replay (arXiv 1511.05952).

The paper names importance sampling as future work. Losses are not weighted back: the aim is another average over
prompts, not an estimate of the uniform one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from paft.training.samplers.mixed import MixedSampler
from paft.training.samplers.traits import groups_by_prompt, trait_groups
from paft.types import Prompt
from paft.utils.settings import choice, number


class ImportanceSampler(MixedSampler):
    """Draws each prompt of a step with a probability that grows with its running loss.

    The probability is ``uniform / N + (1 - uniform) · loss^power / sum``. A step may draw a prompt twice.

    Args:
        by: ``prompt``: the loss is that of the prompt. ``trait``: the mean loss of the traits that it has.
        power: 0 is uniform.
        rate: weight of the newest loss in a running loss.
        uniform: share of the probability that all prompts have equally, so that each is seen again.
        prompts_per_step: as of :class:`MixedSampler`.
    """

    observes = True

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        by: str = "prompt",
        power: float = 1.0,
        rate: float = 0.3,
        uniform: float = 0.1,
        **given: Any,
    ):
        super().__init__(prompts, **given)
        self.power = number("training.sampler.power", power, 0)
        self.rate = number("training.sampler.rate", rate, 0, 1)
        self.uniform = number("training.sampler.uniform", uniform, 0, 1)
        self._groups: dict[str, list[str]] = {prompt.id: [prompt.id] for prompt in self.prompts}
        if choice("training.sampler.by", by, ("prompt", "trait")) == "trait":
            self._groups = groups_by_prompt(trait_groups(self.prompts, self.task, "importance by trait"))
        self._running: dict[str, float] = {}

    def choose(self, step: int, size: int) -> list[Prompt]:
        """Return ``size`` prompts, equal ones side by side."""
        draw = self.randomness(step)
        places = draw.choices(range(len(self.prompts)), self.probabilities(), k=size)
        return [self.prompts[place] for place in sorted(places)]

    def probabilities(self) -> list[float]:
        """Return the probability of each prompt; one that was not seen yet has the mean loss of the others."""
        mean = sum(self._running.values()) / len(self._running) if self._running else 1.0
        losses = []
        for prompt in self.prompts:
            known = [self._running.get(group, mean) for group in self._groups[prompt.id]]
            losses.append(sum(known) / len(known) if known else mean)
        weights = [max(loss, 1e-12) ** self.power for loss in losses]
        total = sum(weights)
        return [self.uniform / len(weights) + (1 - self.uniform) * weight / total for weight in weights]

    def observe(self, step: int, prompts: Sequence[Prompt], losses: Sequence[float]) -> None:
        """Move the running loss of each group of prompts towards its mean loss in the step."""
        for group, loss in group_means(self._groups, prompts, losses).items():
            before = self._running.get(group, loss)
            self._running[group] = before + self.rate * (loss - before)

    def state_dict(self) -> dict[str, Any]:
        """Return the running losses."""
        return {"running": dict(self._running)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the running losses."""
        self._running = dict(state["running"])


def group_means(
    groups: Mapping[str, Sequence[str]], prompts: Sequence[Prompt], losses: Sequence[float]
) -> dict[str, float]:
    """Return the mean loss of each group that occurs among the prompts of a step.

    Args:
        groups: by prompt id, the groups that the prompt is in.
    """
    found: dict[str, list[float]] = {}
    for prompt, loss in zip(prompts, losses, strict=True):
        for group in groups[prompt.id]:
            found.setdefault(group, []).append(loss)
    return {group: sum(values) / len(values) for group, values in found.items()}
