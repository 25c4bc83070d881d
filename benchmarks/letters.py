"""Options of one token in right-padded batches: read from one row per question, or from one row per option.

    python benchmarks/letters.py --task hellaswag --rounds 3 --prompts 1 --examples 8

Packed batches, which have held one row per question from the start, are the third side. All sides have the same
accuracy up to rounding; the share of equal choices is among the facts.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from side_by_side import Side, arguments, case, compare, job_of

from paft.engine.engine import Engine
from paft.engine.pack import Row
from paft.prompts.template import render
from paft.tasks.load import subset


class RowPerOption(Engine):
    """An engine that computes each option of a question in a row of its own."""

    def log_probs(self, rows: Sequence[Row], cache: Any = None) -> list[torch.Tensor]:
        """Return the same as the engine: each forward holds one option of each question."""
        options = max(sum(row.ids[:-1] == other.ids[:-1] for other in rows) for row in rows)
        found: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        for option in range(options):
            found[option::options] = super().log_probs(rows[option::options], cache)
        return found


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="hellaswag", prompts=1, examples=8)
    job = job_of(options)
    examples = subset(job.test, options.examples, 1)
    grid = [[render(p, job.task, e) for e in examples] for p in job.prompts.test[: options.prompts]]
    choices = [job.task.candidates(e) for e in examples]
    chosen: dict[str, list[int]] = {}

    def side(name: str, engine: Engine) -> Side:
        def run() -> float:
            started = time.perf_counter()
            rows = [row for asked in grid for batch in engine.score(asked, choices) for row in batch]
            chosen[name] = [max(range(len(row)), key=row.__getitem__) for row in rows]
            return len(rows) / (time.perf_counter() - started)

        return run

    padded, repeated = (kind(job.twin(), job.engine.format) for kind in (Engine, RowPerOption))
    padded.batch_format = repeated.batch_format = "padded"
    sides = {
        "padded, one row per question": side("question", padded),
        "padded, one row per option": side("option", repeated),
        "packed": side("packed", job.engine),
    }

    def same() -> float:
        return sum(map(int.__eq__, chosen["question"], chosen["option"])) / len(chosen["option"])

    compare(case("letters", options), "questions", sides, options, same_choice=same)


if __name__ == "__main__":
    main()
