"""``paft run`` and ``paft evaluate``: the paper's two stages and the comparison, on one page."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from paft.choosing import BASELINES, check_baselines, chosen, has_chosen
from paft.config import Config, GenerateSource, PromptsConfig, ServedModel, TrainingConfig
from paft.console import Console
from paft.errors import UserError
from paft.files import write_jsonl
from paft.models import load_engine, served_model
from paft.prompts.files import read_prompts, write_prompts, write_screened
from paft.prompts.prepare import PromptSets, prepare_prompts
from paft.prompts.screen import overlap
from paft.prompts.template import render
from paft.rundir import RunDirectory
from paft.tasks.load import load_task, subset
from paft.types import Prompt


def run(config: Config, output: Path, console: Console) -> None:
    """Fine-tune with each method, measure each on the unseen prompts, write the report.

    The same call on the same directory goes on where it stopped.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("paft runs in one process so far; start it without accelerate launch or torchrun")
    if config.task.test is None or (config.task.train is None and config.methods != ["base"]):
        raise UserError(f"config key task.{'test' if config.task.test is None else 'train'} is missing")
    if isinstance(config.model, ServedModel) and config.methods != ["base"]:
        raise UserError(
            "config key methods: a model behind an endpoint cannot be fine-tuned; "
            "use paft evaluate, or methods=[base]"
        )
    check_baselines(config.methods, config.baselines, console)
    task, train_examples, test_examples = load_task(config.task)
    examples = train_examples + test_examples
    train_examples = subset(train_examples, config.training.examples, config.seed)
    test_examples = subset(test_examples, config.evaluation.examples, config.seed)
    chance = sum(1 / len(e.options) for e in test_examples) / len(test_examples)
    facts = {"top": task.top, "chance": round(chance, 6)} | _layout_facts(task)
    directory = RunDirectory(output)
    with directory.locked():
        sources = config.prompts
        if isinstance(sources.train, GenerateSource):
            directory.claim(config, facts)
            sources = _generated(config, output / "prompts" / "generated", console)
        prompts = prepare_prompts(sources, task, examples, list(config.methods), config.seed)
        engine: Any = None

        def ready() -> Any:
            nonlocal engine, train_examples
            if engine is None:
                if isinstance(config.model, ServedModel):
                    engine = served_model(config.model, directory.method("base") / "predictions" / "answers.jsonl")
                    return engine
                size, merge = config.evaluation.batch_tokens, config.methods != ["base"]
                engine = load_engine(config.model, console, batch_tokens=size, merge=merge)
                trained_on = [prompt for method in config.methods for prompt in prompts.trained_on(method)]
                train_examples = _fitting(config, engine, task, trained_on, train_examples, console)
            return engine

        if not (output / "config.yaml").is_file():
            ready()  # a model that is not there, or examples too long: nothing is written
            if isinstance(config.model, ServedModel):
                _check_served(engine, config, task, prompts, test_examples[0])
        resumed = directory.claim(config, facts)
        _introduce(config, directory, prompts, len(train_examples), len(test_examples), resumed, console)
        if not directory.examples.is_file():
            write_jsonl(directory.examples, (_shown(task, example) for example in test_examples))
        for method in config.methods:
            folder = directory.method(method)
            trained_on = prompts.trained_on(method)
            if method in BASELINES:
                model = None if has_chosen(folder) else ready()  # which may leave out training examples
                prompt = chosen(
                    method,
                    config.baselines,
                    model,
                    task,
                    trained_on,
                    train_examples,
                    folder,
                    evaluation=config.evaluation,
                    seed=config.seed,
                    console=console,
                )
                trained_on = _unseen([prompt], prompts, task, folder)
            if trained_on and not (folder / "adapter").is_dir():
                model = ready()
                fit = _fitting(config, model, task, trained_on, train_examples, console)
                _train(model, task, fit, trained_on, folder, config, console)
            if not (folder / "predictions.parquet").is_file():
                adapter = folder / "adapter" if trained_on else None
                _evaluate(ready(), adapter, task, prompts.test, test_examples, folder, config, console)
    from paft.reporting.report import write_report

    write_report(output)


def evaluate(config: Config, output: Path, console: Console) -> None:
    """Measure the model of the config, with its adapter if it names one, on the test prompts."""
    task = config.task.model_copy(update={"train": None})
    run(config.model_copy(update={"methods": ["base"], "task": task}), output, console)


def _layout_facts(task: Any) -> dict[str, Any]:
    """Return what the report must know to tell how a prompt is laid out."""
    labels = None if task.labels is None else list(task.labels)
    return {"fields": list(task.fields), "labels": labels, "aliases": dict(task.aliases)}


def _shown(task: Any, example: Any) -> dict[str, Any]:
    """Return a test example as a row of ``examples.jsonl``."""
    return {
        "id": example.id,
        "fields": dict(example.fields),
        "options": list(example.options),
        "target": task.target(example),
    }


def _generated(config: Config, folder: Path, console: Console) -> PromptsConfig:
    """Return where the prompts are that stage 1 has made, once none is missing."""
    from paft.stage1 import generate

    generated = generate(config, folder, console)
    if generated.missing:
        lacking = sum(count for count, _ in generated.missing.values())
        raise UserError(
            f"{lacking} prompts are missing, see the lines above; the same command asks again, or ask for "
            "fewer (prompts.train.generate.zero_shot, few_shot) in another --output"
        )
    test = config.prompts.test or str(folder / "test.jsonl")
    return config.prompts.model_copy(update={"train": str(folder / "train.jsonl"), "test": test})


def _fitting(
    config: Config, engine: Any, task: Any, prompts: list[Prompt], examples: list, console: Console
) -> list:
    """Check what training asks of the model; leave out, or refuse, the examples that are too long."""
    if not prompts:
        return examples
    from paft.training.data import fitting
    from paft.training.train import check_targets, trainer_settings

    training = config.training
    check_targets(engine.model, training.lora.targets)
    trainer_settings("cpu", Path("unused"), training.batch_size, config.seed, trainer_arguments(training))
    longest = min(training.max_length, engine.positions)
    drop = training.too_long == "drop"
    return fitting(engine, task, prompts, examples, max_length=longest, drop=drop, say=console.say)


def _check_served(model: Any, config: Config, task: Any, prompts: PromptSets, example: Any) -> None:
    """Ask the endpoint one question, before anything is written."""
    conversation = render(prompts.test[0], task, example)
    model.check(conversation, task.answers(example), **_asking(config))


def _unseen(chosen: list[Prompt], prompts: PromptSets, task: Any, folder: Path) -> list[Prompt]:
    """Refuse a prompt that a language model wrote and that happens to be a test prompt."""
    if shared := overlap(chosen, prompts.test, task):
        raise UserError(
            f"{folder / 'choice.json'}: the chosen prompt is the test prompt {shared[0][1].id} up to case, "
            "spacing and punctuation; test prompts must be unseen, remove it from them and choose another --output"
        )
    return chosen


def _introduce(
    config: Config,
    directory: RunDirectory,
    prompts: PromptSets,
    train_examples: int,
    test_examples: int,
    resumed: bool,
    console: Console,
) -> None:
    """Write the prompts that are used, and say what is about to happen."""
    if resumed and directory.prompts("screened").is_file():
        for name, now in (("train", prompts.train), ("test", prompts.test)):
            if [p.id for p in _written(directory.prompts(name))] != [p.id for p in now]:
                raise UserError(
                    f"{directory.prompts(name)}: the {name} prompts are others now; choose another --output"
                )
    else:
        write_prompts(directory.prompts("train"), prompts.train)
        write_prompts(directory.prompts("test"), prompts.test)
        write_screened(directory.prompts("screened"), prompts.screened)
    for note in prompts.notes():
        console.say(f"{note} (all in {directory.prompts('screened')})")
    training = f"{train_examples} training examples, {len(prompts.train)} training prompts, "
    console.say(
        f"{'going on with' if resumed else 'starting'} {directory.path}: {', '.join(config.methods)}; "
        f"{training if config.methods != ['base'] else ''}"
        f"{len(prompts.test)} test prompts x {test_examples} test examples"
    )


def _written(path: Path) -> list[Prompt]:
    return read_prompts(path) if path.stat().st_size else []


def _train(
    engine: Any, task: Any, examples: list, prompts: list[Prompt], folder: Path, config: Config, console: Console
) -> None:
    from paft.training.train import Lora, train

    training = config.training
    train(
        engine,
        task,
        examples,
        prompts,
        folder,
        K=training.K,
        batch_size=training.batch_size,
        arguments=trainer_arguments(training),
        lora=Lora(**training.lora.model_dump()),
        seed=config.seed,
        console=console,
    )


def trainer_arguments(training: TrainingConfig) -> dict[str, Any]:
    """Return what of the section goes to ``transformers.TrainingArguments`` under its usual name."""
    own = {"examples", "epochs", "K", "batch_size", "max_length", "too_long", "lora"}
    return {"num_train_epochs": training.epochs} | training.model_dump(exclude=own)


def _asking(config: Config) -> dict[str, Any]:
    """Return how the model is asked."""
    return config.evaluation.model_dump(include={"answers", "max_new_tokens"})


def _evaluate(
    model: Any,
    adapter: Path | None,
    task: Any,
    prompts: list[Prompt],
    examples: list,
    folder: Path,
    config: Config,
    console: Console,
) -> None:
    from paft.evaluation.grid import evaluate as fill_grid

    served = isinstance(config.model, ServedModel)
    if served:
        questions = (render(prompt, task, example) for prompt in prompts for example in examples)
        console.say(model.estimate(questions, **_asking(config)))
    folder.mkdir(parents=True, exist_ok=True)
    with _wearing(model, adapter):
        fill_grid(model, task, prompts, examples, folder, **_asking(config), console=console)
    if served:
        console.say(model.used())


def _wearing(model: Any, adapter: Path | None) -> AbstractContextManager[None]:
    if adapter is None:
        return nullcontext()
    from paft.engine.load import with_adapter

    return with_adapter(model, adapter)
