"""Answer and score test examples under every test prompt, all or those of a plan; keep each finished prompt."""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from paft.errors import WorkError
from paft.evaluation.predictions import EXAMPLES, SCHEMA, SECONDS, answered_cells, seconds_of
from paft.models.model import Answerer
from paft.models.unanswered import UnansweredError, UnansweredGridError, named
from paft.prompts.template import render
from paft.scoring import NormalisingScorer, PaidScorer, Scorer
from paft.scoring.run_on import judged_part
from paft.tasks.task import Task
from paft.types import AnswerSettings, Example, Generation, Prompt, Score
from paft.utils.console import Console
from paft.utils.distributed import ALONE, Processes
from paft.utils.io import encodable, replacing

NO_ANSWER = ("refused", "error")
"""Values of ``finish`` of a question that was not answered, or whose answer was withheld."""


def evaluate(
    model: Answerer,
    task: Task,
    scorers: Sequence[Scorer],
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    folder: Path,
    settings: AnswerSettings,
    *,
    planned: np.ndarray | None = None,
    console: Console,
    processes: Processes = ALONE,
) -> None:
    """Fill ``folder/predictions.parquet`` with one row for each prompt and example, or for each planned cell.

    Each finished prompt is kept in ``folder/predictions`` until all are finished, so a second call resumes. A call
    with more cells answers those that are missing; cells that are there stay.

    Args:
        scorers: judge what the model writes, the first is the score; not used where options are scored.
        planned: ``(prompts, examples)``, True for the cells to answer; all of them if left out.
        processes: the processes that make this call together, each for its shard of the prompts. The recorded
            seconds are the sum over all of them.

    Raises:
        WorkError: a scorer of the user's own failed; or some questions have no answer, after all others have one.
    """
    missing = unanswered_cells(folder, prompts, examples, planned)
    if not any(missing.values()):
        return
    processes.once(lambda: _drop_merged(folder))
    parts = {prompt.id: folder / "predictions" / f"{index:04d}.parquet" for index, prompt in enumerate(prompts)}
    own = processes.shard([(prompt, parts[prompt.id], missing[prompt.id]) for prompt in prompts])

    def rows_of(prompt: Prompt, asked: Sequence[Example]) -> Iterator[dict[str, Any]]:
        return answer(model, task, scorers, prompt, asked, settings)

    processes.each(lambda: _fill(own, rows_of, folder.name, console))
    processes.once(lambda: _merge(folder, prompts, examples, task))


def unanswered_cells(
    folder: Path, prompts: Sequence[Prompt], examples: Sequence[Example], planned: np.ndarray | None = None
) -> dict[str, list[Example]]:
    """Return the examples by prompt id whose answers are planned and not in ``folder/predictions.parquet``.

    A file that cannot be read counts as complete: what is in it is not replaced without being asked.
    """
    if planned is None:
        planned = np.ones((len(prompts), len(examples)), dtype=bool)
    done = folder / "predictions.parquet"
    known = answered_cells(done) if done.is_file() else {}
    if known is None:
        return {prompt.id: [] for prompt in prompts}
    return {
        prompt.id: [
            e
            for e, is_planned in zip(examples, row, strict=True)
            if is_planned and e.id not in known.get(prompt.id, ())
        ]
        for prompt, row in zip(prompts, planned, strict=True)
    }


def _fill(
    own: Sequence[tuple[Prompt, Path, list[Example]]],
    rows_of: Callable[[Prompt, Sequence[Example]], Iterator[dict[str, Any]]],
    name: str,
    console: Console,
) -> None:
    """Write the part of each prompt that lacks planned cells; what a part of an earlier plan holds is kept.

    Raises:
        UnansweredGridError: some questions have no answer, after all others have one.
    """
    unanswered: list[tuple[Prompt, Sequence[Example], UnansweredError]] = []
    with console.progress(f"evaluating {name}", sum(len(missing) for _, _, missing in own)) as tick:
        for prompt, part, missing in own:
            known = (answered_cells(part) or {}).get(prompt.id, set())
            examples = [example for example in missing if example.id not in known]
            tick(len(missing) - len(examples), earlier=True)
            if not examples:
                continue
            started, rows = time.perf_counter(), []
            try:
                for row in rows_of(prompt, examples):
                    rows.append(row)
                    tick(1)
            except UnansweredError as error:
                unanswered.append((prompt, examples, error))
                without = named([examples[index].id for index in error.questions])
                console.say(f"prompt {prompt.id}: no answer for example {without}")
                continue
            if counted := [f"{r['example_id']} ({r['finish']})" for r in rows if r["finish"] in NO_ANSWER]:
                console.say(f"prompt {prompt.id}: refused or failed: example {named(counted)}")
            table, seconds = pa.Table.from_pylist(rows, SCHEMA), time.perf_counter() - started
            if known:
                table, seconds = _joined([parquet.read_table(part), table]), seconds_of(part) + seconds
            _write(part, table, seconds)
    if unanswered:
        raise UnansweredGridError(unanswered)


def _drop_merged(folder: Path) -> None:
    """Remove the parts that a kill has left although the finished file has their rows."""
    known = answered_cells(folder / "predictions.parquet") or {}
    for part in (folder / "predictions").glob("*.parquet"):
        cells = answered_cells(part) or {}
        if all(examples <= known.get(prompt, set()) for prompt, examples in cells.items()):
            part.unlink()


def _merge(folder: Path, prompts: Sequence[Prompt], examples: Sequence[Example], task: Task) -> None:
    """Put the finished file and the parts together, in the order of prompts and examples."""
    done = folder / "predictions.parquet"
    files = [*([done] if done.is_file() else []), *sorted((folder / "predictions").glob("*.parquet"))]
    table = _joined([parquet.read_table(file) for file in files])
    place = {(p.id, e.id): i * len(examples) + j for i, p in enumerate(prompts) for j, e in enumerate(examples)}
    cells = [
        place[cell] for cell in zip(*table.select(["prompt_id", "example_id"]).to_pydict().values(), strict=True)
    ]
    metadata = {}
    if len(cells) < len(place):
        metadata[EXAMPLES] = json.dumps([[example.id, task.target(example)] for example in examples])
    _write(done, table.take(np.argsort(cells, kind="stable")), sum(map(seconds_of, files)), metadata)
    shutil.rmtree(folder / "predictions")


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Return all rows; parts of older versions lack columns."""
    return pa.concat_tables((table.replace_schema_metadata() for table in tables), promote_options="default")


def answer(
    model: Answerer,
    task: Task,
    scorers: Sequence[Scorer],
    prompt: Prompt,
    examples: Sequence[Example],
    settings: AnswerSettings,
) -> Iterator[dict[str, Any]]:
    """Yield one row for each example under the prompt, in the columns of ``predictions.parquet``.

    With the mode ``likelihood`` the prediction is the likeliest candidate, and the score is 1 if it is the right
    answer, else 0. Otherwise the scorers judge what the model writes.
    """
    cells = [(prompt, example) for example in examples]
    return answer_cells(model, task, scorers, cells, settings)


def answer_cells(
    model: Answerer,
    task: Task,
    scorers: Sequence[Scorer],
    cells: Sequence[tuple[Prompt, Example]],
    settings: AnswerSettings,
) -> Iterator[dict[str, Any]]:
    """Yield one row for each pair of a prompt and an example, all of them asked together; see :func:`answer`."""
    conversations = [render(prompt, task, example) for prompt, example in cells]
    remaining = iter(cells)
    if settings.mode == "likelihood":
        options = [task.candidates(example) for _, example in cells]
        for scores in model.score(conversations, options):
            for values in scores:
                prompt, example = next(remaining)
                yield _row(task, prompt, example, _likeliest(task, example, values), True, scores=values)
        return
    batches = model.generate(conversations, settings.max_new_tokens, settings.stop)
    outputs = (replace(generated, text=encodable(generated.text)) for batch in batches for generated in batch)
    answered = (
        (generated, judged_part(generated.text, prompt, task, example))
        for generated, (prompt, example) in zip(outputs, cells, strict=False)
    )
    for generated, text in _prepared(scorers, answered, [example for _, example in cells]):
        prompt, example = next(remaining)
        score, *others = _judged(scorers, generated, text, prompt, example)
        yield _row(
            task,
            prompt,
            example,
            score,
            scorers[0].is_binary,
            output=generated.text,
            generated_tokens=generated.tokens,
            finish=generated.finish,
            other_scores=[other.value for other in others],
            comparison_key=_comparison_key(scorers[0], score),
            explanation=encodable(score.explanation) or None,
        )


def _prepared(
    scorers: Sequence[Scorer], answered: Iterator[tuple[Generation, str]], examples: Sequence[Example]
) -> Iterable[tuple[Generation, str]]:
    """Return the outputs with what is judged of each; a paid scorer has asked about all of them at once."""
    paid = [scorer for scorer in scorers if isinstance(scorer, PaidScorer)]
    if not paid:
        return answered
    kept = list(answered)
    pairs = zip(kept, examples, strict=True)
    judged = [(text, example) for (g, text), example in pairs if g.finish not in NO_ANSWER]
    for scorer in paid:
        scorer.prepare([text for text, _ in judged], [example for _, example in judged])
    return kept


def _judged(
    scorers: Sequence[Scorer], generated: Generation, text: str, prompt: Prompt, example: Example
) -> list[Score]:
    """Return the score by each scorer; where the provider refused or failed, there is no answer to read."""
    if generated.finish in NO_ANSWER:
        return [Score(0.0, None) for _ in scorers]
    try:
        return [scorer.score(text, example) for scorer in scorers]
    except WorkError as error:
        raise WorkError(f"prompt {prompt.id}: {error}") from error


def _comparison_key(scorer: Scorer, score: Score) -> str | None:
    """Return what the scorer compares, so that a report counts ``Paris`` and ``paris.`` as the same answer."""
    if score.answer is None or not isinstance(scorer, NormalisingScorer):
        return None
    key = scorer.comparison_key(score.answer)
    return None if key == score.answer else encodable(key)


def _likeliest(task: Task, example: Example, values: Sequence[float]) -> Score:
    no_likeliest = len(values) > 2 and min(values) == max(values)  # two may be equal by rounding
    if no_likeliest or any(map(math.isnan, values)):
        return Score(0.0, None)
    answer = task.candidates(example)[max(range(len(values)), key=values.__getitem__)]
    return Score(float(answer == task.target(example)), answer)  # two options may have the same text


def _row(
    task: Task, prompt: Prompt, example: Example, score: Score, is_binary: bool, **more: Any
) -> dict[str, Any]:
    return {
        "prompt_id": prompt.id,
        "example_id": example.id,
        "prediction": None if score.answer is None else encodable(score.answer),
        "comparison_key": None,
        "target": task.target(example),
        "score": score.value,
        "correct": score.value >= 1 if is_binary and score.answer is not None else None,
        "scores": None,
        "output": None,
        "generated_tokens": 0,
        "finish": None,
        "other_scores": None,
        "explanation": None,
    } | more


def _write(path: Path, table: pa.Table, seconds: float, metadata: Mapping[bytes, str] | None = None) -> None:
    with replacing(path) as temporary:
        parquet.write_table(table.replace_schema_metadata({SECONDS: str(seconds), **(metadata or {})}), temporary)
