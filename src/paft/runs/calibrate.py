"""``paft calibrate``: the offsets of one prompt, to be subtracted where a model is deployed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from paft.config.load import load_config
from paft.config.schema import Config
from paft.errors import UserError, nearest
from paft.evaluation.calibration import Offsets
from paft.methods.registry import Variant, resolve
from paft.models.model import Model
from paft.models.open import open_model
from paft.prompts.files import load_prompts
from paft.prompts.rules import WORDING, defect
from paft.prompts.template import render
from paft.runs.directory import RunDirectory
from paft.tasks.load import unlabelled
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_text


def calibrate(
    run: Path, method: str, prompt_file: Path, examples_file: Path, output: Path, console: Console
) -> Offsets:
    """Measure the offsets of a prompt on unlabelled examples, and write them to ``output``.

    Args:
        method: whose adapter is used; a method that does not train uses the model as it is.
        prompt_file: JSON lines with the one prompt.
        examples_file: rows with the task's fields; right answers are not read.

    Raises:
        UserError: there is no such run, method, prompt or file, the method is not trained yet, or the examples do
            not share their answers.
    """
    directory = RunDirectory(run)
    config = _config(directory)
    adapter = _adapter(directory, config, method)
    task, examples = unlabelled(config.task, str(examples_file))
    answers = _answers(task, examples)
    prompt = _prompt(prompt_file, task)
    model = open_model(
        config.model,
        console,
        batch_tokens=config.evaluation.batch_tokens,
        trains=False,
        answers=directory.path / "answers.jsonl",
    )
    conversations = [render(prompt, task, example) for example in examples]
    candidates = [answers] * len(examples)
    model.check(conversations, candidates, "likelihood", 1)
    with model.use_adapter(adapter):
        scores = [row for batch in model.score(conversations, candidates) for row in batch]
    offsets = Offsets.measure(answers, np.array(scores))
    if warning := offsets.warning():
        console.say(warning)
    write_text(output, json.dumps(_record(directory, method, prompt, offsets, model), indent=1) + "\n")
    return offsets


def _config(directory: RunDirectory) -> Config:
    directory.read_config()  # says what is wrong with a folder that is no run
    return load_config(directory.config_file)


def _adapter(directory: RunDirectory, config: Config, method: str) -> Path | None:
    """Return the adapter of a method; None for one that does not train."""
    variants: dict[str, Variant] = {
        variant.name: variant for variant in resolve(config.methods, config.training, config.baselines)
    }
    if method not in variants:
        raise UserError(f"{directory.path}: no method {method!r}{nearest(method, variants)}")
    adapter = directory.method(method) / "adapter"
    if not variants[method].method.trains:
        return None
    if not adapter.is_dir():
        raise UserError(f"{directory.path}: {method} is not trained yet; finish the run first")
    return adapter


def _answers(task: Task, examples: list[Example]) -> tuple[str, ...]:
    answers = {task.candidates(example) for example in examples}
    if not task.has_options or len(answers) > 1:
        raise UserError(
            f"the task {task.name!r} has no answers that all examples share; offsets belong to labels, or to the "
            "letters of equally many options (task.answer=letter)"
        )
    return answers.pop()


def _prompt(file: Path, task: Task) -> Prompt:
    prompts = load_prompts(str(file), "test", 0)
    if len(prompts) != 1:
        raise UserError(f"{file}: {len(prompts)} prompts; offsets belong to one, so put it into a file of its own")
    if fault := defect(prompts[0], task, WORDING):
        raise UserError(f"{file}: the prompt does not fit the task ({fault[0]}): {fault[1]}")
    return prompts[0]


def _record(
    directory: RunDirectory, method: str, prompt: Prompt, offsets: Offsets, model: Model
) -> dict[str, Any]:
    """Return what ``docs/method.md`` says of the file; NaN is null."""
    errors = {answer: None if np.isnan(error) else error for answer, error in offsets.errors.items()}
    return {
        "schema": 1,
        "run": directory.path.name,
        "method": method,
        "prompt": {"id": prompt.id, "text": prompt.text, "system": prompt.system},
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
