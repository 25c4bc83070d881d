"""``paft doctor``: check the machine, the installation and a config, and print one line per check."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from paft import __version__
from paft.config.load import load_config
from paft.config.model import LlmConfig, ModelConfig
from paft.config.schema import BankSource, Config, GenerateSource
from paft.config.task import HubSource
from paft.errors import UserError, one_line
from paft.methods.registry import resolve
from paft.models.diagnose import Finding, diagnose, diagnose_endpoint, diagnose_file, diagnose_hub
from paft.models.locate import EMBEDDED, cache_folder, converted_folder, embedded_file, locate
from paft.models.open import can_be_trained
from paft.prompts.files import load_prompts
from paft.prompts.prepare import check_user_prompt, prepare_prompts
from paft.prompts.shots import load_with_demonstrations
from paft.runs.data import TaskData
from paft.runs.run import check_config, starts_of
from paft.scoring.registry import make_scorers
from paft.tasks.describe import describe_examples, equal_answers, noted_answers, repeated
from paft.tasks.load import check_targets
from paft.tasks.rows import place
from paft.utils.console import Console, counted
from paft.utils.distributed import ALONE

GIGABYTE = 1e9
NEEDED = 3 * GIGABYTE
"""The memory and the disk space that the demo needs, in bytes, rounded up."""


def examine(config: Path | None = None) -> Iterator[Finding]:
    """Yield the findings about the machine and, if one is given, about a config."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "packages": _packages,
        "devices": _devices,
        "memory": _memory,
        "folders": _folders,
        "embedded model": _embedded,
    }
    if config is not None:
        checks["config"] = lambda: _config(config)
    for what, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # a check that fails must not hide the others
            yield Finding("problem", what, f"{type(error).__name__}: {one_line(error)}")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    yield Finding("ok", "python", f"{sys.version.split()[0]} ({sys.executable})")
    yield Finding("ok", "paft", f"{__version__} ({Path(__file__).parent.parent})")
    installed, wrong = [], []
    for requirement in map(Requirement, metadata.requires("paft") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            installed.append(f"{requirement.name} {version}")
        else:
            wrong.append(f"{requirement.name} is {version}, paft requires {requirement.specifier}")
    yield Finding("ok", "packages", ", ".join(installed[:4]) + f" and {len(installed[4:])} more")
    if wrong:
        yield Finding(
            "problem", "packages", "; ".join(wrong), "reinstall paft with constraints.txt, or run `make setup`"
        )


def _devices() -> Iterator[Finding]:
    import torch

    from paft.utils.device import accelerator, available_devices, compute_dtype, cpu_cores, describe, pick_device

    for name in available_devices()[1:]:
        yield Finding("ok", name, describe(name))
    threads, cores = torch.get_num_threads(), cpu_cores()
    cpu = f"{cores} cores for this process, {threads} threads" + ("" if accelerator() else "; no GPU")
    if threads > cores:
        yield Finding("warning", "cpu", cpu, f"more threads than cores are slow; set OMP_NUM_THREADS={cores}")
    else:
        yield Finding("ok", "cpu", cpu)
    device = pick_device()
    dtype = compute_dtype(device)
    support = "has fast bfloat16 matrix products" if dtype == torch.bfloat16 else "has no fast bfloat16 support"
    yield Finding("ok", "device", f"model.device=auto is {device.type}")
    name = {"cpu": "this CPU", "cuda": "the GPU"}.get(device.type, device.type)
    yield Finding("ok", "dtype", f"model.dtype=auto is {str(dtype).removeprefix('torch.')}: {name} {support}")


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    free = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free"
    if memory.available < NEEDED:
        yield Finding("warning", "memory", free, f"the demo needs {NEEDED / GIGABYTE:.0f} GB")
    else:
        yield Finding("ok", "memory", free)


def _folders() -> Iterator[Finding]:
    for what, folder in (("runs", Path("runs").absolute()), ("cache", cache_folder().absolute())):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        detail = f"{folder}, {free / GIGABYTE:.1f} GB free"
        fix = "choose another folder with " + ("--output" if what == "runs" else "XDG_CACHE_HOME")
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            yield Finding("problem", what, f"{detail}, but {existing} is not writable", fix)
        elif free < NEEDED:
            yield Finding("warning", what, detail, f"free some space, or {fix}")
        else:
            yield Finding("ok", what, detail)


def _embedded() -> Iterator[Finding]:
    for name in EMBEDDED:
        try:
            file = embedded_file(name)
        except UserError as error:
            yield Finding("warning", "embedded model", one_line(error).removeprefix("config key model.path: "))
            continue
        if not file.exists():
            yield Finding("warning", "embedded model", f"{file} is missing", "run `make setup` to install it")
            continue
        detail = f"{name.removeprefix('embedded/')} in {file.parent}"
        if file.suffix == ".gguf":
            copy = converted_folder(file)
            unpacked = (copy / "complete.json").is_file()
            detail += (
                f", unpacked in {copy}" if unpacked else ", not unpacked yet; takes half a minute at first use"
            )
        yield Finding("ok", "embedded model", detail)


def _config(path: Path) -> Iterator[Finding]:
    try:
        config = load_config(path)
    except UserError as error:
        yield Finding("problem", "config", one_line(error))
        return
    yield Finding("ok", "config", str(path))
    is_sound = True
    for finding in _needs(config):
        is_sound &= finding.state != "problem"
        yield finding
    if is_sound and isinstance(config.model, ModelConfig) and not isinstance(config.prompts.train, GenerateSource):
        yield from _memory_of_run(config, config.model)


def _needs(config: Config) -> Iterator[Finding]:
    """Check the files, the model and the endpoints that a config names."""
    train = config.prompts.train
    sources: dict[str, Any] = {
        "task.train": config.task.train,
        "task.test": config.task.test,
        "prompts.train": train,
        "prompts.test": config.prompts.test,
    }
    checked = [finding for key, source in sources.items() if (finding := _source(key, source))]
    yield from checked
    if not any(finding.state == "problem" for finding in checked):
        yield from _data(config)
    yield from diagnose(config.model)
    try:
        check_config(config, ALONE, Console(quiet=True))
    except UserError as error:
        if "model.path" not in str(error):  # reported above
            yield Finding("warning", "paft run", one_line(error))
    for llm in _language_models(config):
        if llm.base_url is not None:
            yield diagnose_endpoint(llm.model, llm)


def _language_models(config: Config) -> Iterator[LlmConfig]:
    """Yield the language models of stage 1, and those in the settings of methods."""
    train = config.prompts.train
    if isinstance(train, GenerateSource):
        yield from train.generate.models
    try:
        variants = resolve(config.methods, config.training, config.baselines)
    except UserError:
        return  # reported with the config
    for variant in variants:
        for _, value in variant.method:
            if isinstance(value, LlmConfig):
                yield value


def _source(key: str, source: Any) -> Finding | None:
    if isinstance(source, BankSource):
        return _bank(key, source)
    if isinstance(source, HubSource):
        return diagnose_hub(key, source.hub)
    return diagnose_file(key, Path(source)) if isinstance(source, str) else None


def _data(config: Config) -> Iterator[Finding]:
    """Read the task and the prompts as a run does, unless they would have to be downloaded from the hub."""
    sources = (config.task.train, config.task.test)
    if any(isinstance(source, HubSource) and not Path(source.hub).is_dir() for source in sources):
        return
    try:
        starts = starts_of(resolve(config.methods, config.training, config.baselines))
        if config.task.train is None or config.prompts.train is None or not can_be_trained(config.model):
            starts = {}  # with this config only `paft evaluate` works
        task, train, test = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
        scorers = make_scorers(task.scorer, task)
        splits = ((train, config.task.train), (test, config.task.test))
        for examples, source in splits:
            check_targets(task, scorers, examples, source)
        counts = f"{counted(len(train), 'training examples')}, {counted(len(test), 'test examples')}"
        if isinstance(config.prompts.train, GenerateSource):
            check_user_prompt(config.prompts, task, starts)
        else:
            sets = prepare_prompts(config.prompts, task, train + test, starts, config.seed)
            counts += f"; {counted(len(sets.train), 'training prompts')}, "
            counts += f"{counted(len(sets.test), 'test prompts')} that fit"
    except UserError as error:
        yield Finding("problem", "task and prompts", one_line(error))
    else:
        yield Finding("ok", "task and prompts", counts)
        yield from (Finding("ok", *line) for line in describe_examples(config.task, task, train, test))
        yield from (Finding("warning", "target", note) for note in equal_answers(task, scorers, splits))
        yield from (Finding("ok", "target", note) for note in noted_answers(task, scorers, splits))
        if known := repeated(train, test):
            note = f"{len(known)} of {len(test)} test examples ask the same as a training example"
            first = place(config.task.test, int(known[0].id))
            fix = "remove them from task.train or task.test: a model may know their answers by heart"
            yield Finding("warning", "task.test", f"{note}; the first: {first}", fix)


def _memory_of_run(config: Config, model: ModelConfig) -> Iterator[Finding]:
    """Yield how much memory training and evaluation take; evaluation alone where ``paft run`` is impossible."""
    import psutil

    from paft.runs.memory import estimate_memory, not_estimated
    from paft.utils.device import pick_device

    place = locate(model.path, revision=model.revision)
    if pick_device(model.device).type != "cpu":
        yield Finding("ok", "memory, run", f"not estimated on {pick_device(model.device).type}, only on a CPU")
        return
    if place.endswith(".gguf") and not (converted_folder(Path(place)) / "complete.json").is_file():
        yield Finding("ok", "memory, run", "not estimated before the model is unpacked")
        return
    try:
        variants = check_config(config, ALONE, Console(quiet=True))
    except UserError:
        variants = []
    try:
        data = TaskData.load(config, variants, Console(quiet=True))
    except UserError as error:
        yield Finding("problem", "paft run", one_line(error))
        return
    try:
        prompts = prepare_prompts(config.prompts, data.task, data.all_examples, starts_of(variants), config.seed)
        estimates = estimate_memory(config, variants, data.with_prompts(prompts))
    except (UserError, OSError, ValueError) as error:
        yield Finding("warning", "memory, run", f"not estimated: {one_line(error)}")
        return
    free = psutil.virtual_memory().available
    for estimate in estimates:
        detail = f"about {estimate.peak / GIGABYTE:.2f} of {free / GIGABYTE:.1f} GB free ({estimate.detail})"
        yield Finding("ok" if estimate.peak < free else "warning", estimate.what, detail, estimate.remedy)
    if names := not_estimated(variants):
        reason = f"not estimated for {', '.join(names)}: only training on right answers is"
        yield Finding("ok", "memory, training", reason)


def _bank(key: str, source: BankSource) -> Finding:
    try:
        prompts = load_prompts(source, key.removeprefix("prompts."), 0)
    except UserError as error:
        return Finding("problem", key, one_line(error))
    return Finding("ok", key, f"the bank {source.bank}, {len(prompts)} prompts")
