"""Load a model and its tokenizer: the embedded one, a folder, a hub id or a .gguf file."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from paft.config.schema import ModelConfig
from paft.errors import UserError
from paft.models.locate import converted_folder, hub_error, locate
from paft.utils.device import compute_dtype, pick_device
from paft.utils.distributed import launched
from paft.utils.hf_internals import dequantized_gguf
from paft.utils.io import storage_problem
from paft.utils.safe_io import CONFIG, read_text

PLAIN = {"trust_remote_code": False, "use_safetensors": True}
"""A model is loaded as numbers and a config that names a class of transformers: no code of its own, no pickle."""

Say = Callable[[str], None]


def load_model(config: ModelConfig, say: Say = print, *, merge: bool = True) -> tuple[Any, Any]:
    """Return the model, in evaluation mode on its device, and the tokenizer.

    Args:
        merge: merge the config's adapter into the weights, which training on top requires. In bfloat16 a part of
            the adapter is lost to rounding, so a model that is only evaluated keeps it apart.

    Raises:
        UserError: there is no model at the path, it cannot be read as a causal language model, or this machine
            does not have the config's device.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    device = pick_device(config.device, launched())
    dtype = compute_dtype(device) if config.dtype == "auto" else getattr(torch, config.dtype)
    place = model_folder(config.path, say, config.revision)
    pinned = {"revision": config.revision} if config.revision is not None else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **pinned)
        model: Any = _causal_language_model(place, dtype=dtype, **PLAIN, **pinned)
    except Exception as error:  # transformers and safetensors raise whatever they meet in a damaged folder
        if storage_problem(error):
            raise
        if not Path(place).exists():
            raise hub_error(place, "model.path", config.revision, error) from None
        raise UserError(f"config key model.path: cannot load {config.path}: {_first_line(error)}") from None
    if config.adapter:
        head = tied_head(model)
        model = _adapted(model, config.adapter)
        if merge and head is not None and tied_head(model.get_base_model()) is not head:
            raise UserError(
                f"config key model.adapter: {config.adapter} adapts the output layer, which shares its weights "
                "with the embeddings; it cannot be merged, and so not trained on"
            )
        model = model.merge_and_unload() if merge else model
    model = model.to(device).eval()
    return model.requires_grad_(False), tokenizer


def load_tokenizer(path: str, say: Say = print) -> Any:
    """Return the tokenizer alone of what ``model.tokenizer`` names.

    Raises:
        UserError: there is no tokenizer at the path.
    """
    locate(path, "model.tokenizer")
    place = model_folder(path, say)
    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever it meets in a damaged folder
        if not Path(place).exists():
            raise hub_error(place, "model.tokenizer", None, error) from None
        raise UserError(f"config key model.tokenizer: cannot load {path}: {_first_line(error)}") from None


def _causal_language_model(place: str, **arguments: Any) -> Any:
    """Return the model; ValueError if weights are missing, which transformers fills with random numbers."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(place, **arguments, output_loading_info=True)
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise ValueError(
            f"{len(missing)} weights are missing ({missing[0]}); it is damaged, or not a causal language model"
        )
    return model


def tied_head(model: Any) -> Any:
    """Return the output layer if it shares its weights with the embeddings, else None."""
    tied = model.config.get_text_config().tie_word_embeddings
    return model.get_output_embeddings() if tied else None


def _adapted(model: Any, adapter: str) -> Any:
    from peft import PeftModel

    check_adapter(Path(adapter), "config key model.adapter: ")
    try:
        return PeftModel.from_pretrained(model, adapter)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"config key model.adapter: cannot load {adapter}: {_first_line(error)}") from None


def check_adapter(folder: Path, key: str = "") -> None:
    """Refuse an adapter that holds more than numbers, or whose rank takes more memory than its matrices.

    Args:
        key: what the message begins with, if a key of the config names the folder.

    Raises:
        UserError: it is not a PEFT adapter, its weights are a pickle, or its rank is larger than its matrices.
    """
    file, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    where = f"{key}{folder}"
    if not file.is_file():
        raise UserError(f"{key}no PEFT adapter at {folder} (adapter_config.json is missing)")
    if not weights.is_file():
        raise UserError(f"{where}: no adapter_model.safetensors; a .bin is a pickle and not loaded, save it again")
    try:
        config = json.loads(read_text(file, CONFIG))
        with safe_open(str(weights), "pt") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        rank = max(config.get("r") or 0, *(config.get("rank_pattern") or {}).values(), 0)
        rows = max((shape[0] for name, shape in shapes.items() if "lora_" in name and "_A" in name), default=0)
    except (ValueError, AttributeError, TypeError, RecursionError, SafetensorError) as error:
        raise UserError(f"{where}: damaged: {_first_line(error)}") from None
    if config.get("peft_type") == "LORA" and rank > rows:
        raise UserError(f"{where}: adapter_config.json names rank {rank}, its matrices have {rows}")


@contextmanager
def with_adapter(engine: Any, adapter: Path) -> Iterator[None]:
    """Use a saved adapter on an engine's model within the block; the base model is unchanged afterwards."""
    from peft import PeftModel

    check_adapter(adapter)
    base = engine.model
    engine.model = PeftModel.from_pretrained(base, str(adapter)).eval()
    try:
        yield
    finally:
        engine.model = unload_adapter(engine.model)


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


def model_folder(path: str, say: Say = print, revision: str | None = None) -> str:
    """Return the folder or hub id that transformers loads a model from; convert a .gguf file on first use."""
    place = locate(path, revision=revision)
    return str(_converted(Path(place), say)) if place.endswith(".gguf") else place


def _converted(file: Path, say: Say) -> Path:
    """Return a folder with the model of a .gguf file in the format of transformers, made on first use.

    Unpacking takes half a minute, so the unpacked copy is kept in the user's cache.
    """
    folder = converted_folder(file)
    if (folder / "complete.json").is_file():
        return folder
    say(f"unpacking {file.name} into {folder} (once, about half a minute)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        arguments = {"dtype": torch.bfloat16, **dequantized_gguf()}
        model = _causal_language_model(str(file.parent), gguf_file=file.name, **arguments)
    except Exception as error:  # the reader of GGUF raises whatever it meets
        if storage_problem(error):
            raise
        raise UserError(f"config key model.path: cannot read {file}: {_first_line(error)}") from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    (temporary / "complete.json").write_text(json.dumps({"source": str(file)}))
    try:
        temporary.rename(folder)
    except OSError:  # another process was first; its copy is the same
        shutil.rmtree(temporary)
    return folder


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
