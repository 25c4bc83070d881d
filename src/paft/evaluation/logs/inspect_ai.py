"""Logs of inspect-ai (0.3.285) in its format ``json``."""

import json
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.evaluation.logs.log import Log
from paft.utils.safe_io import DATA, read_text

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Values that stand for numbers: correct, partial, incorrect, no answer."""


def read(file: Path) -> Log:
    """Return the scores of each scorer; those of several epochs of a sample are averaged.

    Raises:
        UserError: the file is not such a log, the evaluation did not finish, or there are no samples.
    """
    try:
        tree = json.loads(read_text(file, DATA))
    except (ValueError, RecursionError):
        raise UserError(f"{file}: not JSON; name the .json log of inspect-ai") from None
    about = tree.get("eval") if isinstance(tree, dict) else None
    if not isinstance(about, dict) or "status" not in tree:
        raise UserError(_wrong_file(file, tree))
    if tree["status"] != "success":
        raise UserError(f"{file}: the evaluation did not finish (status {tree['status']}); run inspect eval-retry")
    samples = tree.get("samples")
    if not isinstance(samples, list) or not samples:
        raise UserError(f"{file}: no samples; run inspect eval without --no-log-samples")
    epochs: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        named = sample.get("scores") if isinstance(sample, dict) else None
        for scorer, score in named.items() if isinstance(named, dict) else ():
            value = _number(score.get("value") if isinstance(score, dict) else None)
            if value is not None:
                epochs.setdefault(scorer, {}).setdefault(str(sample.get("id")), []).append(value)
    if not epochs:
        raise UserError(f"{file}: no sample has a score that is a number; run inspect score with a scorer")
    scores = {name: {key: sum(v) / len(v) for key, v in of.items()} for name, of in epochs.items()}
    return Log(file, scores, str(about.get("model", "")), str(about.get("task", "")))


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return LETTERS.get(value)
    return float(value) if isinstance(value, int | float) else None


def _wrong_file(file: Path, tree: Any) -> str:
    if isinstance(tree, dict) and "results" in tree and "configs" in tree:
        return (
            f"{file}: results of lm-evaluation-harness without samples; run it with --log_samples and name its "
            "samples_*.jsonl"
        )
    return f"{file}: no log of inspect-ai; name the .json log that inspect eval --log-format json writes"
