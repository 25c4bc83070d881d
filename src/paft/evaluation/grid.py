"""Answer and score every test example under every test prompt; keep each finished prompt."""

import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from paft.errors import WorkError
from paft.models.model import Answerer, Mode
from paft.models.unanswered import UnansweredError, UnansweredGridError, named
from paft.prompts.template import plain_form, render
from paft.scoring import PaidScorer, Scorer
from paft.scoring.text import before_cue, run_on_cues
from paft.tasks.task import Task
from paft.types import Example, Generation, Prompt, Score
from paft.utils.console import Console
from paft.utils.distributed import ALONE, Processes
from paft.utils.io import encodable, replacing

SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("example_id", pa.string()),
        ("prediction", pa.string()),  # null: no answer could be read
        ("target", pa.string()),
        ("score", pa.float32()),  # from 0 to 1
        ("correct", pa.bool_()),  # null: no answer could be read, or the scorer is not yes-or-no
        ("scores", pa.list_(pa.float32())),  # one log-likelihood per option; null when generated
        ("output", pa.string()),  # what the model wrote; null when options were scored
        ("generated_tokens", pa.int32()),
        ("finish", pa.string()),  # stop, length, refused or error; null when options were scored, or unknown
        ("other_scores", pa.list_(pa.float32())),  # of the task's other scorers, in their order
        ("explanation", pa.string()),  # the scorer's; null where it gave none
    ]
)
"""The columns of ``predictions.parquet``, schema 2."""

SECONDS = b"paft.seconds"

NO_ANSWER = ("refused", "error")
"""Values of ``finish`` of a question that was not answered, or whose answer was withheld."""


def evaluate(
    model: Answerer,
    task: Task,
    scorers: Sequence[Scorer],
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    folder: Path,
    *,
    mode: Mode,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    console: Console,
    processes: Processes = ALONE,
) -> None:
    """Fill ``folder/predictions.parquet`` with one row for each prompt and example.

    Each finished prompt is kept in ``folder/predictions`` until all are finished, so a second call resumes.

    Args:
        scorers: judge what the model writes, the first is the score; not used where ``mode`` is ``likelihood``.
        stop: a written answer ends before the first of these texts.
        processes: the processes that make this call together, each for its shard of the prompts. The recorded
            seconds are the sum over all of them.

    Raises:
        WorkError: a scorer of the user's own failed; or some questions have no answer, after all others have one.
    """
    done = folder / "predictions.parquet"
    if done.is_file():
        return
    parts = [folder / "predictions" / f"{index:04d}.parquet" for index in range(len(prompts))]
    own = processes.shard(list(zip(prompts, parts, strict=True)))

    def rows_of(prompt: Prompt) -> Iterator[dict[str, Any]]:
        return answer(model, task, scorers, prompt, examples, mode, max_new_tokens, stop)

    processes.each(lambda: _fill(own, rows_of, examples, folder.name, console))
    processes.once(lambda: _merge(parts, done))


def _fill(
    own: Sequence[tuple[Prompt, Path]],
    rows_of: Callable[[Prompt], Iterator[dict[str, Any]]],
    examples: Sequence[Example],
    name: str,
    console: Console,
) -> None:
    """Write the part of each prompt that has none.

    Raises:
        UnansweredGridError: some questions have no answer, after all others have one.
    """
    unanswered: list[tuple[Prompt, UnansweredError]] = []
    with console.progress(f"evaluating {name}", len(own) * len(examples)) as tick:
        for prompt, part in own:
            if _readable(part):
                tick(len(examples), earlier=True)
                continue
            started, rows = time.perf_counter(), []
            try:
                for row in rows_of(prompt):
                    rows.append(row)
                    tick(1)
            except UnansweredError as error:
                unanswered.append((prompt, error))
                missing = named([examples[index].id for index in error.reasons])
                console.say(f"prompt {prompt.id}: no answer for example {missing}")
                continue
            if counted := [f"{r['example_id']} ({r['finish']})" for r in rows if r["finish"] in NO_ANSWER]:
                console.say(f"prompt {prompt.id}: refused or failed: example {named(counted)}")
            _write(part, pa.Table.from_pylist(rows, SCHEMA), time.perf_counter() - started)
    if unanswered:
        raise UnansweredGridError(unanswered, examples)


def _merge(parts: Sequence[Path], done: Path) -> None:
    tables = [parquet.read_table(part) for part in parts]
    _write(done, pa.concat_tables(t.replace_schema_metadata() for t in tables), sum(map(seconds_of, parts)))
    shutil.rmtree(parts[0].parent)


def seconds_of(path: Path) -> float:
    """Return how many seconds it took to make a predictions file."""
    return float((parquet.read_schema(path).metadata or {}).get(SECONDS, b"nan"))


def answer(
    model: Answerer,
    task: Task,
    scorers: Sequence[Scorer],
    prompt: Prompt,
    examples: Sequence[Example],
    mode: str,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
    """Yield one row for each example under the prompt, in the columns of ``predictions.parquet``.

    With ``mode`` ``likelihood`` the prediction is the likeliest candidate, and the score is 1 if it is the right
    answer, else 0. Otherwise the scorers judge what the model writes.
    """
    cells = [(prompt, example) for example in examples]
    return answer_cells(model, task, scorers, cells, mode, max_new_tokens, stop)


def answer_cells(
    model: Answerer,
    task: Task,
    scorers: Sequence[Scorer],
    cells: Sequence[tuple[Prompt, Example]],
    mode: str,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
    """Yield one row for each pair of a prompt and an example, all of them asked together; see :func:`answer`."""
    conversations = [render(prompt, task, example) for prompt, example in cells]
    remaining = iter(cells)
    if mode == "likelihood":
        options = [task.candidates(example) for _, example in cells]
        for scores in model.score(conversations, options):
            for values in scores:
                prompt, example = next(remaining)
                yield _row(task, prompt, example, _likeliest(task, example, values), True, scores=values)
        return
    batches = model.generate(conversations, max_new_tokens, stop)
    outputs = (replace(generated, text=encodable(generated.text)) for batch in batches for generated in batch)
    slots = {*task.fields, *(a for a, slot in task.aliases.items() if slot in task.fields)}
    shown = f"\n{plain_form(task)}" if task.shots else ""
    cues = {prompt: run_on_cues(prompt.text + shown, slots) for prompt, _ in cells}
    answered = (
        (generated, before_cue(generated.text, cues[prompt]))
        for generated, (prompt, _) in zip(outputs, cells, strict=False)
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


def _likeliest(task: Task, example: Example, values: Sequence[float]) -> Score:
    if any(map(math.isnan, values)):
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


def _write(path: Path, table: pa.Table, seconds: float) -> None:
    with replacing(path) as temporary:
        parquet.write_table(table.replace_schema_metadata({SECONDS: str(seconds)}), temporary)


def _readable(path: Path) -> bool:
    """Return True if a part exists and is complete."""
    try:
        parquet.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True
