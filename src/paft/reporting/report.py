"""``report.json``, ``report.md`` and the figure of one run, and a table over several."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paft.evaluation.metrics import Interval
from paft.files import write_text
from paft.reporting.figure import write_figure
from paft.reporting.read import MethodResult, RunResult, read_run

SCHEMA = 1


def write_report(path: Path) -> RunResult:
    """Write the report of a run into its directory; methods that are not finished are named in it."""
    result = read_run(path)
    write_text(path / "report.json", json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
    write_text(path / "report.md", as_markdown(result))
    if result.methods:
        write_figure(result, path / "figures")
    return result


def as_json(result: RunResult) -> dict[str, Any]:
    """Return the content of ``report.json``; ``docs/design.md`` says what each key means."""
    return {
        "schema": SCHEMA,
        "task": result.config["task"]["name"],
        "model": result.config["model"]["path"],
        "seed": result.config.get("seed", 0),
        "chance": result.chance,
        "top_threshold": result.top,
        "unfinished": result.unfinished,
        "methods": {method.name: _method_json(method) for method in result.methods},
    }


def _method_json(method: MethodResult) -> dict[str, Any]:
    s = method.summary
    return {
        "mean": s.mean,
        "std": s.std,
        "top": s.top,
        "worst": s.worst,
        "best": s.best,
        "mean_interval": [s.mean_interval.low, s.mean_interval.high],
        "std_interval": [s.std_interval.low, s.std_interval.high],
        "unparsed": s.unparsed,
        "prompts": s.prompts,
        "examples": s.examples,
        "per_prompt": dict(zip(method.prompt_ids, s.per_prompt, strict=True)),
        "train_seconds": method.train_seconds,
        "train_examples_per_second": method.train_examples_per_second,
        "eval_seconds": method.eval_seconds,
        "eval_examples_per_second": method.eval_examples_per_second,
        "generated_tokens": method.generated_tokens,
    }


def as_markdown(result: RunResult) -> str:
    """Return ``report.md``."""
    config, answers = result.config, result.config.get("evaluation", {}).get("answers", "generate")
    lines = [f"# {config['task']['name']}: how much the wording of the prompt matters", "", sentence(result), ""]
    if result.unfinished:
        lines += [f"Not finished: {', '.join(result.unfinished)}. The same `paft run` goes on from here.", ""]
    if result.methods:
        size = result.methods[0].summary
        lines += [
            *table(result),
            "",
            f"Accuracy in % on {size.prompts} test prompts that no method was trained on x {size.examples} test "
            f"examples, answers by {'likelihood of the options' if answers == 'likelihood' else 'generation'}; "
            "in brackets the 95 % bootstrap interval over prompts and examples. "
            f"Std is over prompts. Top is the share of prompts at {result.top:.0%} or more. "
            f"Chance is {result.chance:.0%}.",
            "",
            "![Accuracy over prompts per method](figures/accuracy.svg)",
            "",
            *_extremes(result),
        ]
    run = config.get("run") or {}
    versions = ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())
    lines += [
        "## How to reproduce",
        "",
        f"`paft run config.yaml` with the `config.yaml` of this folder (digest {run.get('digest', 'unknown')}); "
        f"model {config['model']['path']}, seed {config.get('seed', 0)}, paft {run.get('paft')}, {versions}.",
        "",
    ]
    return "\n".join(lines)


def sentence(result: RunResult) -> str:
    """Return the run's answer in one sentence."""
    if not result.methods:
        return "No method is finished yet."
    parts = [
        f"{m.name}: {m.summary.mean:.0%} ± {m.summary.std * 100:.0f} (worst prompt {m.summary.worst:.0%})"
        for m in reversed(result.methods)
    ]
    return f"On {result.methods[0].summary.prompts} unseen prompts, {'; '.join(parts)}."


HEADER = ("Method", "Mean", "Std", "Top", "Worst", "Best", "Unparsed", "Training", "Answering")


def table(result: RunResult) -> list[str]:
    """Return the methods as the lines of a Markdown table."""
    return markdown_table(HEADER, [cells(method) for method in result.methods])


def cells(method: MethodResult) -> tuple[str, ...]:
    """Return a method's row under :data:`HEADER`."""
    s = method.summary
    cells_ = s.prompts * s.examples
    rate = method.train_examples_per_second
    return (
        method.name,
        f"{s.mean * 100:.1f} {_bracket(s.mean_interval)}",
        f"{s.std * 100:.1f} {_bracket(s.std_interval)}",
        f"{s.top * 100:.0f}",
        f"{s.worst * 100:.1f}",
        f"{s.best * 100:.1f}",
        f"{s.unparsed / cells_:.1%}" if s.unparsed else "0",
        f"{method.train_seconds:.0f} s, {rate:.1f} ex/s" if method.train_seconds and rate else "-",
        f"{method.eval_seconds:.0f} s, {method.eval_examples_per_second:.1f} q/s",
    )


def compare(results: Sequence[RunResult]) -> str:
    """Return a Markdown table over several runs, and over seeds where only the seed differs."""
    lines = markdown_table(("Run", *HEADER), [(r.path.name, *cells(m)) for r in results for m in r.methods])
    if len(results) > 1 and len({_without_seed(r) for r in results}) == 1:
        lines += ["", f"Over {len(results)} seeds (mean of the runs, ± their sample standard deviation):", ""]
        everywhere = set.intersection(*({m.name for m in r.methods} for r in results))
        names = [m.name for m in results[0].methods if m.name in everywhere]
        rows = []
        for name in names:
            runs = [m.summary for r in results for m in r.methods if m.name == name]
            columns = [[100 * getattr(s, key) for s in runs] for key in _OVER_SEEDS]
            rows.append((name, *(f"{statistics.mean(c):.1f} ± {statistics.stdev(c):.1f}" for c in columns)))
        lines += markdown_table(("Method", *map(str.capitalize, _OVER_SEEDS)), rows)
    return "\n".join(lines)


_OVER_SEEDS = ("mean", "std", "top", "worst", "best")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def _extremes(result: RunResult) -> list[str]:
    """Show the prompt that is worst for each method."""
    lines = ["## Worst prompts", ""]
    for method in result.methods:
        place = min(range(len(method.prompt_ids)), key=method.summary.per_prompt.__getitem__)
        text = result.prompt_texts.get(method.prompt_ids[place], "")
        lines += [
            f"{method.name}, {method.summary.per_prompt[place]:.1%}, prompt {method.prompt_ids[place]}:",
            "",
            *(f"    {line}" for line in text.splitlines()),
            "",
        ]
    return lines


def _bracket(interval: Interval) -> str:
    return f"[{interval.low * 100:.1f}, {interval.high * 100:.1f}]"


def _without_seed(result: RunResult) -> str:
    kept = {k: v for k, v in result.config.items() if k not in ("seed", "run")}
    return json.dumps(kept, sort_keys=True)
