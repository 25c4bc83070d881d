"""Answer every test example under every test prompt; keep each finished prompt."""

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
from pyarrow import parquet

from paft.prompts.template import render
from paft.scoring.choice import read_label, read_letter
from paft.tasks.task import Task
from paft.types import Conversation, Example, Prompt
from paft.utils.console import Console
from paft.utils.distributed import ALONE, Processes
from paft.utils.io import replacing

SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("example_id", pa.string()),
        ("prediction", pa.string()),  # null: unparsed
        ("target", pa.string()),
        ("correct", pa.bool_()),  # null: unparsed
        ("scores", pa.list_(pa.float32())),  # a log-likelihood an option; null when generated
        ("output", pa.string()),  # what the model wrote; null when scored
        ("generated_tokens", pa.int32()),
    ]
)
SECONDS = b"paft.seconds"


class Generated(Protocol):
    """An answer that a model wrote."""

    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def tokens(self) -> int: ...  # noqa: D102


class Answerer(Protocol):
    """A model that is asked: by scoring given options, or by writing an answer. Both yield in batches."""

    def score(  # noqa: D102
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]: ...

    def generate(  # noqa: D102
        self, conversations: Sequence[Conversation], max_new_tokens: int
    ) -> Iterator[Sequence[Generated]]: ...


def evaluate(
    model: Answerer,
    task: Task,
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    folder: Path,
    *,
    mode: Literal["likelihood", "generate"],
    max_new_tokens: int,
    console: Console,
    processes: Processes = ALONE,
) -> None:
    """Fill ``folder/predictions.parquet`` with a row for each prompt and example.

    Each finished prompt is kept in ``folder/predictions`` until all are there, so a second call does what is left.

    Args:
        processes: those that call this together, each for its share of the prompts; the seconds are then the sum
            over all of them.
    """
    done = folder / "predictions.parquet"
    if done.is_file():
        return
    parts = [folder / "predictions" / f"{index:04d}.parquet" for index in range(len(prompts))]
    own = processes.shard(list(zip(prompts, parts, strict=True)))
    with console.progress(f"evaluating {folder.name}", len(own) * len(examples)) as tick:
        for prompt, part in own:
            if _readable(part):
                tick(len(examples), earlier=True)
                continue
            started, rows = time.perf_counter(), []
            for row in answer(model, task, prompt, examples, mode, max_new_tokens):
                rows.append(row)
                tick(1)
            _write(part, pa.Table.from_pylist(rows, SCHEMA), time.perf_counter() - started)
    processes.wait()
    processes.once(lambda: _merge(parts, done))


def _merge(parts: Sequence[Path], done: Path) -> None:
    tables = [parquet.read_table(part) for part in parts]
    _write(done, pa.concat_tables(t.replace_schema_metadata() for t in tables), sum(map(seconds_of, parts)))
    shutil.rmtree(parts[0].parent)


def seconds_of(path: Path) -> float:
    """Return the seconds that the answers in a predictions file took."""
    return float((parquet.read_schema(path).metadata or {}).get(SECONDS, b"nan"))


def answer(
    model: Answerer,
    task: Task,
    prompt: Prompt,
    examples: Sequence[Example],
    mode: str,
    max_new_tokens: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each example under the prompt, in the columns of ``predictions.parquet``."""
    conversations = [render(prompt, task, example) for example in examples]
    remaining = iter(examples)
    if mode == "likelihood":
        options = [task.candidates(example) for example in examples]
        for scores in model.score(conversations, options):
            for values in scores:
                best = None if any(map(math.isnan, values)) else max(range(len(values)), key=values.__getitem__)
                yield _row(task, prompt, next(remaining), best, scores=values)
        return
    read = read_letter if task.answer == "letter" else read_label
    for batch in model.generate(conversations, max_new_tokens):
        for generated in batch:
            example = next(remaining)
            found = read(generated.text, example.options)
            yield _row(task, prompt, example, found, output=generated.text, generated_tokens=generated.tokens)


def _row(task: Task, prompt: Prompt, example: Example, found: int | None, **more: Any) -> dict[str, Any]:
    prediction, target = None if found is None else task.candidates(example)[found], task.target(example)
    return {
        "prompt_id": prompt.id,
        "example_id": example.id,
        "prediction": prediction,
        "target": target,
        "correct": None if found is None else prediction == target,  # two options may have one text
        "scores": None,
        "output": None,
        "generated_tokens": 0,
    } | more


def _write(path: Path, table: pa.Table, seconds: float) -> None:
    with replacing(path) as temporary:
        parquet.write_table(table.replace_schema_metadata({SECONDS: str(seconds)}), temporary)


def _readable(path: Path) -> bool:
    """Say whether a part is there and whole."""
    try:
        parquet.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True
