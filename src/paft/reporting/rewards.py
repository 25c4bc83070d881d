"""Trainings on rewards: the curves of their logs, and which step's adapter was kept."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paft.reporting.results import MethodResult

POINTS = 300
"""The maximum number of points of a curve; each point stands for consecutive log rows."""

COLUMNS = ("reward", "reward_std", "length", "flat_groups")
"""What a row of a log of rewards has, see ``docs/beyond.md``."""


@dataclass(frozen=True)
class KeptStep:
    """The step whose adapter was kept, because its reward on the validation prompts is the highest.

    Attributes:
        of: steps of the training.
    """

    step: int
    of: int
    reward: float


def kept_step(log: Sequence[Mapping[str, Any]]) -> KeptStep | None:
    """Return which step's adapter was kept; None where nothing was measured on validation prompts."""
    measured = {row["step"]: row["eval_reward"] for row in log if _has(row, ("eval_reward", "best_step"))}
    if not measured:
        return None
    best = next(row["best_step"] for row in reversed(log) if row["step"] in measured)
    return KeptStep(best, log[-1]["step"], measured[best]) if best in measured else None


def kept_in_words(method: MethodResult) -> str:
    """Return a sentence on the step whose adapter was kept; nothing where it is simply the last one."""
    kept = kept_step(method.log)
    if kept is None:
        return ""
    return (
        f"{method.name}: the adapter is that of step {kept.step} of {kept.of}, which has the highest mean reward "
        f"on the validation prompts, {kept.reward:.3f}. They and their examples were held back from the training."
    )


def has_rewards(method: MethodResult) -> bool:
    """Return True if the method was trained on rewards."""
    return any(_has(row, COLUMNS) for row in method.log)


def reward_curves(method: MethodResult, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the curves of a method for the page; None where it was not trained on rewards.

    ``points`` are ``[step, mean reward, its standard deviation over the answers, tokens of an answer, share of
    groups of equal reward]``, ``validation`` is ``[step, mean reward]``, ``kept`` the step whose adapter was kept;
    ``isScore`` says that a reward is a score from 0 to 1.
    """
    rows = [row for row in method.log if _has(row, COLUMNS)]
    if not rows:
        return None
    size = math.ceil(len(rows) / POINTS)
    kept = kept_step(method.log)
    return {
        "points": [_point(rows[i : i + size]) for i in range(0, len(rows), size)],
        "validation": [[row["step"], row["eval_reward"]] for row in method.log if _has(row, ("eval_reward",))],
        "kept": kept and kept.step,
        "isScore": not _has_own_reward(method.name, config),
    }


def _has_own_reward(name: str, config: Mapping[str, Any]) -> bool:
    """Return True if a method's reward is a user's own, set for it or in the section of its kind."""
    of_kind = (config.get("baselines") or {}).get("grpo") or {}
    own = [entry for entry in config["methods"] if isinstance(entry, dict) and entry.get("name") == name]
    return bool((of_kind | (own[0] if own else {})).get("reward"))


def _point(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the point of some rows; the standard deviation is over the answers of all of them."""
    count = len(rows)
    reward, length, flat = (sum(row[name] for row in rows) / count for name in ("reward", "length", "flat_groups"))
    squares = sum(row["reward_std"] ** 2 + row["reward"] ** 2 for row in rows) / count
    values = (reward, math.sqrt(max(0.0, squares - reward**2)), length, flat)
    return [rows[-1]["step"], *(round(value, 4) for value in values)]


def _has(row: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Return True if a row of a log, which may be damaged, has finite numbers under these names."""
    return all(isinstance(row.get(name), int | float) and math.isfinite(row[name]) for name in names)
