"""``paft gate --from``: judge the logs of other evaluation tools; no model is asked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paft.evaluation.logs import read_logs
from paft.evaluation.sequential import GridSample
from paft.runs.gate import GateResult
from paft.runs.goal import Goal


def judge_logs(files: Sequence[Path], goal: Goal, score: str | None) -> GateResult:
    """Return whether the logs, one for each prompt, reach the goal.

    The logs are a whole grid, so the figure is known and is compared as it is.

    Raises:
        UserError: a file is not a log with samples, or the figure needs several prompts.
    """
    logged = read_logs(files, score)
    prompts, examples = logged.scores.shape
    goal.check(prompts, examples)
    order = np.tile(np.arange(examples)[:, None], prompts)
    decision = goal.test().decide(GridSample(logged.scores.T, order, examples), examples)
    means = logged.scores.mean(axis=1)
    return GateResult(
        str(goal),
        goal.figure,
        goal.threshold,
        decision,
        "pass",
        " ".join(filter(None, (logged.subject, f"({logged.score})"))),
        asked=logged.scores.size,
        most=logged.scores.size,
        whole=logged.scores.size,
        prompts=prompts,
        examples=examples,
        per_prompt=[(name, name, float(mean)) for name, mean in zip(logged.names, means, strict=True)],
        notes=logged.notes,
    )
