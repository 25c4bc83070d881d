"""Generated answers per second: paft, with and without `stop`, and `model.generate` with padded batches.

    python benchmarks/generation.py --task trec --tokens 32

Both sides decode greedily with the same end tokens and the same questions. For `model.generate` the questions are
sorted by length, and the batch size is the one that was fastest in the warm-up. The share of equal answers is in
the JSON; some differ because of rounding in bfloat16. The `stop` texts are ones that no answer holds, so that the
difference is the cost of looking for them.
"""

import sys
import time
from typing import Any

import torch
from side_by_side import Job, arguments, case, compare, fastest, job_of

from paft.prompts.template import render

BATCHES = (8, 32)
STOP = ("\n\nQuestion:", "<END>")


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", prompts=2, examples=32, tokens=32)
    job = job_of(options)
    grid = [
        [render(p, job.task, e) for e in job.test[: options.examples]] for p in job.prompts.test[: options.prompts]
    ]
    questions = sum(map(len, grid))
    texts: dict[str, list[str]] = {}

    def paft(stop: tuple[str, ...] = ()) -> float:
        started = time.perf_counter()
        batches = (batch for prompt in grid for batch in job.engine.generate(prompt, options.tokens, stop))
        outputs = [generated for batch in batches for generated in batch]
        seconds = time.perf_counter() - started
        texts["paft"] = [g.text for g in outputs]
        return questions / seconds

    padded = Padded(job, options.tokens)
    ids = [row for prompt in grid for row in job.engine.format.prompts(prompt)]

    def transformers() -> float:
        started = time.perf_counter()
        texts["transformers"] = padded(ids)
        return questions / (time.perf_counter() - started)

    compare(
        case("generation", options),
        "answers",
        {"paft": paft, "paft with stop": lambda: paft(STOP), "transformers": transformers},
        options,
        prompts=len(grid),
        examples=len(grid[0]),
        tokens=options.tokens,
        equal=lambda: sum(a == b for a, b in zip(*texts.values(), strict=True)) / questions,
        batch=lambda: padded.batch,
    )


class Padded:
    """`model.generate` on left-padded batches of rows with similar lengths."""

    def __init__(self, job: Job, tokens: int) -> None:
        self.job, self.model, self.tokens = job, job.twin(), tokens
        self.batch: int | None = None

    def __call__(self, ids: list[list[int]]) -> list[str]:
        """Return the answers."""
        if self.batch is None:
            self.batch = fastest(BATCHES, lambda batch: self._seconds(ids[: len(ids) // 2], batch))
        return self._answers(ids, self.batch)

    def _answers(self, ids: list[list[int]], batch: int) -> list[str]:
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        answers = [""] * len(ids)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            for i, text in zip(chosen, self._batch([ids[i] for i in chosen]), strict=True):
                answers[i] = text
        return answers

    def _batch(self, ids: list[list[int]]) -> list[str]:
        tokenizer: Any = self.job.tokenizer
        inputs = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt").to(self.model.device)
        stops = sorted({self.job.engine.format.end[0], tokenizer.eos_token_id})
        output = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=self.tokens, eos_token_id=stops, repetition_penalty=1.0
        )
        return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def _seconds(self, ids: list[list[int]], batch: int) -> float:
        started = time.perf_counter()
        self._answers(ids, batch)
        seconds = time.perf_counter() - started
        print(f"model.generate, batch {batch}: {seconds:.1f} s for {len(ids)} questions", file=sys.stderr)
        return seconds


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
