"""Do searches for a prompt beat a random choice of equal budget on a real task?

    python benchmarks/search.py --task trec --prompts 160 --examples 40

The base model answers the training examples under the training prompts once. Each search is then simulated on the
resulting table with many seeds: each seed searches on 20 of the examples, and the chosen prompt is measured on the
others. Test prompts and test examples are not used.
"""

import random
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from side_by_side import arguments, case, job_of, machine, write

from paft.evaluation.grid import answer
from paft.methods.zopo.search import zopo
from paft.models.encoder import SentenceEncoder, last_hidden_states
from paft.scoring.choice import ChoiceScorer
from paft.types import AnswerSettings, Conversation
from paft.utils.console import Console

BUDGETS = ((100, 25), (60, 20), (24, 8))
"""The number of prompts that a search may evaluate, and how many of them ZOPO draws before it fits its model."""
SEEDS = 40
SEARCHED = 20
"""The number of training examples that a search uses."""


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", prompts=160, examples=40)
    job = job_of(options)
    prompts, examples = job.prompts.train[: options.prompts], job.train[: options.examples]
    grid, settings = [], AnswerSettings("likelihood", max_new_tokens=8)
    with Console().progress("answering", len(prompts)) as tick:
        for prompt in prompts:
            answers = answer(job.engine, job.task, [ChoiceScorer(job.task)], prompt, examples, settings)
            grid.append([bool(row["correct"]) for row in answers])
            tick(1)
    right = np.array(grid)
    texts = [Conversation(p.text, p.system) for p in prompts]
    encoder = SentenceEncoder("embedded/all-minilm-l6-v2")
    spaces = {
        "zopo, base model's embeddings": last_hidden_states(job.engine, texts),
        "zopo, sentence encoder's": encoder(["\n".join(filter(None, (t.system, t.user))) for t in texts]),
    }
    rows = [
        row for budget, initial in BUDGETS for row in simulate(right, spaces, min(budget, len(prompts)), initial)
    ]
    print(f"{len(prompts)} prompts x {len(examples)} examples, mean {right.mean():.1%}; {SEEDS} seeds\n")
    print("| prompts evaluated | search | on the searched examples | on the others | better / worse than random |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['budget']} | {row['search']} | {row['searched']:.1%} "
            f"| {row['others']:.1%} ± {row['std']:.1%} | {row['better']} / {row['worse']} |"
        )
    shape = {"prompts": len(prompts), "examples": len(examples), "mean": float(right.mean()), "seeds": SEEDS}
    result = {"benchmark": case("search", options), "machine": machine()} | shape | {"rows": rows}
    write(options.output / f"{result['benchmark']}.json", result)


def simulate(right: Any, spaces: dict[str, torch.Tensor], budget: int, initial: int) -> list[dict[str, Any]]:
    """Return one row per search with this budget."""

    def random_choice(value: Callable[[int], float], seed: int) -> int:
        return max(random.Random(f"random:{seed}").sample(range(len(right)), budget), key=value)

    def by_zopo(points: torch.Tensor) -> Callable[[Callable[[int], float], int], int]:
        return lambda value, seed: zopo(value, points, budget=budget, initial=initial, seed=seed).best

    searches = {"random": random_choice} | {name: by_zopo(points) for name, points in spaces.items()}
    searches["all prompts (top-accuracy)"] = lambda value, seed: max(range(len(right)), key=value)
    accuracies: dict[str, list[tuple[float, float]]] = {name: [] for name in searches}
    for seed in range(SEEDS):
        columns = np.random.default_rng(seed).permutation(right.shape[1])
        searched, others = right[:, columns[:SEARCHED]].mean(1), right[:, columns[SEARCHED:]].mean(1)
        for name, search in searches.items():
            best = search(lambda point: float(searched[point]), seed)  # noqa: B023  # called at once
            accuracies[name].append((float(searched[best]), float(others[best])))
    rows = []
    for name, pairs in accuracies.items():
        held_out = [(value, drawn) for (_, value), (_, drawn) in zip(pairs, accuracies["random"], strict=True)]
        rows.append(
            {
                "budget": len(right) if name.startswith("all") else budget,
                "search": name,
                "searched": statistics.mean(value for value, _ in pairs),
                "others": statistics.mean(value for _, value in pairs),
                "std": statistics.stdev(value for _, value in pairs),
                "better": sum(value > drawn for value, drawn in held_out),
                "worse": sum(value < drawn for value, drawn in held_out),
            }
        )
    return rows


if __name__ == "__main__":
    main()
