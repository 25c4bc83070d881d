"""Split prompts into training and test prompts; near-duplicates stay together."""

import random
from collections.abc import Collection, Sequence

from paft.errors import UserError
from paft.prompts.similarity import clusters, similarities
from paft.tasks.task import Task
from paft.types import Prompt


def split(
    prompts: Sequence[Prompt],
    task: Task,
    *,
    share: float,
    held_out: Collection[str],
    near_duplicate: float,
    seed: int,
) -> tuple[list[Prompt], list[Prompt]]:
    """Return training and test prompts, each in their order.

    Args:
        share: the share of the prompts that become test prompts, drawn with the seed.
        held_out: models or strategies whose prompts become the test prompts instead. Near-duplicates of these
            prompts are in neither part.

    Raises:
        UserError: a part would be empty.
    """
    groups = clusters(similarities(prompts, task.aliases), near_duplicate)
    if held_out:
        named = {i for i, p in enumerate(prompts) if p.model in held_out or p.strategy in held_out}
        test = sorted(named)
        train = sorted(i for group in groups if not named & set(group) for i in group)
    else:
        random.Random(f"split:{seed}").shuffle(groups)
        wanted = max(1, round(len(prompts) * share))
        test = []
        for group in groups:
            if len(test) + len(group) <= wanted:
                test.extend(group)
        train = sorted(set(range(len(prompts))) - set(test))
        test.sort()
    if not train or not test:
        empty = "training" if test else "test"
        raise UserError(
            f"{len(prompts)} prompts leave no {empty} prompts (config keys prompts.train.generate.test_share and "
            "held_out_sources); ask for more prompts, or name a file of test prompts as prompts.test"
        )
    return [prompts[i] for i in train], [prompts[i] for i in test]
