"""How often two ways of computing the same scores choose the same option, and how far that is rounding.

    python benchmarks/agreement.py --task trec --adapter RUN/methods/paft/adapter

The packed and the padded way, each in bfloat16 with batches of two sizes, and the padded way in float32, on the
same grid of test prompts and examples; the untrained model's where no adapter is named. Two batch sizes of one
way differ in the order of sums alone: how often they agree is what bfloat16 allows.
"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from side_by_side import Job, arguments, machine, write

from paft.engine.engine import Engine, Layout
from paft.models.load import with_adapter
from paft.prompts.template import render
from paft.tasks.load import subset

WAYS: dict[str, tuple[Layout | None, int, torch.dtype]] = {
    "packed, 1,024 tokens": (None, 1024, torch.bfloat16),
    "packed, 512 tokens": (None, 512, torch.bfloat16),
    "padded, 1,024 tokens": ("padded", 1024, torch.bfloat16),
    "padded, 4,096 tokens": ("padded", 4096, torch.bfloat16),
    "padded, float32": ("padded", 1024, torch.float32),
}


def main() -> None:
    """Measure."""
    options = arguments(__doc__, task="trec", adapter="", prompts=8, examples=40)
    job = Job(options.task)
    examples = subset(job.test, options.examples, 1)
    grid = [[render(p, job.task, e) for e in examples] for p in job.prompts.test[: options.prompts]]
    choices = [job.task.candidates(e) for e in examples]
    targets = [e.target for e in examples] * len(grid)
    chosen: dict[str, list[int]] = {}
    with with_adapter(job.engine, Path(options.adapter)) if options.adapter else nullcontext():
        for way, (layout, tokens, dtype) in WAYS.items():
            engine = Engine(job.engine.model.to(dtype), job.engine.format, tokens)
            engine.batch_format = layout
            rows = [row for asked in grid for batch in engine.score(asked, choices) for row in batch]
            chosen[way] = [max(range(len(row)), key=row.__getitem__) for row in rows]
            print(f"{way}: {_same(chosen[way], targets)} of {len(targets)} right", file=sys.stderr)
    result: dict[str, Any] = {
        "benchmark": f"agreement-{options.task}",
        "cells": len(targets),
        "right": {way: _same(own, targets) for way, own in chosen.items()},
        "same_option": {
            way: {other: _same(own, theirs) for other, theirs in chosen.items()} for way, own in chosen.items()
        },
        "machine": machine(),
    }
    print(f"\n| of {len(targets)} | right | " + " | ".join(WAYS) + " |\n" + "|---" * (len(WAYS) + 2) + "|")
    for way, row in result["same_option"].items():
        cells = [f"{same} ({100 * same / len(targets):.1f} %)" for same in row.values()]
        print(f"| {way} | {result['right'][way]} | " + " | ".join(cells) + " |")
    write(options.output / f"{result['benchmark']}.json", result)


def _same(one: list[int], other: list[int]) -> int:
    return sum(map(int.__eq__, one, other))


if __name__ == "__main__":
    main()
