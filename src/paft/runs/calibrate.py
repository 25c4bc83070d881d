"""``paft calibrate``: the offsets of one prompt, to be subtracted where a model is deployed."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from paft.config.task import TaskConfig
from paft.errors import UserError
from paft.evaluation.calibration import Offsets
from paft.models.model import Model
from paft.prompts.files import load_prompts
from paft.prompts.rules import WORDING, defect
from paft.prompts.shots import with_demonstrations
from paft.prompts.template import render
from paft.runs.finished import FinishedMethod
from paft.tasks.load import load_task, unlabelled
from paft.tasks.task import Task
from paft.types import AnswerSettings, Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_text

SKEW = 0.15
"""How far the most frequent label's share may exceed an even one before a warning; 0.23 takes the gain from a good
model, and 0.43 costs it 6 points (docs/results.md, "Calibration of few and of skewed examples")."""
REFERENCES = 8
"""How many reference prompts are used; each costs a question for every example."""


def calibrate(
    run: Path,
    method: str,
    prompt_file: Path,
    examples_file: Path,
    output: Path,
    console: Console,
    reference_file: Path | None = None,
) -> Offsets:
    """Measure the offsets of a prompt on unlabelled examples, and write them to ``output``.

    Args:
        method: whose adapter is used; a method that does not train uses the model as it is.
        prompt_file: JSON lines with the one prompt.
        examples_file: rows with the task's fields; right answers are not read.
        reference_file: JSON lines with prompts whose average preferences are kept; at most ``REFERENCES`` of them
            are drawn, with the run's seed. Without it, the labels of the examples must be about balanced.

    Raises:
        UserError: there is no such run, method, prompt or file, the method is not trained yet, the examples do
            not share their answers, or ``output`` is another file.
    """
    _check_own(output)
    finished = FinishedMethod.of(run, method)
    task, examples = unlabelled(finished.config.task, str(examples_file))
    if shots := finished.config.prompts.shots:
        _, train, test = load_task(finished.config.task)
        task = with_demonstrations(task, train, test, shots, finished.config.seed)
    answers = _answers(task, examples)
    prompt = _prompt(prompt_file, task)
    references = _references(reference_file, prompt, task, finished.config.seed, console) if reference_file else []
    if not references and (warning := _uneven(finished.config.task)):
        console.say(warning)
    model = finished.open_model(console)
    conversations = [render(p, task, example) for p in [prompt, *references] for example in examples]
    candidates = [answers] * len(conversations)
    model.check(conversations, candidates, AnswerSettings("likelihood", max_new_tokens=1))
    with model.use_adapter(finished.adapter):
        rows = [row for batch in model.score(conversations, candidates) for row in batch]
    scores = np.array(rows).reshape(1 + len(references), len(examples), len(answers))
    offsets = Offsets.measure(answers, scores[0], scores[1:] if references else None)
    if warning := offsets.warning():
        console.say(warning)
    write_text(output, json.dumps(_record(finished, prompt, references, offsets, model), indent=1) + "\n")
    return offsets


def _uneven(config: TaskConfig) -> str | None:
    """Return a warning where the labels of the run's examples are uneven, which offsets without references assume.

    Examples to deploy with have no labels; those of the run are the best guess.
    """
    task, train, test = load_task(config)
    if task.labels is None:
        return None
    (label, count), *_ = Counter(map(task.target, test or train)).most_common()
    share, of = count / len(test or train), len(task.labels)
    if share - 1 / of <= SKEW:
        return None
    return (
        f"{share:.0%} of the run's examples are {label!r}, but offsets without --reference take labels to be "
        "balanced, and may cost a good model accuracy; add --reference with other prompts"
    )


def _check_own(output: Path) -> None:
    """Refuse to replace a file that this command did not write."""
    try:
        if output.exists():
            Offsets.read(output)
    except UserError:
        raise UserError(
            f"{output}: the file exists and is not of `paft calibrate`; choose another --output"
        ) from None


def _answers(task: Task, examples: list[Example]) -> tuple[str, ...]:
    answers = {task.candidates(example) for example in examples}
    if not task.has_options or len(answers) > 1:
        raise UserError(
            f"the task {task.name!r} has no answers that all examples share; offsets belong to labels, or to the "
            "letters of equally many options (task.answer=letter)"
        )
    return answers.pop()


def _prompt(file: Path, task: Task) -> Prompt:
    prompts = _fitting(file, task)
    if len(prompts) != 1:
        raise UserError(f"{file}: {len(prompts)} prompts; offsets belong to one, so put it into a file of its own")
    return prompts[0]


def _references(file: Path, own: Prompt, task: Task, seed: int, console: Console) -> list[Prompt]:
    prompts = [prompt for prompt in _fitting(file, task) if prompt.content != own.content]
    if not prompts:
        raise UserError(f"{file}: no prompt but the one whose offsets are measured; name others, or leave it out")
    if len(prompts) <= REFERENCES:
        return prompts
    console.say(f"using {REFERENCES} of {len(prompts)} reference prompts")
    return random.Random(seed).sample(prompts, REFERENCES)


def _fitting(file: Path, task: Task) -> list[Prompt]:
    prompts = load_prompts(str(file), "test", 0)
    for prompt in prompts:
        if fault := defect(prompt, task, WORDING):
            raise UserError(f"{file}: prompt {prompt.id} does not fit the task ({fault[0]}): {fault[1]}")
    return prompts


def _record(
    method: FinishedMethod, prompt: Prompt, references: list[Prompt], offsets: Offsets, model: Model
) -> dict[str, Any]:
    """Return what ``docs/beyond.md`` says of the file; NaN is null."""
    errors = {answer: None if np.isnan(error) else error for answer, error in offsets.errors.items()}
    return {
        "schema": 1,
        "run": method.directory.path.name,
        "method": method.name,
        "prompt": {"id": prompt.id, "text": prompt.text, "system": prompt.system},
        "references": [reference.id for reference in references],
        "examples": offsets.examples,
        "offsets": dict(offsets.values),
        "errors": errors,
        "logit_bias": _logit_bias(offsets, model),
    }


def _logit_bias(offsets: Offsets, model: Model) -> dict[str, float] | None:
    """Return the negative offsets by token id; None where not every answer is one known token of its own."""
    tokens = {answer: model.answer_tokens(answer) for answer in offsets.values}
    ids = [ids[0] for ids in tokens.values() if ids and len(ids) == 1]
    if len(set(ids)) < len(tokens):
        return None
    return {str(ids[0]): -offsets.values[answer] for answer, ids in tokens.items() if ids}
