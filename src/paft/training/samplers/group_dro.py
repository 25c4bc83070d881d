"""Group DRO over traits of prompts (arXiv 1911.08731, algorithm 1)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from paft.training.samplers.importance import group_means
from paft.training.samplers.mixed import MixedSampler
from paft.training.samplers.traits import groups_by_prompt, trait_groups
from paft.types import Prompt
from paft.utils.settings import number


class GroupDroSampler(MixedSampler):
    """Draws a trait with probability q, then a prompt that has it; q moves towards the traits with a high loss.

    After each step, q_g becomes proportional to q_g · exp(eta · loss_g). The paper weights the loss of each group
    by q instead of drawing it by q. Groups overlap here: a trait and its absence are two groups, and a prompt is
    in a group of each trait that applies to it. A group without an example in the step keeps its last loss, or
    the mean of the groups seen so far, so q does not depend on how often a group is drawn.

    Args:
        eta: the step size of q.
        prompts_per_step: as of :class:`MixedSampler`. A step may draw a prompt twice.
    """

    observes = True

    def __init__(self, prompts: Sequence[Prompt], *, eta: float = 0.01, **given: Any):
        super().__init__(prompts, **given)
        self.eta = number("training.sampler.eta", eta, 0)
        self.members = trait_groups(self.prompts, self.task, "group-dro")
        self._groups = groups_by_prompt(self.members)
        self._log_q = dict.fromkeys(self.members, -math.log(len(self.members)))
        self._last: dict[str, float] = {}

    def choose(self, step: int, size: int) -> list[Prompt]:
        """Return ``size`` prompts, equal ones side by side."""
        draw = self.randomness(step)
        groups = draw.choices(list(self.members), list(self.q().values()), k=size)
        drawn = [draw.choice(self.members[group]) for group in groups]
        return sorted(drawn, key=self.prompts.index)

    def q(self) -> dict[str, float]:
        """Return the probability of each group."""
        return {group: math.exp(value) for group, value in self._log_q.items()}

    def observe(self, step: int, prompts: Sequence[Prompt], losses: Sequence[float]) -> None:
        """Move q."""
        self._last |= group_means(self._groups, prompts, losses)
        if not self._last:
            return
        mean = sum(self._last.values()) / len(self._last)
        moved = {group: q + self.eta * self._last.get(group, mean) for group, q in self._log_q.items()}
        highest = max(moved.values())
        total = highest + math.log(sum(math.exp(value - highest) for value in moved.values()))
        self._log_q = {group: value - total for group, value in moved.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return q and the last loss of each group."""
        return {"log_q": dict(self._log_q), "last": dict(self._last)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore q and the losses."""
        self._log_q, self._last = dict(state["log_q"]), dict(state["last"])
