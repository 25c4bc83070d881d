"""Scores from logs that other evaluation tools have written: lm-evaluation-harness and inspect-ai."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paft.errors import UserError
from paft.evaluation.logs import inspect_ai, lm_eval
from paft.evaluation.logs.log import Log


@dataclass(frozen=True)
class LoggedGrid:
    """Logs of the same questions under several prompts.

    Attributes:
        names: of the logs, one for each prompt.
        scores: ``(prompts, examples)``, from 0 to 1.
        score: the name of the score.
        subject: the model and the task.
        notes: what was left out.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    score: str
    subject: str
    notes: tuple[str, ...]


def read_logs(files: Sequence[Path], score: str | None = None) -> LoggedGrid:
    """Read logs, one for each prompt, and keep the questions that all of them have.

    Args:
        score: which score to take; may be left out where the logs have one.

    Raises:
        UserError: a file is no such log or has no samples, the scores are not named, or no question is in all.
    """
    if repeated := [file for index, file in enumerate(files) if file in files[:index]]:
        raise UserError(f"--from: {repeated[0]} is named twice; each log is one prompt")
    logs = [_read(file) for file in files]
    chosen = [log.scores_of(score) for log in logs]
    name = chosen[0][0]
    for log, (other, _) in zip(logs, chosen, strict=True):
        if other != name:
            raise UserError(f"{log.file}: the score is {other}, in {logs[0].file} {name}; name one with --score")
    shared = [key for key in chosen[0][1] if all(key in scores for _, scores in chosen)]
    if not shared:
        raise UserError(
            "--from: no question is in all logs; name logs of the same questions under different prompts"
        )
    most = max(len(scores) for _, scores in chosen)
    notes = [f"{len(shared)} of {most} questions: the others are not in all logs"] if len(shared) < most else []
    if len(subjects := dict.fromkeys(log.model for log in logs)) > 1:
        raise UserError(f"--from: logs of different models ({', '.join(subjects)}); judge each by itself")
    grid = np.array([[scores[key] for key in shared] for _, scores in chosen])
    tasks = list(dict.fromkeys(log.task for log in logs if log.task))
    task = f"{tasks[0]} and {len(tasks) - 1} more" if len(tasks) > 1 else "".join(tasks)
    subject = " on ".join(filter(None, (logs[0].model, task)))
    return LoggedGrid(tuple(log.file.name for log in logs), grid, name, subject, tuple(notes))


def _read(file: Path) -> Log:
    if file.suffix == ".eval":
        raise UserError(
            f"{file}: a compressed log of inspect-ai; convert it with: inspect log convert {file.name} --to json "
            "--output-dir FOLDER"
        )
    if file.suffix not in (".json", ".jsonl"):
        raise UserError(
            f"{file}: expected the .jsonl that lm-evaluation-harness writes with --log_samples, or the .json log "
            "of inspect-ai"
        )
    return lm_eval.read(file) if file.suffix == ".jsonl" else inspect_ai.read(file)
