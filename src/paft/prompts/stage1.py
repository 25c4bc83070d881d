"""The commands of ``paft prompts``."""

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
from paft.prompts.split import split
from paft.tasks.load import load_task, subset
from paft.tasks.task import Task
from paft.types import Prompt
from paft.utils.console import Console


def generate(config: Config, folder: Path, console: Console) -> Generated:
    """Ask the config's ensemble for prompts; leave ``train``, ``test`` and ``screened.jsonl`` in ``folder``.

    Where the config names a file of test prompts, all generated prompts are training prompts.
    """
    source = config.prompts.train
    if not isinstance(source, GenerateSource):
        raise UserError("config key prompts.train takes {generate: {models: [...]}} for this")
    check_rules(config.prompts.screen.off)
    _check_own(folder)
    task, train_examples, _ = load_task(config.task)
    asked = source.generate
    ensemble = Ensemble(
        asked,
        language_models(asked.models, "prompts.train.generate.models", console),
        task,
        train_examples,
        _few_shot_prompts(asked, config),
        folder,
        known=_own(config),
        rules=config.prompts.screen,
        seed=config.seed,
        console=console,
    )
    generated = ensemble.generate()
    for (model, strategy), (lacking, why) in generated.missing.items():
        console.say(
            f"{model}, {strategy}: {lacking} of {ensemble.wanted[model, strategy]} prompts are missing: {why}"
        )
    write_screened(folder / "screened.jsonl", (("", s) for s in generated.screened))
    if not generated.prompts:
        console.say(f"{folder}: no prompt fits the task, so none is written; screened.jsonl says why")
        return generated
    train, test = generated.prompts, list[Prompt]()
    if config.prompts.test is None:
        train, test = split(
            generated.prompts,
            task,
            share=asked.test_share,
            held_out=asked.held_out_sources,
            near_duplicate=config.prompts.screen.near_duplicate,
            seed=config.seed,
        )
        write_prompts(folder / "test.jsonl", test)
    write_prompts(folder / "train.jsonl", train)
    console.say(
        f"{folder}: {len(train)} training prompts, {len(test)} test prompts, {counts(generated.screened)} left out"
    )
    return generated


def _check_own(folder: Path) -> None:
    """Refuse to replace prompts that were not generated in this folder."""
    files = [folder / f"{name}.jsonl" for name in ("train", "test", "screened")]
    if (taken := [file for file in files if file.exists()]) and not (folder / ANSWERS).exists():
        raise UserError(f"{taken[0]} is there and would be replaced; name another folder by --output")


def costs(config: Config, generated: Generated) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the cost table of :func:`generate`."""
    assert isinstance(config.prompts.train, GenerateSource)
    return cost_table(generated, config.prompts.train.generate.per_request)


def import_file(config: Config, path: Path, output: Path, console: Console) -> None:
    """Write the prompts of a foreign file that fit the task to ``output``, and beside it what was left out."""
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: --output takes the name of a .jsonl file")
    if output.exists():
        raise UserError(f"{output}: there is such a file already; choose another --output")
    rules = config.prompts.screen
    check_rules(rules.off)
    task, examples, more = load_task(config.task)
    prompts, unread = import_prompts(path, task)
    for place, reason in unread:
        console.say(f"{place}: not taken: {reason}")
    kept, out = screen(prompts, task, examples + more, off=rules.off, near_duplicate=rules.near_duplicate)
    if not kept:
        raise UserError(
            f"{path}: none of its {len(prompts) + len(unread)} prompts fits {task.name} ({counts(out)})"
        )
    screened = output.with_suffix(".screened.jsonl")
    write_screened(screened, (("", s) for s in out))
    write_prompts(output, kept)
    left_out = f"{len(out)} screened out ({counts(out)}), see {screened}" if out else "none screened out"
    console.say(f"{output}: {len(kept)} prompts; {len(unread)} could not be taken, {left_out}")


def check_files(config: Config, files: list[Path]) -> list[str]:
    """Return the lines on each file, or on the config's prompts."""
    check_rules(config.prompts.screen.off)
    task, examples, more = load_task(config.task)
    lines: list[str] = []
    sets = _sets(config, files, task)
    for name, prompts in sets:
        lines += [*check(name, prompts, task, examples + more, config.prompts.screen), ""]
    for (one, train), (other, test) in itertools.combinations(sets, 2):
        if shared := overlap(train, test, task):
            lines.append(
                f"{other}: {len(shared)} of its prompts repeat one of {one} up to case, spacing and punctuation "
                f"(first: {shared[0][1].id}); what is trained on is not unseen"
            )
    return lines


def show_prompts(config: Config, files: list[Path], ids: list[str], count: int) -> list[str]:
    """Return prompts rendered on a real example each."""
    task, examples, more = load_task(config.task)
    if not examples and not more:
        raise UserError("config key task.train is missing, and task.test too: prompts are shown with an example")
    shown = [(n, p) for n, prompts in _sets(config, files, task) for p in prompts if not ids or p.id in ids]
    if not shown:
        raise UserError(f"no prompt with the id {', '.join(ids)}" if ids else "there are no prompts to show")
    if unknown := [i for i in ids if i not in {p.id for _, p in shown}]:
        raise UserError(f"no prompt with the id {', '.join(unknown)}")
    chosen = [p for _, p in shown][: None if ids else count]
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
        raise UserError("the config names no prompts; name a file")
    return sets


def _read(path: Path, task: Task) -> list[Prompt]:
    if not path.is_file():
        raise UserError(f"{path}: no such prompt file")
    return read_prompts(path) if path.suffix == ".jsonl" else import_prompts(path, task)[0]


def _own(config: Config) -> list[Prompt]:
    """Return the prompts of the config that no generated prompt may repeat: test prompts must be unseen."""
    test = config.prompts.test
    return user_prompts(config.prompts) + (load_prompts(test, "test", config.seed) if test else [])


def _few_shot_prompts(asked: GenerateConfig, config: Config) -> list[Prompt]:
    return [Prompt(text) for text in asked.few_shot_prompts] or user_prompts(config.prompts)
