"""Samples of lm-evaluation-harness (0.4.13), as ``--log_samples`` writes them: JSON lines, one file a task."""

import re
from pathlib import Path

from paft.errors import UserError
from paft.evaluation.logs.log import Log
from paft.utils.io import read_jsonl
from paft.utils.safe_io import DATA


def read(file: Path) -> Log:
    """Return the scores of each metric; where answers were filtered in several ways, of each metric and filter.

    A question is known by the hash of its document, which does not depend on the prompt.

    Raises:
        UserError: the file is not such a log.
    """
    rows = [row for _, row in read_jsonl(file, DATA)]
    for number, row in enumerate(rows, start=1):
        if not {"doc_id", "doc_hash"} <= row.keys() or not isinstance(row.get("metrics"), list):
            raise UserError(f"{file}:{number}: no sample of lm-evaluation-harness; run it with --log_samples")
    filters = list(dict.fromkeys(str(row.get("filter")) for row in rows))
    scores: dict[str, dict[str, float]] = {}
    places: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows, start=1):
        for metric in row["metrics"]:
            value = row.get(str(metric))
            if not isinstance(value, int | float):
                continue  # a metric over all samples, such as perplexity, has no score of its own
            name = str(metric) if len(filters) == 1 else f"{metric},{row.get('filter')}"
            same = places.setdefault((name, str(row["doc_hash"])), [])  # a data set may hold a question twice
            if row["doc_id"] in same:
                raise UserError(f"{file}:{number}: question {row['doc_id']} is there twice; log each task once")
            same.append(row["doc_id"])
            scores.setdefault(name, {})[f"{row['doc_hash']} {len(same)}"] = float(value)
    if not scores:
        raise UserError(f"{file}: no sample has a score of its own; log a task with a metric such as acc")
    return Log(file, scores, "", _task(file))


def _task(file: Path) -> str:
    """Return the task's name from that of the file: ``samples_TASK_TIME.jsonl``."""
    match = re.fullmatch(r"samples_(.+?)_\d{4}-\d{2}-\d{2}T.*\.jsonl", file.name)
    return match[1] if match else ""
