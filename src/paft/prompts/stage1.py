"""The functions behind the commands of ``paft prompts``."""

import itertools
from pathlib import Path

from paft.config.schema import Config, GenerateConfig, GenerateSource
from paft.errors import UserError
from paft.models.open import language_models
from paft.prompts.check import check, cost_table, show
from paft.prompts.files import load_prompts, read_prompts, write_prompts, write_screened
from paft.prompts.generate import ANSWERS, Ensemble, Generated
from paft.prompts.importing import import_prompts
from paft.prompts.prepare import user_prompts
from paft.prompts.rules import check_rules
from paft.prompts.screen import counts, overlap, screen
from paft.prompts.shots import load_with_demonstrations
from paft.prompts.split import split
from paft.tasks.load import subset
from paft.tasks.task import Task
from paft.types import Prompt
from paft.utils.console import Console, counted


def generate(config: Config, folder: Path, console: Console) -> Generated:
    """Generate prompts with the config's models; write ``train``, ``test`` and ``screened.jsonl`` to ``folder``.

    If the config names test prompts, all generated prompts become training prompts.

    Raises:
        UserError: the config generates no prompts, or ``folder`` holds prompts that were not generated there.
    """
    source = config.prompts.train
    if not isinstance(source, GenerateSource):
        raise UserError("config key prompts.train: `paft prompts generate` requires {generate: {models: [...]}}")
    check_rules(config.prompts.screen.off)
    _check_folder(folder)
    task, train_examples, _ = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
    settings = source.generate
    ensemble = Ensemble(
        settings,
        language_models(settings.models, "prompts.train.generate.models", console),
        task,
        train_examples,
        _few_shot_prompts(settings, config),
        folder,
        known=_existing_prompts(config),
        rules=config.prompts.screen,
        seed=config.seed,
        console=console,
    )
    generated = ensemble.generate()
    for (model, strategy), (count, reason) in generated.missing.items():
        console.say(
            f"{model}, {strategy}: {count} of {ensemble.wanted[model, strategy]} prompts are missing: {reason}"
        )
    write_screened(folder / "screened.jsonl", (("", s) for s in generated.screened))
    if not generated.prompts:
        reason = (
            "no prompt fits the task, so no prompts were written; see screened.jsonl for the reasons"
            if generated.screened
            else "the replies hold no prompts; see answers.jsonl"
        )
        console.say(f"{folder}: {reason}")
        return generated
    train, test = generated.prompts, list[Prompt]()
    if config.prompts.test is None:
        train, test = split(
            generated.prompts,
            task,
            share=settings.test_share,
            held_out=settings.held_out_sources,
            near_duplicate=config.prompts.screen.near_duplicate,
            seed=config.seed,
        )
        write_prompts(folder / "test.jsonl", test)
    write_prompts(folder / "train.jsonl", train)
    tests = f", {counted(len(test), 'test prompts')}" if config.prompts.test is None else ""
    left_out = counts(generated.screened) or "none"
    console.say(f"{folder}: {counted(len(train), 'training prompts')}{tests}, {left_out} left out")
    return generated


def _check_folder(folder: Path) -> None:
    """Raise a UserError if the folder holds prompts that were not generated there."""
    files = [folder / f"{name}.jsonl" for name in ("train", "test", "screened")]
    if (taken := [file for file in files if file.exists()]) and not (folder / ANSWERS).exists():
        raise UserError(f"{taken[0]} exists and would be replaced; choose another folder with --output")


def costs(config: Config, generated: Generated) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the cost table of :func:`generate`."""
    assert isinstance(config.prompts.train, GenerateSource)
    return cost_table(generated, config.prompts.train.generate.per_request)


def import_file(config: Config, path: Path, output: Path, console: Console) -> None:
    """Write the prompts of a file that fit the task to ``output``, and the others to a file next to it."""
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: --output must name a .jsonl file")
    if output.exists():
        raise UserError(f"{output}: the file exists; choose another --output")
    rules = config.prompts.screen
    check_rules(rules.off)
    task, examples, more = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
    prompts, failures = import_prompts(path, task, console.say)
    for place, reason in failures:
        console.say(f"{place}: not imported: {reason}")
    kept, out = screen(prompts, task, examples + more, off=rules.off, near_duplicate=rules.near_duplicate)
    if not kept:
        lacking = f"fits {task.name} ({counts(out)})" if out else "could be imported"
        raise UserError(f"{path}: none of its {len(prompts) + len(failures)} prompts {lacking}")
    screened_file = output.with_suffix(".screened.jsonl")
    write_screened(screened_file, (("", s) for s in out))
    write_prompts(output, kept)
    left_out = f"{len(out)} screened out ({counts(out)}), see {screened_file}" if out else "none screened out"
    console.say(f"{output}: {counted(len(kept), 'prompts')}; {len(failures)} could not be imported, {left_out}")


def check_files(config: Config, files: list[Path]) -> list[str]:
    """Return the lines about each file, or about the config's prompts if there are no files."""
    check_rules(config.prompts.screen.off)
    task, examples, more = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
    lines: list[str] = []
    sets = _sets(config, files, task)
    for name, prompts in sets:
        lines += [*check(name, prompts, task, examples + more, config.prompts.screen), ""]
    for (left, train), (right, test) in itertools.combinations(sets, 2):
        if shared := overlap(train, test, task):
            lines.append(
                f"{right}: {len(shared)} of its prompts repeat one of {left} up to case, spacing and punctuation "
                f"(first: {shared[0][1].id}); training prompts must not be used as unseen prompts"
            )
    return lines


def show_prompts(config: Config, files: list[Path], ids: list[str], count: int) -> list[str]:
    """Return the lines that show prompts, each rendered with a real example."""
    task, examples, more = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
    if not examples and not more:
        raise UserError(
            "config keys task.train and task.test are missing: prompts are shown with an example; set one of them"
        )
    matches = [p for _, prompts in _sets(config, files, task) for p in prompts if not ids or p.id in ids]
    if not matches:
        raise UserError(
            f"no prompt with the id {', '.join(ids)}" if ids else "no prompts to show; the prompt files are empty"
        )
    if unknown := [i for i in ids if i not in {p.id for p in matches}]:
        raise UserError(f"no prompt with the id {', '.join(unknown)}")
    chosen = matches[: None if ids else count]
    drawn = subset(examples or more, len(chosen), config.seed)
    lines: list[str] = []
    for i, prompt in enumerate(chosen):
        lines += show(prompt, task, drawn[i % len(drawn)])
    return lines


def _sets(config: Config, files: list[Path], task: Task) -> list[tuple[str, list[Prompt]]]:
    if files:
        return [(str(path), _read(path, task)) for path in files]
    sets = []
    for part in ("train", "test"):
        source = getattr(config.prompts, part)
        if source is not None and not isinstance(source, GenerateSource):
            sets.append((f"prompts.{part}", load_prompts(source, part, config.seed)))
    if not sets:
        raise UserError(
            "config keys prompts.train and prompts.test name no prompts; set one, or name a prompt file"
        )
    return sets


def _read(path: Path, task: Task) -> list[Prompt]:
    if not path.is_file():
        raise UserError(f"{path}: no such prompt file")
    if path.suffix == ".jsonl":
        return read_prompts(path)
    prompts, failures = import_prompts(path, task)
    if failures and not prompts:
        place, reason = failures[0]
        raise UserError(f"{place}: no prompt could be read: {reason}")
    for place, reason in failures:
        Console().say(f"{place}: left out: {reason}")
    return prompts


def _existing_prompts(config: Config) -> list[Prompt]:
    """Return the config's user prompts and test prompts, which no generated prompt may repeat."""
    test = config.prompts.test
    return user_prompts(config.prompts) + (load_prompts(test, "test", config.seed) if test else [])


def _few_shot_prompts(settings: GenerateConfig, config: Config) -> list[Prompt]:
    return [Prompt(text) for text in settings.few_shot_prompts] or user_prompts(config.prompts)
