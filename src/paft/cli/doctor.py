"""``paft doctor``: what this machine has, what paft will choose on it, and what is missing, in one screen."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from paft import __version__
from paft.config.load import load_config
from paft.config.schema import (
    AnyModel,
    BankSource,
    Config,
    EndpointSection,
    GenerateSource,
    HubSource,
    ServedModel,
)
from paft.errors import UserError, one_line
from paft.models.endpoint import Endpoint, ModelError
from paft.models.locate import EMBEDDED, cache_folder, converted_folder, embedded_file, locate
from paft.prompts.files import load_prompts
from paft.prompts.prepare import check_user_prompt, prepare_prompts
from paft.tasks.load import load_task
from paft.utils.console import Console
from paft.utils.distributed import ALONE

GIGABYTE = 1e9
NEEDED = 3 * GIGABYTE
"""Memory and disk that the demo takes, rounded up."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: how it stands, what was looked at, what was found, and how to mend it."""

    state: Literal["ok", "warning", "problem"]
    what: str
    found: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what:<15} {self.found}{f'; {self.mend}' if self.mend else ''}"


def examine(config: Path | None = None) -> Iterator[Finding]:
    """Yield what is found, of the machine and, where one is named, of a config."""
    checks: list[Callable[[], Iterator[Finding]]] = [_packages, _devices, _memory, _folders, _embedded]
    if config is not None:
        checks.append(lambda: _config(config))
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # whatever is broken, the other lines are wanted all the more
            yield Finding("problem", check.__name__.strip("_<>"), f"{type(error).__name__}: {one_line(error)}")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    yield Finding("ok", "python", f"{sys.version.split()[0]} ({sys.executable})")
    yield Finding("ok", "paft", f"{__version__} ({Path(__file__).parent})")
    found, wrong = [], []
    for requirement in map(Requirement, metadata.requires("paft") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} {version}")
        else:
            wrong.append(f"{requirement.name} is {version}, needed is {requirement.specifier}")
    yield Finding("ok", "packages", ", ".join(found[:4]) + f" and {len(found[4:])} more")
    if wrong:
        yield Finding(
            "problem", "packages", "; ".join(wrong), "install paft anew with constraints.txt, or make setup"
        )


def _devices() -> Iterator[Finding]:
    import torch

    from paft.utils.device import accelerator, available_devices, compute_dtype, cpu_cores, describe, pick_device

    for name in available_devices()[1:]:
        yield Finding("ok", name, describe(name))
    threads, cores = torch.get_num_threads(), cpu_cores()
    cpu = f"{cores} cores for this process, {threads} threads" + ("" if accelerator() else "; no GPU")
    if threads > cores:
        yield Finding("warning", "cpu", cpu, f"more threads than cores are slow: set OMP_NUM_THREADS={cores}")
    else:
        yield Finding("ok", "cpu", cpu)
    device = pick_device()
    dtype = compute_dtype(device)
    has = "multiplies matrices in it" if dtype == torch.bfloat16 else "has no bfloat16 units that paft uses"
    yield Finding("ok", "device", f"model.device=auto is {device.type}")
    name = {"cpu": "this CPU", "cuda": "the GPU"}.get(device.type, device.type)
    yield Finding("ok", "dtype", f"model.dtype=auto is {str(dtype).removeprefix('torch.')}: {name} {has}")


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free"
    if memory.available < NEEDED:
        yield Finding("warning", "memory", found, f"the demo takes {NEEDED / GIGABYTE:.0f} GB")
    else:
        yield Finding("ok", "memory", found)


def _folders() -> Iterator[Finding]:
    for what, folder in (("runs", Path("runs").absolute()), ("cache", cache_folder().absolute())):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        found = f"{folder}, {free / GIGABYTE:.1f} GB free"
        fix = "choose another folder with " + ("--output" if what == "runs" else "XDG_CACHE_HOME")
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            yield Finding("problem", what, f"{found}, but {existing} cannot be written to", fix)
        elif free < NEEDED:
            yield Finding("warning", what, found, f"free some space, or {fix}")
        else:
            yield Finding("ok", what, found)


def _embedded() -> Iterator[Finding]:
    for name in EMBEDDED:
        try:
            file = embedded_file(name)
        except UserError as error:
            yield Finding("warning", "embedded model", one_line(error).removeprefix("config key model.path: "))
            continue
        if not file.exists():
            yield Finding("warning", "embedded model", f"{file} is gone", "make setup installs it anew")
            continue
        found = f"{name.removeprefix('embedded/')} in {file.parent}"
        if file.suffix == ".gguf":
            copy = converted_folder(file)
            there = (copy / "complete.json").is_file()
            found += f", unpacked in {copy}" if there else ", not unpacked yet: half a minute at first use"
        yield Finding("ok", "embedded model", found)


def _config(path: Path) -> Iterator[Finding]:
    from paft.runs.run import check_config

    try:
        config = load_config(path)
    except UserError as error:
        yield Finding("problem", "config", one_line(error))
        return
    yield Finding("ok", "config", str(path))
    train = config.prompts.train
    sources: dict[str, Any] = {
        "task.train": config.task.train,
        "task.test": config.task.test,
        "prompts.train": train,
        "prompts.test": config.prompts.test,
    }
    checked = [found for key, source in sources.items() if (found := _source(key, source))]
    yield from checked
    if not any(finding.state == "problem" for finding in checked):
        yield from _data(config)
    yield from _model(config.model)
    try:
        check_config(config, ALONE, Console(quiet=True))
    except UserError as error:
        if "model.path" not in str(error):  # said above
            yield Finding("warning", "paft run", one_line(error))
    batprompt = config.baselines.batprompt.llm
    asked = train.generate.models if isinstance(train, GenerateSource) else []
    for llm in [*asked, batprompt] if batprompt else asked:
        if llm.base_url is not None:
            yield _endpoint(llm.model, llm)


def _source(key: str, source: Any) -> Finding | None:
    if isinstance(source, BankSource):
        return _bank(key, source)
    if isinstance(source, HubSource):
        return _hub(key, source.hub)
    return _file(key, Path(source)) if isinstance(source, str) else None


def _data(config: Config) -> Iterator[Finding]:
    """Read the task and the prompts as a run does; what is on the hub is not fetched for this."""
    if isinstance(config.task.train, HubSource) or isinstance(config.task.test, HubSource):
        return
    # a config of `paft evaluate` trains nothing
    measured = config.task.train is None or config.prompts.train is None or isinstance(config.model, ServedModel)
    methods: list[str] = ["base"] if measured else list(config.methods)
    try:
        task, train, test = load_task(config.task)
        found = f"{len(train)} training examples, {len(test)} test examples"
        if isinstance(config.prompts.train, GenerateSource):
            check_user_prompt(config.prompts, task, methods)
        else:
            sets = prepare_prompts(config.prompts, task, train + test, methods, config.seed)
            found += f"; {len(sets.train)} training prompts, {len(sets.test)} test prompts that fit"
    except UserError as error:
        yield Finding("problem", "task and prompts", one_line(error))
    else:
        yield Finding("ok", "task and prompts", found)


def _bank(key: str, source: BankSource) -> Finding:
    try:
        prompts = load_prompts(source, key.removeprefix("prompts."), 0)
    except UserError as error:
        return Finding("problem", key, one_line(error))
    return Finding("ok", key, f"the bank {source.bank}, {len(prompts)} prompts")


def _file(key: str, path: Path) -> Finding:
    if not path.is_file():
        return Finding("problem", key, f"{path} is no file", "mend the path in the config")
    if not os.access(path, os.R_OK):
        return Finding("problem", key, f"{path} cannot be read", "mend its permissions")
    return Finding("ok", key, f"{path}, {path.stat().st_size:,} bytes")


def _model(model: AnyModel) -> Iterator[Finding]:
    if isinstance(model, ServedModel):
        yield _endpoint(model.path, model)
        return
    if model.chat_template not in ("auto", "none"):
        yield _file("model.chat_template", Path(model.chat_template))
    if model.adapter is not None:
        yield _file("model.adapter", Path(model.adapter) / "adapter_config.json")
    try:
        place = locate(model.path, revision=model.revision)
    except UserError as error:
        yield Finding("problem", "model.path", one_line(error).removeprefix("config key model.path: "))
        return
    yield Finding("ok", "model.path", place) if Path(place).exists() else _hub("model.path", place, model.revision)
    yield from _model_device(model.device)


def _model_device(setting: str) -> Iterator[Finding]:
    from paft.utils.device import pick_device

    try:
        pick_device(setting)
    except UserError as error:
        yield Finding("problem", "model.device", one_line(error).removeprefix("config key model.device: "))


def _hub(key: str, name: str, revision: str | None = None) -> Finding:
    """Return whether a hub id can be loaded, from a folder or from the hub."""
    if Path(name).is_dir():
        return Finding("ok", key, name)
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        (api.model_info if key == "model.path" else api.dataset_info)(name, revision=revision, timeout=5)
    except Exception as error:  # the hub client's errors have no common base
        mend = "a copy in the hub's cache still loads; else name a folder or a file"
        return Finding("warning", key, f"{name} cannot be seen on the hub ({type(error).__name__})", mend)
    return Finding("ok", key, f"{name} is on the hub")


def _endpoint(name: str, section: EndpointSection) -> Finding:
    """Ask an endpoint for its list of models, which costs nothing."""
    quick = section.model_copy(update={"retries": 0, "timeout": 5.0})
    try:
        listed = Endpoint.of(name, quick).models()
    except UserError as error:
        return Finding("problem", "endpoint", one_line(error))
    except ModelError as error:
        return Finding("problem", "endpoint", one_line(error), "start it, or mend base_url and key")
    key = f", ${section.key} is set" if section.key else ""
    if listed is None:
        return Finding("ok", "endpoint", f"{section.base_url} answers, but lists no models{key}")
    if name in listed:
        return Finding("ok", "endpoint", f"{section.base_url} answers and has {name}{key}")
    some = ", ".join(sorted(listed)[:3]) or "none"
    return Finding("warning", "endpoint", f"{section.base_url} answers; {name} is not on its list ({some}){key}")
