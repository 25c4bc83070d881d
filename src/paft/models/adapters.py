"""Saved PEFT adapters: which ones paft can use, putting them on a model, and taking them off."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from paft.config.model import ModelConfig
from paft.errors import UserError, first_line
from paft.models.locate import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from paft.utils.hf_internals import load_adapter_tensors
from paft.utils.safe_io import CONFIG, read_text

if TYPE_CHECKING:
    from paft.engine.engine import Engine

_VIRTUAL = "puts learned tokens or states before the text"
UNUSABLE_KINDS = {
    "PROMPT_TUNING": _VIRTUAL,
    "MULTITASK_PROMPT_TUNING": _VIRTUAL,
    "P_TUNING": _VIRTUAL,
    "PREFIX_TUNING": _VIRTUAL,
    "CPT": _VIRTUAL,
    "CARTRIDGE": _VIRTUAL,
    "ADAPTION_PROMPT": _VIRTUAL,
    "POLY": "needs to be told the task of each row",
    "XLORA": "needs other adapters",
    "activated LoRA": "works only after certain tokens",
}
"""Kinds of PEFT adapters that are refused: rows that share their beginning are not computed as they ask for."""

ADAPTER_ERRORS = (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError)
"""What PEFT raises over an adapter that does not suit the model."""


def check_adapter(folder: Path, key: str = "") -> int:
    """Refuse an adapter that paft cannot use, or whose rank takes more memory than its matrices.

    Args:
        key: what the message begins with, if a key of the config names the folder.

    Returns:
        How many tensors it holds.

    Raises:
        UserError: it is not a PEFT adapter, its kind does not work inside the model's layers, its weights are a
            pickle, or its rank is larger than its matrices.
    """
    file, weights = folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS
    where = f"{key}{folder}"
    if not file.is_file():
        raise UserError(f"{key}no PEFT adapter at {folder} (adapter_config.json is missing)")
    if not weights.is_file():
        raise UserError(f"{where}: no adapter_model.safetensors; a .bin is a pickle and not loaded, save it again")
    try:
        config = _read_config(folder)
        with safe_open(str(weights), "pt") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        rank = max(config.get("r") or 0, *(config.get("rank_pattern") or {}).values(), 0)
        rows = max((shape[0] for name, shape in shapes.items() if "lora_" in name and "_A" in name), default=0)
        kind = str(config.get("peft_type"))
    except (ValueError, AttributeError, TypeError, RecursionError, SafetensorError) as error:
        raise UserError(f"{where}: damaged: {first_line(error)}") from None
    if kind == "LORA" and rank > rows:
        raise UserError(f"{where}: adapter_config.json names rank {rank}, its matrices have {rows}")
    if config.get("alora_invocation_tokens"):
        kind = "activated LoRA"
    if kind in UNUSABLE_KINDS:
        raise UserError(
            f"{where}: adapter_config.json: an adapter of the kind {kind} {UNUSABLE_KINDS[kind]}; paft takes "
            "those that change the model's layers for every token, such as LORA"
        )
    return len(shapes)


def load_adapter(base: Any, folder: Path, key: str = "") -> tuple[Any, int]:
    """Return a model with a saved adapter in its layers, and how many tensors were applied: all that there are.

    Names that PEFT maps to the model's own, such as those of an older release of transformers, fit.

    Args:
        base: a model of transformers; PEFT puts the adapter's layers into it.
        key: what a message begins with, if a key of the config names the folder.

    Raises:
        UserError: it is refused by :func:`check_adapter`, or not all of its tensors fit. The base model is
            unchanged then.
    """
    from peft import PeftConfig, get_peft_model

    count = check_adapter(folder, key)
    model = None
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        with warnings.catch_warnings():  # of a base model with another name, which load_model mentions itself
            warnings.simplefilter("ignore", UserWarning)
            model = get_peft_model(base, config)
        apply_adapter(model, folder, key)
    except BaseException as error:
        if model is not None:
            unload_adapter(model)
        if not isinstance(error, ADAPTER_ERRORS):
            raise
        raise UserError(f"{key}cannot load {folder}: {first_line(error)}{_made_for(folder)}") from None
    return model.eval(), count


def apply_adapter(model: Any, folder: Path, key: str = "") -> None:
    """Load an adapter's tensors into a model that has its layers.

    Raises:
        UserError: a tensor fits no module of the model, or one that the adapter needs is missing.
    """
    with safe_open(str(folder / ADAPTER_WEIGHTS), "pt") as tensors:
        names = list(tensors.keys())
    try:
        strangers, missing = load_adapter_tensors(model, folder)
    except KeyError:  # of a module to save
        own = _tensor_names(model)
        strangers, missing = [name for name in names if name not in own], sorted(own.difference(names))
    except RuntimeError as error:
        problem = " ".join(str(error).split("\n", 1)[-1].split())  # the first line only says where
        raise UserError(f"{key}cannot load {folder}: {problem[:200]}{_made_for(folder)}") from None
    own = _tensor_names(model) if strangers else set()
    strangers = [name for name in strangers if name not in own]  # some releases make VeRA's anew, and report them
    if strangers:
        raise UserError(
            f"{key}{folder}: {len(strangers)} of {len(names)} tensors fit no module of the model, the first "
            f"{strangers[0]}{_made_for(folder)}; name the model that it was trained on, or rename its tensors"
        )
    if missing:
        raise UserError(
            f"{key}{folder}: {len(missing)} tensors of the modules that adapter_config.json names are missing "
            f"from adapter_model.safetensors, the first {missing[0]}{_made_for(folder)}; save the adapter again"
        )


def _tensor_names(model: Any) -> set[str]:
    """Return the names under which PEFT saves the model's adapter."""
    from peft import get_peft_model_state_dict

    return set(get_peft_model_state_dict(model, save_embedding_layers=False))


@contextmanager
def with_adapter(engine: "Engine", adapter: Path) -> Iterator[None]:
    """Use a saved adapter on an engine's model within the block; the base model is unchanged afterwards."""
    base = engine.model
    engine.model, _ = load_adapter(base, adapter)
    try:
        yield
    finally:
        engine.model = unload_adapter(engine.model)


def _read_config(folder: Path) -> dict[str, Any]:
    config = json.loads(read_text(folder / ADAPTER_CONFIG, CONFIG))
    if not isinstance(config, dict):
        raise TypeError("adapter_config.json is not an object")
    return config


def _made_for(folder: Path) -> str:
    base = _read_config(folder).get("base_model_name_or_path")
    return f" (it was made for {base})" if base else ""


def note_on_base(config: ModelConfig, place: str) -> str | None:
    """Return a line if the config's adapter was made for another model than it is put on, else None.

    Models are the same if the last parts of their paths or hub ids are the same up to case, so a copy in a folder
    or under another account counts as the model; revisions are compared where both are known.

    Args:
        place: the folder or hub id that the model was loaded from.
    """
    adapter = _read_config(Path(config.adapter or ""))
    base, revision = adapter.get("base_model_name_or_path"), adapter.get("revision")
    if not isinstance(base, str) or not base:
        return None
    line = f"note: config key model.adapter: {config.adapter} was made for {base}"
    if other_base(Path(config.adapter or ""), config.path, place):
        return f"{line}, and is used on {config.path}"
    if revision and config.revision and revision != config.revision:
        return f"{line} at revision {revision}, and is used on revision {config.revision}"
    return None


def other_base(folder: Path, *names: str) -> str | None:
    """Return the model that an adapter says it was made for; None if it says none, or one of these.

    Args:
        names: paths or hub ids of the model that it is put on.
    """
    base = _read_config(folder).get("base_model_name_or_path")
    if not isinstance(base, str) or not base or _model_name(base) in map(_model_name, names):
        return None
    return base


def _model_name(path: str) -> str:
    cached = re.search(r"models--([^/\\]+)", path)  # the hub's cache: models--OWNER--NAME/snapshots/COMMIT
    name = cached[1].split("--")[-1] if cached else re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return re.sub(r"-[0-9a-f]{12}$", "", name.casefold().removesuffix(".gguf"))  # see locate.converted_folder


def unload_adapter(model: Any) -> Any:
    """Return the base model without its adapter, with its own weights.

    PEFT's ``unload`` leaves the trained copies of ``modules_to_save`` in the base model.
    """
    from peft.utils import ModulesToSaveWrapper

    base = model.get_base_model()
    originals = {
        name: module.original_module
        for name, module in base.named_modules()
        if isinstance(module, ModulesToSaveWrapper)
    }
    base = model.unload()
    for name, original in originals.items():
        base.set_submodule(name, original)
    return base
