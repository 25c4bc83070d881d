"""Load a model and its tokenizer: the embedded one, a folder, a hub id or a .gguf file."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from paft.config.model import ModelConfig
from paft.errors import UserError, first_line
from paft.models.adapters import ADAPTER_ERRORS, load_adapter, note_on_base
from paft.models.locate import converted_folder, hub_error, locate
from paft.models.quantization import check_loaded, check_quantization, no_merge, quantization_of, quantized_loading
from paft.utils.device import compute_dtype, pick_device
from paft.utils.distributed import launched
from paft.utils.hf_internals import dequantized_gguf, use_exact_products
from paft.utils.io import storage_problem

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
    check_quantization(config, trains=merge)
    bits = {} if config.quantization == "none" else quantized_loading(config.quantization, device, dtype)
    place = model_folder(config.path, say, config.revision)
    pinned = {"revision": config.revision} if config.revision is not None else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **pinned)
        model: Any = _causal_language_model(place, dtype=dtype, **bits, **PLAIN, **pinned)
    except Exception as error:  # transformers and safetensors raise whatever they meet in a damaged folder
        if storage_problem(error):
            raise
        if not Path(place).exists():
            raise hub_error(place, "model.path", config.revision, error) from None
        raise UserError(f"config key model.path: cannot load {config.path}: {first_line(error)}") from None
    if note := check_loaded(model, config):
        say(note)
    use_exact_products(model)
    if config.adapter:
        model = _with_adapter_of(config, model, place, merge=merge, say=say)
    model.base_revision = config.revision
    model = (model.to(device) if quantization_of(model) == "none" else model).eval()
    return model.requires_grad_(False), tokenizer


def _with_adapter_of(config: ModelConfig, model: Any, place: str, *, merge: bool, say: Say) -> Any:
    """Return the model with the config's adapter, merged into its weights or beside them."""
    if merge and quantization_of(model) != "none":
        raise no_merge(config, "quantised")
    head = tied_head(model)
    model, count = load_adapter(model, Path(str(config.adapter)), "config key model.adapter: ")
    say(f"{config.adapter}: all of its {count} tensors applied")
    if note := note_on_base(config, place):
        say(note)
    if merge:
        if head is not None and tied_head(model.get_base_model()) is not head:
            raise UserError(
                f"config key model.adapter: {config.adapter} adapts the output layer, which shares its weights "
                "with the embeddings; it cannot be merged, and so not trained on"
            )
        try:
            model = model.merge_and_unload()
        except ADAPTER_ERRORS as error:
            raise UserError(
                f"config key model.adapter: {config.adapter} cannot be merged into the model, and so not trained "
                f"on: {first_line(error)}"
            ) from None
        # PEFT saves this name with an adapter; on the model without this one, it would be silently wrong
        model.name_or_path = f"{model.name_or_path} with {config.adapter} merged"
    model.has_merged_adapter = merge
    return model


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
        raise UserError(f"config key model.tokenizer: cannot load {path}: {first_line(error)}") from None


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
        raise UserError(f"config key model.path: cannot read {file}: {first_line(error)}") from None
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
