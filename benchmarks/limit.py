"""How close paft comes to the machine's limit, and how its cost grows.

    python benchmarks/limit.py --task trec

The limit is the time of the matrix products alone, for the tokens that must be computed at least once (each shared
prefix once). Their rate is measured on this machine with the model's own shapes, at the mean number of tokens of a
training step and the maximum of a scoring forward pass. Training multiplies each weight twice per token: in the
forward pass, and for the gradient of the inputs; the base weights need no gradient. Attention, norms, LoRA and the
optimiser count as overhead.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from side_by_side import Job, arguments, case, job_of, machine, write
from transformers import PrinterCallback, TrainingArguments

from paft.engine.engine import Engine
from paft.engine.pack import Row, TokenTree, packed
from paft.prompts.template import render
from paft.training.data import PromptData
from paft.types import Example, Prompt
from training import PaftTrainer, Stopwatch, adapted, batches


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", prompts=4, examples=24, steps=6, batch=8)
    job = job_of(options)
    result: dict[str, Any] = {
        "benchmark": case("limit", options),
        "rounds": options.rounds,
        "machine": machine(),
    }
    result["scoring"] = scoring(
        job, job.prompts.test[: options.prompts], job.test[: options.examples], options.rounds
    )
    result["growth"] = growth(job, options.rounds)
    result["training"] = training(job, options.steps, options.batch, options.rounds)
    for part in ("scoring", "training"):
        print(f"{part}: " + ", ".join(f"{k} {v:.3g}" for k, v in result[part].items()))
    print("\n| varied | value | new tokens | seconds, median | tokens/s |\n|---|---|---|---|---|")
    for row in result["growth"]:
        print("| {varied} | {value} | {tokens} | {seconds:.3f} | {rate:.0f} |".format(**row))
    write(options.output / f"{result['benchmark']}.json", result)


def scoring(job: Job, prompts: Sequence[Prompt], examples: Sequence[Example], rounds: int) -> dict[str, float]:
    """Return the seconds of scoring a grid, and the seconds of its matrix products alone."""
    grid = [[render(p, job.task, e) for e in examples] for p in prompts]
    choices = [job.task.candidates(e) for e in examples]
    needed = [_token_count(job, conversations, choices) for conversations in grid]
    kept = len(grid) * len(examples)

    def run() -> None:
        for conversations in grid:
            for _ in job.engine.score(conversations, choices):
                pass

    return _shares(job, run, sum(needed), kept, job.engine.batch_tokens, 1, rounds)


def training(job: Job, steps: int, batch: int, rounds: int) -> dict[str, float]:
    """Return the seconds of training steps, and the seconds of their matrix products alone."""
    data = PromptData(
        Engine(adapted(job), job.engine.format), job.task, job.train[: steps * batch], job.prompts.train
    )
    inputs = [packed(rows) for rows in batches(data, batch)][1:]
    args = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch, num_train_epochs=1, save_strategy="no",
        report_to="none", disable_tqdm=True, use_cpu=job.model.device.type == "cpu", dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = PaftTrainer(args, data)
    trainer.remove_callback(PrinterCallback)
    watch = Stopwatch()
    trainer.add_callback(watch)
    tokens = sum(i["input_ids"].numel() for i in inputs)
    kept = sum(i["logits_to_keep"].numel() for i in inputs)
    size = tokens // len(inputs)

    def run() -> float:
        trainer.train()
        return watch.times[-1] - watch.times[0]

    return _shares(job, run, tokens, kept, size, 2, rounds)


def _shares(
    job: Job, run: Callable[[], float | None], tokens: int, kept: int, size: int, passes: int, rounds: int
) -> dict[str, float]:
    """Time the work and its matrix products in alternation."""
    run()
    shares, seconds, limits, rates = [], [], [], []
    for _ in range(rounds):
        body, head, rate = _products(job.model, size, kept * size // tokens, passes)
        started = time.perf_counter()
        reported = run()
        duration = reported if reported is not None else time.perf_counter() - started
        limit = body * tokens / size + head * tokens / size
        seconds.append(duration)
        limits.append(limit)
        shares.append(limit / duration)
        rates.append(rate)
        print(f"{duration:.2f} s, products alone {limit:.2f} s", file=sys.stderr)
    return {
        "tokens": tokens,
        "tokens_per_forward": size,
        "seconds": statistics.median(seconds),
        "limit_seconds": statistics.median(limits),
        "share_of_limit": statistics.median(shares),
        "lowest": min(shares),
        "highest": max(shares),
        "gflops": statistics.median(rates),
    }


@torch.no_grad()
def _products(model: Any, tokens: int, kept: int, passes: int) -> tuple[float, float, float]:
    """Return the seconds of all layers' products and of the output head's, and the layers' rate in GFLOP/s."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    linears = [m for m in base.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    dtype, device = base.dtype, base.device

    def once(modules: list[Any], rows: int) -> float:
        xs = {m.in_features: torch.randn(rows, m.in_features, dtype=dtype, device=device) for m in modules}
        gs = {m.out_features: torch.randn(rows, m.out_features, dtype=dtype, device=device) for m in modules}
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for module in modules:
            torch.nn.functional.linear(xs[module.in_features], module.weight)
            if passes == 2:
                gs[module.out_features] @ module.weight
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    once(linears, tokens)
    body, top = min(once(linears, tokens) for _ in range(3)), min(once([head], max(kept, 1)) for _ in range(3))
    work = 2 * passes * tokens * sum(m.weight.numel() for m in linears)
    return body, top, work / body / 1e9


def growth(job: Job, rounds: int) -> list[dict[str, Any]]:
    """Return the cost of scoring synthetic questions when one size varies and the others are fixed."""
    usual = {"prompts": 2, "examples": 8, "options": 4, "prefix": 64}
    cases = {"prompts": (1, 2, 4), "examples": (4, 8, 16, 32), "options": (2, 4, 8), "prefix": (16, 64, 256)}
    results = []
    for varied, values in cases.items():
        for value in values:
            sizes = usual | {varied: value}
            batch = _synthetic(job, sizes)
            times = []
            for _ in range(rounds + 1):
                started = time.perf_counter()
                for rows, cached in batch:
                    cache = job.engine.cache(cached)
                    job.engine.log_probs(rows, cache)
                times.append(time.perf_counter() - started)
            tokens = sum(len(TokenTree(r.ids[:-1] for r in rows).ids) for rows, _ in batch)
            seconds = statistics.median(times[1:])
            results.append(
                {"varied": varied, "value": value, "tokens": tokens, "seconds": seconds, "rate": tokens / seconds}
            )
    return results


def _synthetic(job: Job, sizes: dict[str, int]) -> list[tuple[list[Row], list[int]]]:
    """Return each prompt's rows and their common prefix; questions have 24 tokens, options 2."""
    vocabulary = len(job.tokenizer)
    draw = torch.Generator().manual_seed(0)

    def ids(n: int) -> list[int]:
        return torch.randint(10, vocabulary, (n,), generator=draw).tolist()

    prompt_rows = []
    for _ in range(sizes["prompts"]):
        prefix = ids(sizes["prefix"])
        options = [ids(2) for _ in range(sizes["options"])]
        questions = [prefix + ids(24) for _ in range(sizes["examples"])]
        prompt_rows.append(([Row(q + o, 2) for q in questions for o in options], prefix))
    return prompt_rows


def _token_count(job: Job, conversations: Sequence[Any], choices: Sequence[Sequence[str]]) -> int:
    """Return the number of tokens that must be computed, with each shared prefix counted once."""
    prompts = job.engine.format.prompts(conversations)
    return len(
        TokenTree(
            (ids + job.engine.format.answer(text))[:-1]
            for ids, options in zip(prompts, choices, strict=True)
            for text in options
        ).ids
    )


if __name__ == "__main__":
    main()
