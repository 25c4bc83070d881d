"""How often packed and right-padded batches choose the same option, and how much of the difference is rounding.

    python benchmarks/agreement.py --task trec --adapter RUN/methods/paft/adapter

Packed and right-padded batches are each computed in bfloat16 with two batch sizes, and right-padded batches also
in float32, on the same grid of test prompts and examples. Without an adapter, the untrained model is used. Two
batch sizes of one format differ only in the order of summation, so their agreement is the best that bfloat16
allows.
"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from side_by_side import arguments, case, job_of, machine, write

from paft.engine.engine import BatchFormat, Engine
from paft.models.adapters import with_adapter
from paft.prompts.template import render
from paft.tasks.load import subset

VARIANTS: dict[str, tuple[BatchFormat | None, int, torch.dtype]] = {
    "packed, 1,024 tokens": (None, 1024, torch.bfloat16),
    "packed, 512 tokens": (None, 512, torch.bfloat16),
    "padded, 1,024 tokens": ("padded", 1024, torch.bfloat16),
    "padded, 4,096 tokens": ("padded", 4096, torch.bfloat16),
    "padded, float32": ("padded", 1024, torch.float32),
}


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", adapter="", prompts=8, examples=40)
    job = job_of(options)
    examples = subset(job.test, options.examples, 1)
    grid = [[render(p, job.task, e) for e in examples] for p in job.prompts.test[: options.prompts]]
    choices = [job.task.candidates(e) for e in examples]
    targets = [e.target for e in examples] * len(grid)
    chosen: dict[str, list[int]] = {}
    with with_adapter(job.engine, Path(options.adapter)) if options.adapter else nullcontext():
        for variant, (batch_format, tokens, dtype) in VARIANTS.items():
            engine = Engine(job.engine.model.to(dtype), job.engine.format, tokens)
            engine.batch_format = batch_format
            rows = [
                row for conversations in grid for batch in engine.score(conversations, choices) for row in batch
            ]
            chosen[variant] = [max(range(len(row)), key=row.__getitem__) for row in rows]
            print(f"{variant}: {_same(chosen[variant], targets)} of {len(targets)} right", file=sys.stderr)
    result: dict[str, Any] = {
        "benchmark": case("agreement", options),
        "cells": len(targets),
        "right": {variant: _same(picks, targets) for variant, picks in chosen.items()},
        "same_option": {left: {right: _same(chosen[left], chosen[right]) for right in chosen} for left in chosen},
        "machine": machine(),
    }
    print(f"\n| of {len(targets)} | right | " + " | ".join(VARIANTS) + " |\n" + "|---" * (len(VARIANTS) + 2) + "|")
    for variant, row in result["same_option"].items():
        cells = [f"{same} ({100 * same / len(targets):.1f} %)" for same in row.values()]
        print(f"| {variant} | {result['right'][variant]} | " + " | ".join(cells) + " |")
    write(options.output / f"{result['benchmark']}.json", result)


def _same(left: list[int], right: list[int]) -> int:
    return sum(map(int.__eq__, left, right))


if __name__ == "__main__":
    main()
