"""How often outputs of real models are read as a person read them, and how many are read in a second.

    python benchmarks/reader.py
    PYTHONPATH=OTHER_CHECKOUT/src python benchmarks/reader.py --no-names

`tests/scoring/outputs.jsonl` holds outputs of four models with the answer that a person read in each. Its half
`look` was looked at while the reader was written, its half `measure` was not. A row of the table says how many
outputs are read as the person did, and how many as an option that the person did not read. Any checkout with
`read_letter` and `read_label` can be measured: put its `src` on PYTHONPATH.
"""

import argparse
import importlib
import inspect
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
MODULES = ("paft.scoring.choice", "paft.tasks.answers")
"""Where the readers are, in this checkout and in older ones."""


def main() -> None:
    """Print the table, and the readings per second of short outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[HERE / "tests/scoring/outputs.jsonl"])
    parser.add_argument(
        "--no-names", action="store_true", help="do not tell the reader what the task calls its answer"
    )
    parser.add_argument(
        "--failures", choices=["look", "measure"], help="print the outputs of a half that are read otherwise"
    )
    options = parser.parse_args()
    module = reader_module()
    print(f"{inspect.getsourcefile(module)}\n")
    rows = [
        {"model": file.stem, "half": "", **json.loads(line)}
        for file in options.files
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        answer = read(module, row, use_names=not options.no_names)
        is_right, is_other = answer == row["expected"], answer not in (None, row["expected"])
        for model in (row["model"], "all"):
            for i, value in enumerate((1, is_right, is_other)):
                counts[model, row["half"]][i] += value
        if not is_right and row["half"] == options.failures:
            print(f"{row['model']}: {row['text']!r} {row['options']}: {answer!r}, a person {row['expected']!r}")
    print("| model | half | outputs | read as a person does | read as another option |\n|---|---|---|---|---|")
    for (model, half), (total, right, other) in sorted(
        counts.items(), key=lambda item: (item[0][0] == "all", item[0])
    ):
        print(f"| {model} | {half} | {total} | {right} ({right / total:.1%}) | {other} |")
    print(f"\n{speed(module, rows):,.0f} readings a second of outputs up to 40 characters, one thread")


def reader_module() -> Any:
    """Return the module with the readers of the checkout that is on the path."""
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if hasattr(module, "read_letter"):
            return module
    raise SystemExit("no read_letter on the path; set PYTHONPATH to a checkout's src")


def reader_of(module: Any, row: dict[str, Any], use_names: bool) -> tuple[Any, dict[str, Any]]:
    """Return the reader of a row's kind of answer and its keyword arguments."""
    function = module.read_letter if row["answer"] == "letter" else module.read_label
    takes_names = use_names and "names" in inspect.signature(function).parameters
    return function, {"names": tuple(row.get("names", ()))} if takes_names else {}


def read(module: Any, row: dict[str, Any], *, use_names: bool) -> str | None:
    """Return the letter or the label that is read from an output, None where none is."""
    function, arguments = reader_of(module, row, use_names)
    index = function(row["text"], tuple(row["options"]), **arguments)
    if index is None:
        return None
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index] if row["answer"] == "letter" else str(row["options"][index])


def speed(module: Any, rows: list[dict[str, Any]], repeats: int = 40) -> float:
    """Return how many short outputs are read in a second of processor time, after one round that fills caches."""
    jobs = []
    for row in rows:
        if len(row["text"]) <= 40:
            function, arguments = reader_of(module, row, use_names=True)
            jobs.append((function, row["text"], tuple(row["options"]), arguments))
    for function, text, options, arguments in jobs:
        function(text, options, **arguments)
    start = time.process_time()
    for _ in range(repeats):
        for function, text, options, arguments in jobs:
            function(text, options, **arguments)
    return repeats * len(jobs) / (time.process_time() - start)


if __name__ == "__main__":
    main()
