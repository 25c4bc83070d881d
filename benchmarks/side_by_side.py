"""Compare the speed of several implementations ("sides") of the same job.

All sides share one process, one loaded model and one list of requests. After a warm-up, each round runs all sides
in turn. Each round starts with a different side, so that slow moments of the machine affect all sides. The report
shows the median and the range over rounds of the ratio within a round. Peak memory is measured separately: with
each side alone in a new process, or on a GPU as the most memory of tensors while the side runs.
"""

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

import torch

from paft.config.load import load_config
from paft.config.schema import Config
from paft.engine.engine import Engine
from paft.models.chat import ChatFormat
from paft.models.load import load_model
from paft.prompts.prepare import PromptSets, prepare_prompts
from paft.prompts.shots import with_demonstrations
from paft.tasks.load import load_task, subset
from paft.tasks.task import Task
from paft.types import Example

ROOT = Path(__file__).parent.parent
CONFIGS = Path(os.environ.get("BENCHMARK_CONFIGS", ROOT / "examples"))
Side = Callable[[], float]
"""Runs the job once and returns its rate in units per second."""


class Job:
    """A task of ``examples/`` with its model, prompts and examples, for use in a benchmark.

    The environment variable ``BENCHMARK_CONFIGS`` names another folder than ``examples/``.
    """

    def __init__(self, name: str, overrides: list[str] | None = None) -> None:
        self.config: Config = load_config(CONFIGS / f"{name}.yaml", overrides)
        self.task: Task
        task, train, test = load_task(self.config.task)
        self.task = with_demonstrations(task, train, test, self.config.prompts.shots, 0)
        self.prompts: PromptSets = prepare_prompts(
            self.config.prompts, self.task, [], {"prompts.user": ["user"], "prompts.train": ["paft"]}, 0
        )
        self.model, self.tokenizer = load_model(self.config.model)
        self.engine = Engine(self.model, ChatFormat(self.tokenizer, self.config.model.chat_template))
        self.train: list[Example] = subset(train, self.config.training.examples, 0)
        self.test: list[Example] = test

    def twin(self) -> Any:
        """Return a copy of the model that shares its weights and uses the attention of transformers."""
        model = copy.deepcopy(self.model, {id(p): p for p in self.model.parameters()})
        model.set_attn_implementation("sdpa")
        return model


def arguments(description: str, *, asks_job: bool = True, **defaults: Any) -> argparse.Namespace:
    """Parse the options that all benchmarks share, and the options named in ``defaults``.

    Args:
        asks_job: with a ``task``, also parse the options of :func:`job_of`.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default, type=type(default))
    if asks_job and "task" in defaults:
        parser.add_argument("--shots", default=0, type=int, help="demonstrations in each prompt")
        parser.add_argument("--model", help="another model: a folder, a .gguf file or a hub id")
        parser.add_argument("--template", default="auto", help="its chat template; none for plain text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="run this side once and print its peak memory")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def job_of(options: argparse.Namespace) -> Job:
    """Return the job that the options name."""
    overrides = [f"prompts.shots={options.shots}", f"model.chat_template={options.template}"]
    if options.model:
        overrides.append(f"model.path={options.model}")
    if getattr(options, "group", ""):
        overrides.append("training.examples=1000000")  # a drawn part would have few examples of a group
    return Job(options.task, overrides)


def case(script: str, options: argparse.Namespace) -> str:
    """Return the name of a benchmark's results, such as ``scoring-trec-8-shots-gemma3-270m``."""
    parts = [script, options.task]
    if options.shots:
        parts.append(f"{options.shots}-shots")
    if getattr(options, "group", ""):
        parts.append(f"by-{options.group}")
    if int(getattr(options, "accumulation", 1)) > 1:
        parts.append(f"in-{options.accumulation}-parts")
    if options.model:
        parts.append(Path(options.model).stem.lower())
    return "-".join(parts)


def whole_groups(examples: Sequence[Example], field: str, count: int) -> list[Example]:
    """Return the first examples, at least ``count``, such that all with the same value of a field are among them.

    Args:
        field: an empty one keeps just ``count`` examples.
    """
    if not field:
        return list(examples[:count])
    values = {example.fields[field] for example in examples[:count]}
    return [example for example in examples if example.fields[field] in values]


def compare(
    name: str, unit: str, sides: dict[str, Side], options: argparse.Namespace, **facts: Any
) -> dict[str, Any]:
    """Run the sides, print the table, write ``NAME.json`` and return its content.

    The first side is compared with each of the others. ``facts`` are written to the file too; functions
    among them are called after the rounds.
    """
    if options.only:
        sides[options.only]()
        print(json.dumps({"peak_bytes": _peak()}))
        sys.exit()
    for side in sides.values():
        side()
    rates: dict[str, list[float]] = {side: [] for side in sides}
    names = list(sides)
    for turn in range(options.rounds):
        start = turn % len(names)
        for side in names[start:] + names[:start]:
            rates[side].append(sides[side]())
            print(f"round {turn + 1}/{options.rounds} {side}: {rates[side][-1]:.2f} {unit}/s", file=sys.stderr)
    memory = {name: _memory(name, side) for name, side in sides.items()}
    first = names[0]
    result = {
        "benchmark": name,
        "unit": f"{unit}/s",
        "rounds": options.rounds,
        "sides": {
            side: {
                "median": statistics.median(rates[side]),
                "rates": rates[side],
                "peak_bytes": memory[side],
                "ratio": _spread([a / b for a, b in zip(rates[first], rates[side], strict=True)]),
            }
            for side in names
        },
        "facts": {key: value() if callable(value) else value for key, value in facts.items()},
        "machine": machine(),
    }
    print(f"\n{name}: {json.dumps(result['facts'])}\n")
    print("\n".join(table(result)))
    write(options.output / f"{name}.json", result)
    return result


def fastest(batches: Sequence[int], seconds: Callable[[int], float]) -> int:
    """Return the batch size at which a peer is fastest; the memory measurement uses the same size."""
    if "PEER_BATCH" not in os.environ:
        os.environ["PEER_BATCH"] = str(min(batches, key=seconds))
    return int(os.environ["PEER_BATCH"])


def left_out(*packages: str) -> list[str]:
    """Return the packages of peers that are not installed, and so not compared."""
    return [package for package in packages if util.find_spec(package) is None]


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a benchmark's JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return the hardware and the package versions that the numbers depend on."""
    packages = ("paft", "torch", "transformers", "peft", "trl", "lm-eval")
    installed = {distribution.metadata["Name"].replace("_", "-") for distribution in metadata.distributions()}
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
        "capabilities": {k: v for k, v in torch.cpu.get_capabilities().items() if "bf16" in k},
        "versions": {p: metadata.version(p) for p in packages if p in installed},
    }


def kind() -> str:
    """Return the kind of this machine: ``gpu``, or whether its CPUs multiply matrices in bf16 by units for it."""
    if torch.cuda.is_available():
        return "gpu"
    return "matrix-units" if torch.cpu.get_capabilities().get("amx_bf16") else "no-matrix-units"


def _peak() -> int:
    """Return this process's peak resident memory in bytes; ``getrusage`` would include its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _memory(name: str, side: Side) -> int:
    """Return a side's peak memory in bytes: of tensors on the GPU if there is one, else of a process alone."""
    if not torch.cuda.is_available():
        return _alone(name)
    torch.cuda.reset_peak_memory_stats()
    side()
    return torch.cuda.max_memory_allocated()


def _alone(side: str) -> int:
    """Return the peak resident memory in bytes of a process that runs only one side."""
    line = subprocess.run(
        [sys.executable, *sys.argv, "--only", side], check=True, capture_output=True, text=True
    ).stdout.splitlines()[-1]
    return int(json.loads(line)["peak_bytes"])


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines of a Markdown table with the sides of a comparison."""
    first = next(iter(result["sides"]))
    lines = [
        f"| side | {result['unit']}, median | range | {first} is faster by | range | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for side, row in result["sides"].items():
        ratio, rates = row["ratio"], row["rates"]
        faster = (
            f"{ratio['median']:.1f} x | {ratio['low']:.1f} to {ratio['high']:.1f}" if side != first else "- | -"
        )
        lines.append(
            f"| {side} | {row['median']:.2f} | {min(rates):.2f} to {max(rates):.2f} | {faster} "
            f"| {row['peak_bytes'] / 1e9:.2f} GB |"
        )
    return lines
