"""The models that a config names, ready to be asked."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from paft.config.schema import LlmConfig, ModelConfig, ServedModel
from paft.errors import UserError
from paft.models.endpoint import Client, Endpoint, LocalModel
from paft.models.endpoint_model import EndpointModel
from paft.models.locate import locate
from paft.utils.console import Console


def load_engine(
    config: ModelConfig, console: Console, *, batch_tokens: int | None = None, merge: bool = True
) -> Any:
    """Return the engine of a model that runs in this process."""
    console.say(f"loading {config.path}")
    from paft.engine.engine import Engine
    from paft.models.chat import ChatFormat
    from paft.models.load import load_model

    model, tokenizer = load_model(config, console.say, merge=merge)
    return Engine(model, ChatFormat(tokenizer, config.chat_template), batch_tokens, console.say)


def served_model(config: ServedModel, journal: Path) -> EndpointModel:
    """Return a model that is measured behind its endpoint; its answers are kept in ``journal``."""
    return EndpointModel(Endpoint.of(config.path, config), journal)


def language_models(models: Sequence[LlmConfig], key: str, console: Console) -> dict[str, Client]:
    """Return a client for each language model; one that runs in this process is loaded when it is asked.

    Args:
        key: of the config that names them, for a message.

    Raises:
        UserError: a key is missing, a model is not there, or one is listed twice.
    """
    found: dict[str, Client] = {}
    for model in models:
        name = model.model
        if name in found:
            raise UserError(f"config key {key}: {name!r} is listed twice")
        if model.base_url is not None:
            found[name] = Endpoint.of(name, model)
        else:
            locate(name, key)
            found[name] = LocalModel(name, partial(load_engine, ModelConfig(path=name), console))
    return found
