"""``paft evaluate --axes``: ask in many ways at once, so that the report says which of them matter."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.config.schema import Config, GenerateSource
from paft.errors import UserError, WorkError
from paft.evaluation.axes import Design, make_design
from paft.evaluation.grid import answer
from paft.models.locate import adapter_files
from paft.models.model import Model
from paft.models.open import can_be_trained, open_model
from paft.models.unanswered import UnansweredError
from paft.prompts.axes import Level, Source, Variations, levels_of
from paft.prompts.prepare import prepare_prompts
from paft.prompts.template import render
from paft.runs import resume
from paft.runs.data import RunData, TaskData
from paft.runs.directory import AXES_CELLS, AXES_DESIGN, RunDirectory
from paft.runs.fingerprint import CONTENT, differences, fingerprints, flatten
from paft.runs.hashes import hash_examples, hash_files
from paft.runs.run import check_config
from paft.scoring import PaidScorer
from paft.tasks.task import Task
from paft.types import AnswerSettings, Conversation, Example, Prompt
from paft.utils.console import Console
from paft.utils.distributed import ALONE
from paft.utils.io import append_jsonl, read_keyed, write_text

OTHERS = ("prompts", "methods", "examples.jsonl")
"""What a run directory without axes holds."""

COLUMNS = {"levels", "examples", "scores", "predictions", "seconds"}


@dataclass(frozen=True)
class Combination:
    """A level of each axis, and the examples that are asked with them."""

    key: str
    levels: list[int]
    values: Mapping[str, Any]
    task: Task
    prompt: Prompt
    examples: list[Example]

    def conversations(self) -> list[Conversation]:
        """Return the questions as they are asked."""
        return [render(self.prompt, self.task, example) for example in self.examples]


def evaluate_axes(
    config: Config,
    names: Sequence[str],
    output: Path,
    console: Console,
    *,
    cells: int,
    adapters: Sequence[Path] = (),
) -> None:
    """Ask the model of the config along the axes, and keep the scores in ``output``; the same call resumes.

    Args:
        names: of the axes, see :data:`paft.prompts.axes.AXES`.
        cells: the most questions.
        adapters: the model is asked with it; several are the levels of the axis ``seed``.

    Raises:
        UserError: the task lacks an axis, or ``output`` holds something else.
        WorkError: something outside failed; what is finished is kept.
    """
    _check_adapters(config, names, adapters)
    has_train = config.task.train is not None
    config = _config_of_axes(config, names)
    variants = check_config(config, ALONE, console)
    directory = RunDirectory(output)
    if not (output / AXES_DESIGN).is_file() and any((output / name).exists() for name in OTHERS):
        raise UserError(f"{output}: a run without axes; choose another --output")
    with directory.locked():
        loaded = TaskData.load(config, variants, console)
        prompts = prepare_prompts(config.prompts, loaded.task, loaded.all_examples, {}, config.seed)
        data = loaded.with_prompts(prompts)
        for note in data.prompts.notes():
            console.say(note)
        source = _source(config, data, data.train if has_train else None, adapters)
        levels, combinations = _plan(names, source, cells, console)
        [fingerprint] = fingerprints(config, variants, data, 1).values()
        about = _about(config, data, levels, source, combinations)
        about["depends"] = fingerprint["evaluation"] | _depends(config, adapters, cells, combinations)
        _check_design(output, about)
        done = read_keyed(output / AXES_CELLS, COLUMNS)
        missing = [combination for combination in combinations if combination.key not in done]
        if not missing:
            return
        model = _open_model(config, data, missing, output, console, has_adapters=bool(adapters))
        resume.start_or_resume(directory, config)
        write_text(output / AXES_DESIGN, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
        if done:
            console.say(f"{len(done)} of {len(combinations)} combinations are answered already")
        asking = _Asking(model, data, config.evaluation.answer_settings, done.values())
        asking.ask(missing, adapters, output, console)
        if line := model.usage():
            console.say(line)


def _plan(
    names: Sequence[str], source: Source, cells: int, console: Console
) -> tuple[dict[str, list[Level]], list[Combination]]:
    """Return the levels of each axis, and the combinations of them that are asked.

    Args:
        names: of the axes.
        cells: the most questions.
    """
    levels = levels_of(names, source)
    if "wording" not in levels:
        origin = "prompts.user" if source.user else "the first of prompts.test"
        console.say(f"every combination has the same prompt, {origin}: {source.wording.id}")
    design = make_design([len(axis) for axis in levels.values()], len(source.test), cells, source.seed)
    return levels, list(_combinations(design, levels, Variations(source), source.test))


def _open_model(
    config: Config,
    data: RunData,
    combinations: Sequence[Combination],
    output: Path,
    console: Console,
    *,
    has_adapters: bool,
) -> Model:
    """Return the model, after it has refused what it cannot take and said what the answers will cost."""
    model = open_model(
        config.model,
        console,
        batch_tokens=config.evaluation.batch_tokens,
        trains=has_adapters,
        answers=output / "answers.jsonl",
    )
    questions = list(dict.fromkeys(q for combination in combinations for q in combination.conversations()))
    candidates = [data.task.candidates(example) for example in data.test_examples]
    settings = config.evaluation.answer_settings
    model.check(questions, list(dict.fromkeys(candidates)), settings)
    if line := model.announce(questions, settings):
        console.say(line)
    return model


def _check_adapters(config: Config, names: Sequence[str], adapters: Sequence[Path]) -> None:
    for folder in adapters:
        if not (folder / "adapter_config.json").is_file():
            raise UserError(f"--adapter {folder}: no adapter there (adapter_config.json is missing)")
    if len(set(map(Path.resolve, adapters))) < len(adapters):
        raise UserError("--adapter: the same folder twice; each is another training seed")
    if adapters and not can_be_trained(config.model):
        raise UserError("--adapter: a model behind an endpoint is used as it is; name its adapter in model.path")
    if len(adapters) > 1 and "seed" not in names:
        raise UserError(f"--adapter: {len(adapters)} adapters are the levels of the axis seed; add it to --axes")


def _config_of_axes(config: Config, names: Sequence[str]) -> Config:
    """Return the config without what is not used: methods, and training rows where nothing is demonstrated."""
    if config.evaluation.calibrate != "none":
        raise UserError("config key evaluation.calibrate: --axes takes the scores as they are; set it to none")
    for name in ("cells", "until"):
        if name in config.evaluation.model_fields_set:
            raise UserError(
                f"config key evaluation.{name}: --axes asks a design of its own; leave it out, and set --cells"
            )
    update: dict[str, Any] = {"methods": ["base"], "baselines": {}}
    if "shots" not in names and not config.prompts.shots:
        update["task"] = config.task.model_copy(update={"train": None})
    if isinstance(config.prompts.train, GenerateSource):
        update["prompts"] = config.prompts.model_copy(update={"train": None})
    return config.model_copy(update=update)


def _source(config: Config, data: RunData, train: list[Example] | None, adapters: Sequence[Path]) -> Source:
    prompts = data.prompts
    return Source(
        data.task,
        prompts.test,
        prompts.user,
        train,
        data.test_examples,
        [str(folder) for folder in adapters],
        config.prompts.shots,
        config.seed,
    )


def _combinations(
    design: Design, levels: Mapping[str, list[Level]], variations: Variations, examples: Sequence[Example]
) -> Iterator[Combination]:
    for number, (row, indices) in enumerate(zip(design.levels.tolist(), design.examples.tolist(), strict=True)):
        values = {name: axis[i].value for (name, axis), i in zip(levels.items(), row, strict=True)}
        varied = [variations.example(values, examples[index]) for index in indices]
        yield Combination(str(number), row, values, variations.task(values), variations.prompt(values), varied)


def _about(
    config: Config,
    data: RunData,
    levels: Mapping[str, list[Level]],
    source: Source,
    combinations: Sequence[Combination],
) -> dict[str, Any]:
    """Return what the report says of the design."""
    prompts = [level.value for level in levels.get("wording", ())] or [source.wording]
    return {
        "schema": 1,
        "task": data.task.name,
        "model": config.model.path,
        "adapters": list(source.adapters),
        "seed": config.seed,
        "mode": config.evaluation.mode,
        "scorers": [scorer.name for scorer in data.scorers] if config.evaluation.mode == "generate" else [],
        "axes": {name: [level.name for level in axis] for name, axis in levels.items()},
        "prompts": [{"id": p.id, "text": p.text, "system": p.system} for p in prompts],
        "with_system": sum(bool(prompt.system) for prompt in prompts),
        "combinations": len(combinations),
        "cells": sum(len(combination.examples) for combination in combinations),
        "examples": len({example.id for combination in combinations for example in combination.examples}),
    }


def _depends(
    config: Config, adapters: Sequence[Path], cells: int, combinations: Sequence[Combination]
) -> dict[str, Any]:
    """Return what the answers depend on beside the config's keys for an evaluation."""
    demonstrations = dict.fromkeys(example for c in combinations for example in c.task.demonstrations)
    keys: dict[str, Any] = {"seed": config.seed, "--cells": cells}
    if demonstrations:
        keys["task.train (demonstrations)"] = f"{CONTENT}{hash_examples(demonstrations)}"
    for number, folder in enumerate(adapters, start=1):
        files = [file for file in adapter_files(folder) if file.is_file()]
        keys[f"--adapter {number}"] = f"{CONTENT}{hash_files(files)}"
    return keys


def _check_design(output: Path, about: Mapping[str, Any]) -> None:
    """Refuse a directory that holds answers to other questions.

    Raises:
        UserError: naming what differs.
    """
    file = output / AXES_DESIGN
    if not file.is_file():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        earlier = {key: before[key] for key in ("axes", "depends", "prompts")}
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{file}: damaged; remove {output}, or choose another --output") from None
    now = {key: json.loads(json.dumps(about[key])) for key in earlier}
    if earlier != now:
        lines = differences(flatten(earlier["depends"]), flatten(now["depends"]))
        different = [*lines, *(f"{key} (changed)" for key in ("axes", "prompts") if earlier[key] != now[key])]
        raise UserError(
            f"{output} has answers to other questions; choose another --output. Different: {'; '.join(different)}"
        )


class _Asking:
    """Asks the model. A question that several combinations share, by their levels and the example, is asked once.

    Args:
        done: the rows of the combinations that are answered already.
    """

    def __init__(self, model: Model, data: RunData, settings: AnswerSettings, done: Iterable[Mapping[str, Any]]):
        self.model, self.data, self.settings = model, data, settings
        self._known: dict[tuple[tuple[int, ...], str], tuple[float, str | None]] = {}
        for row in done:
            for example, *answered in zip(row["examples"], row["scores"], row["predictions"], strict=True):
                self._known[tuple(row["levels"]), example] = tuple(answered)

    def ask(
        self, combinations: Sequence[Combination], adapters: Sequence[Path], output: Path, console: Console
    ) -> None:
        """Ask with one adapter after the other, and keep each finished combination.

        Raises:
            WorkError: some questions have no answer, after all others have one.
        """
        for scorer in self.data.scorers:
            if isinstance(scorer, PaidScorer) and self.settings.mode == "generate":
                scorer.keep_in(output / "judge.jsonl")
                questions = {(tuple(c.levels), example.id) for c in combinations for example in c.examples}
                console.say(scorer.announce(len(questions - self._known.keys())))
        unanswered = list[str]()
        with console.progress("evaluating the axes", sum(len(c.examples) for c in combinations)) as tick:
            for folder in adapters or (None,):
                # without the axis seed, all combinations are asked with the one adapter, or with none
                own = [c for c in combinations if c.values.get("seed", str(folder)) == str(folder)]
                with self.model.use_adapter(folder):
                    for combination in own:
                        try:
                            append_jsonl(output / AXES_CELLS, self._answered(combination))
                        except UnansweredError as error:
                            unanswered.append(str(error))
                        tick(len(combination.examples))
        if unanswered:
            raise WorkError(f"{len(unanswered)} combinations are not answered; the first: {unanswered[0]}")

    def _answered(self, combination: Combination) -> dict[str, Any]:
        """Return the row of a combination in :data:`~paft.runs.directory.AXES_CELLS`."""
        started, levels = time.perf_counter(), tuple(combination.levels)
        left = [example for example in combination.examples if (levels, example.id) not in self._known]
        task, prompt = combination.task, combination.prompt
        for row in answer(self.model, task, self.data.scorers, prompt, left, self.settings) if left else ():
            self._known[levels, row["example_id"]] = row["score"], row["prediction"]
        scores, predictions = zip(*(self._known[levels, e.id] for e in combination.examples), strict=True)
        return {
            "key": combination.key,
            "levels": combination.levels,
            "examples": [example.id for example in combination.examples],
            "scores": list(scores),
            "predictions": list(predictions),
            "seconds": round(time.perf_counter() - started, 3),
        }
