"""Scored questions per second: paft and lm-evaluation-harness on identical requests.

    python benchmarks/scoring.py --task trec           (also hellaswag, piqa, race-middle)
    python benchmarks/scoring.py --task trec --shots 8
    python benchmarks/scoring.py --task race-middle --group article --examples 40
    python benchmarks/scoring.py --task trec --model gemma-3-270m.gguf --template none

All options of every test example are scored under every prompt. The harness gets all requests at once, so that it
can sort them, and the batch size that was fastest in the warm-up. The accuracies are in the JSON; they are equal
except for ties within rounding. With `--shots` prompts show demonstrations; `--group article` asks all questions
on an article. `--padded 1` adds paft with right-padded batches, as a plain forward of transformers computes them;
without the harness they are the only peer.
"""

import sys
import time
from typing import Any

import torch
from side_by_side import Job, Side, arguments, case, compare, fastest, job_of, left_out, whole_groups

from paft.engine.engine import Engine
from paft.prompts.template import render
from paft.types import Conversation

BATCHES = (4, 16, 64)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", prompts=4, examples=24, length=900, group="", padded=0)
    job = job_of(options)
    short = [e for e in job.test if sum(map(len, e.fields.values())) < options.length * 3]
    examples = whole_groups(short, options.group, options.examples)
    grid = [[render(p, job.task, e) for e in examples] for p in job.prompts.test[: options.prompts]]
    choices = [job.task.candidates(e) for e in examples]
    questions = sum(map(len, grid))
    right: dict[str, list[bool]] = {}

    def paft(engine: Engine = job.engine, name: str = "paft") -> float:
        started = time.perf_counter()
        scores = [row for conversations in grid for batch in engine.score(conversations, choices) for row in batch]
        seconds = time.perf_counter() - started
        right[name] = [_best(row) == examples[i % len(examples)].target for i, row in enumerate(scores)]
        return questions / seconds

    missing = left_out("lm_eval")
    harness = None if missing else Harness(job, grid, choices)
    padded = Engine(job.twin(), job.engine.format)
    padded.batch_format = "padded"

    def lm_eval() -> float:
        assert harness is not None
        started = time.perf_counter()
        scores = harness()
        seconds = time.perf_counter() - started
        right["lm-eval"] = [_best(row) == examples[i % len(examples)].target for i, row in enumerate(scores)]
        return questions / seconds

    sides: dict[str, Side] = {"paft": paft}
    if harness is not None:
        sides["lm-eval"] = lm_eval
    if options.padded or missing:
        sides["padded"] = lambda: paft(padded, "padded")
    compare(
        case("scoring", options),
        "questions",
        sides,
        options,
        left_out=missing,
        prompts=len(grid),
        examples=len(examples),
        choices=len(choices[0]),
        accuracy=lambda: {side: sum(r) / len(r) for side, r in right.items()},
        right_or_wrong_alike=lambda: {
            side: sum(map(bool.__eq__, right["paft"], r)) / questions
            for side, r in right.items()
            if side != "paft"
        },
        lm_eval_batch=lambda: harness.batch if harness is not None else None,
    )


class Harness:
    """lm-evaluation-harness with the model that is already loaded."""

    def __init__(self, job: Job, grid: list[list[Conversation]], choices: list[tuple[str, ...]]) -> None:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        self.lm: Any = HFLM(
            pretrained=job.twin(), tokenizer=job.tokenizer, batch_size=1, device=str(job.model.device)
        )
        self.sizes = [len(options) for _ in grid for options in choices]
        texts = [
            text
            for conversations in grid
            for text in job.tokenizer.batch_decode(job.engine.format.prompts(conversations))
        ]
        pairs = [
            (text, option) for text, options in zip(texts, choices * len(grid), strict=True) for option in options
        ]
        self.requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
        self.batch: int | None = None

    def __call__(self) -> list[list[float]]:
        """Return the log-likelihood of each option of each question."""
        if self.batch is None:
            self.batch = fastest(BATCHES, self._seconds)
        self.lm.batch_size_per_gpu = self.batch
        scores = iter([score for score, _ in self.lm.loglikelihood(self.requests, disable_tqdm=True)])
        return [[next(scores) for _ in range(size)] for size in self.sizes]

    def _seconds(self, batch: int) -> float:
        self.lm.batch_size_per_gpu = batch
        sample = self.requests[: len(self.requests) // 3]
        started = time.perf_counter()
        self.lm.loglikelihood(sample, disable_tqdm=True)
        seconds = time.perf_counter() - started
        print(f"lm-eval, batch {batch}: {seconds:.1f} s for {len(sample)} requests", file=sys.stderr)
        return seconds


def _best(scores: list[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
