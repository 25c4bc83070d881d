"""Run the benchmarks of docs/benchmarks.md one after the other, and print their tables.

    python benchmarks/all.py
    python benchmarks/all.py --only training-trec scoring-trec --quick
    python benchmarks/all.py --models gemma-3-270m.gguf:none qwen-0.5b.gguf

Results go to one folder per kind of machine: `gpu`, `matrix-units` (a CPU with bf16 matrix units) and
`no-matrix-units`; a case is printed for each kind that has a result. A case that has a result of at least as many
rounds on this kind of machine is not run again; delete its file to repeat it. `--models` adds cases with other
models, with plain text instead of a chat template where `:none` follows. `--before` adds the comparison with an
earlier checkout.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from side_by_side import ROOT, kind, table

Cells = Sequence[str]


@dataclass(frozen=True)
class Case:
    """A benchmark with its options.

    Attributes:
        name: of its results; the script writes ``NAME.json``.
        rounds: None for a script that computes its numbers once.
    """

    name: str
    script: str
    options: tuple[str, ...]
    rounds: int | None = 3

    @property
    def command(self) -> str:
        """What one types to run it."""
        return " ".join(["python", f"benchmarks/{self.script}.py", *self.options])

    def with_model(self, model: str) -> "Case":
        """Return the case with another model, ``PATH`` or ``PATH:none``."""
        path, colon, template = model.rpartition(":")
        path, template = (path, template) if colon and template == "none" else (model, "auto")
        options = (*self.options, "--model", path, "--template", template)
        return Case(f"{self.name}-{Path(path).stem.lower()}", self.script, options, self.rounds)


def _case(name: str, options: str, rounds: int | None = 3) -> Case:
    script, task = name.split("-")[:2]
    task = "race-middle" if task == "race" else task
    return Case(name, script, ("--task", task, *options.split()), rounds)


CASES = [
    _case("training-trec", "--steps 5"),
    _case("training-hellaswag", "--steps 3"),
    _case("training-trec-8-shots", "--shots 8 --steps 4"),
    _case("training-trec-8-shots-in-4-parts", "--shots 8 --accumulation 4 --steps 2"),
    _case("scoring-trec", "--prompts 3 --examples 20"),
    _case("scoring-hellaswag", "--prompts 2 --examples 10"),
    _case("scoring-piqa", "--prompts 2 --examples 16"),
    _case("training-race-middle-by-article", "--group article --steps 8"),
    _case("scoring-race-middle", "--prompts 2 --examples 8"),
    _case("scoring-race-middle-by-article", "--group article --prompts 2 --examples 40"),
    _case("scoring-trec-8-shots", "--shots 8 --prompts 3 --examples 20"),
    _case("agreement-trec", "", None),
    _case("letters-hellaswag", "--prompts 1 --examples 8"),
    _case("generation-trec", "--prompts 2 --examples 16"),
    _case("limit-trec", "--steps 4"),
    _case("limit-hellaswag", "--prompts 2 --examples 10 --steps 3"),
]
WITH_MODELS = ("training-trec", "scoring-trec", "scoring-hellaswag", "generation-trec")
"""The cases that ``--models`` adds for each model."""
COMMITS = [
    _case("commits-trec", "--examples 96 --asked 24 --prompts 3"),
    _case("commits-hellaswag", "--examples 24 --asked 8 --prompts 2", 2),
]


def main() -> None:
    """Run the cases that have no result yet, and print the tables of all."""
    options = _arguments()
    cases = [*CASES, *(c.with_model(m) for m in options.models for c in CASES if c.name in WITH_MODELS)]
    if options.before:
        more = ("--before", str(options.before))
        cases += [Case(c.name, c.script, (*c.options, *more), c.rounds) for c in COMMITS]
    if unknown := set(options.only) - {c.name for c in cases}:
        sys.exit(f"--only: no case {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in cases)}")
    cases = [case for case in cases if not options.only or case.name in options.only]
    folder = options.out / kind()
    failed = [case.name for case in cases if not _run(case, folder, options.quick)]
    for case in cases:
        print(f"\n## {case.name}\n\n```bash\n{case.command}\n```")
        for path in sorted(options.out.glob(f"*/{case.name}.json")):
            _print(path.parent.name, json.loads(path.read_text(encoding="utf-8")))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these cases")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--models", nargs="+", default=[], metavar="PATH", help="other models")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _run(case: Case, folder: Path, quick: bool) -> bool:
    """Run a case that has no result of as many rounds; return False if it fails."""
    rounds = None if case.rounds is None else 1 if quick else case.rounds
    path = folder / f"{case.name}.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("rounds", 0) >= (rounds or 0):
        print(f"{case.name}: has a result, {path}", file=sys.stderr)
        return True
    print(f"{case.name}: {case.command}", file=sys.stderr)
    script = ROOT / "benchmarks" / f"{case.script}.py"
    command = [sys.executable, script, *case.options, "--output", folder.resolve()]
    command += ["--rounds", str(rounds)] if rounds else []
    return subprocess.run([*map(str, command)], stdout=subprocess.DEVNULL).returncode == 0 and path.is_file()


def _print(kind_of_machine: str, result: dict[str, Any]) -> None:
    machine, rounds = result["machine"], result.get("rounds")
    facts = [machine["device"], f"{machine['threads']} threads", *([f"{rounds} rounds"] if rounds else [])]
    print(f"\n{kind_of_machine} ({', '.join(facts)}):\n")
    rows = next(rows for key, rows in TABLES.items() if key in result)
    print("\n".join(rows(result)))


def _markdown(head: Cells, rows: Iterable[Cells]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _shares(result: dict[str, Any]) -> list[str]:
    """Return the table of ``limit.py``."""
    head = ["part", "tokens per forward", "seconds", "products alone", "share of the limit", "range"]
    return _markdown(
        head,
        (
            [
                part,
                f"{row['tokens_per_forward']:,}",
                f"{row['seconds']:.2f}",
                f"{row['limit_seconds']:.2f}",
                f"{100 * row['share_of_limit']:.0f} %",
                f"{100 * row['lowest']:.0f} to {100 * row['highest']:.0f} %",
            ]
            for part, row in ((part, result[part]) for part in ("scoring", "training"))
        ),
    )


def _same(result: dict[str, Any]) -> list[str]:
    """Return the table of ``agreement.py``."""
    cells = result["cells"]
    shares = {
        left: [f"{100 * n / cells:.1f} %" for n in row.values()] for left, row in result["same_option"].items()
    }
    return _markdown([f"same choice of {cells}", *shares], ([left, *row] for left, row in shares.items()))


def _rates(result: dict[str, Any]) -> list[str]:
    """Return the table of ``commits.py``."""
    rows = {key: row for key, row in result.items() if isinstance(row, dict) and "median" in row}
    return _markdown(
        ["rate", "later to earlier commit", "range"],
        ([key, f"{r['median']:.2f}", f"{r['low']:.2f} to {r['high']:.2f}"] for key, r in rows.items()),
    )


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "sides": table,
    "scoring": _shares,
    "same_option": _same,
    "training": _rates,
}
"""The table of a result by a key that it has."""

if __name__ == "__main__":
    main()
