"""Checks of a model that a config names, before it is loaded: its files, its place on the hub, its endpoint."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paft.config.model import AnyModel, EndpointSection, ServedModel
from paft.errors import UserError, one_line
from paft.models.client import ModelError
from paft.models.endpoint import Endpoint
from paft.models.locate import locate


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: the state, what was checked, the detail, and how to fix a problem."""

    state: Literal["ok", "warning", "problem"]
    what: str
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what:<15} {self.detail}{f'; {self.fix}' if self.fix else ''}"


def diagnose(model: AnyModel) -> Iterator[Finding]:
    """Yield what is found of a model, its adapter and its chat template."""
    from paft.utils.device import pick_device

    if isinstance(model, ServedModel):
        yield diagnose_endpoint(model.path, model)
        return
    if model.chat_template not in ("auto", "none"):
        yield diagnose_file("model.chat_template", Path(model.chat_template))
    if model.adapter is not None:
        yield diagnose_file("model.adapter", Path(model.adapter) / "adapter_config.json")
    try:
        where = locate(model.path, revision=model.revision)
    except UserError as error:
        yield Finding("problem", "model.path", one_line(error).removeprefix("config key model.path: "))
        return
    if Path(where).exists():
        yield Finding("ok", "model.path", where)
    else:
        yield diagnose_hub("model.path", where, model.revision)
    try:
        pick_device(model.device)
    except UserError as error:
        yield Finding("problem", "model.device", one_line(error).removeprefix("config key model.device: "))


def diagnose_file(key: str, path: Path) -> Finding:
    """Return whether a file is there and can be read."""
    if not path.is_file():
        return Finding("problem", key, f"{path} is not a file", "correct the path in the config")
    if not os.access(path, os.R_OK):
        return Finding("problem", key, f"{path} cannot be read", "change its permissions")
    return Finding("ok", key, f"{path}, {path.stat().st_size:,} bytes")


def diagnose_hub(key: str, name: str, revision: str | None = None) -> Finding:
    """Return whether a model or a data set can be loaded: from a folder, from the cache, or from the hub."""
    if Path(name).is_dir():
        return Finding("ok", key, name)
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        (api.model_info if key == "model.path" else api.dataset_info)(name, revision=revision, timeout=5)
    except Exception as error:  # the hub client's errors have no common base
        fix = "a copy in the hub's cache still loads; otherwise name a folder or a file"
        return Finding("warning", key, f"{name} cannot be reached on the hub ({type(error).__name__})", fix)
    return Finding("ok", key, f"{name} is on the hub")


def diagnose_endpoint(name: str, section: EndpointSection) -> Finding:
    """Ask an endpoint for its list of models, which costs nothing."""
    quick = section.model_copy(update={"retries": 0, "timeout": 5.0})
    try:
        listed = Endpoint.of(name, quick).models()
    except UserError as error:
        return Finding("problem", "endpoint", one_line(error))
    except ModelError as error:
        return Finding("problem", "endpoint", one_line(error), "start it, or correct base_url and key")
    key = f", ${section.key} is set" if section.key else ""
    if listed is None:
        return Finding("ok", "endpoint", f"{section.base_url} answers, but lists no models{key}")
    if name in listed:
        return Finding("ok", "endpoint", f"{section.base_url} answers and has {name}{key}")
    some = ", ".join(sorted(listed)[:3]) or "none"
    return Finding("warning", "endpoint", f"{section.base_url} answers; {name} is not on its list ({some}){key}")
