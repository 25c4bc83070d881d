"""The models that a config names, ready to be asked."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from paft.config import LlmConfig, ModelConfig, ServedModel
from paft.console import Console
from paft.engine.locate import locate
from paft.llm.client import Client, Endpoint, LocalModel
from paft.llm.served import Served
from paft.prompts.generate import clients


def load_engine(
    config: ModelConfig, console: Console, *, batch_tokens: int | None = None, merge: bool = True
) -> Any:
    """Return the engine of a model that runs in this process."""
    console.say(f"loading {config.path}")
    from paft.engine.chat import ChatFormat
    from paft.engine.engine import Engine
    from paft.engine.load import load_model

    model, tokenizer = load_model(config, console.say, merge=merge)
    return Engine(model, ChatFormat(tokenizer, config.chat_template), batch_tokens, console.say)


def served_model(config: ServedModel, journal: Path) -> Served:
    """Return a model that is measured behind its endpoint; its answers are kept in ``journal``."""
    return Served(Endpoint.of(config.path, config), journal)


def language_models(models: Sequence[LlmConfig], key: str, console: Console) -> dict[str, Client]:
    """Return a client for each language model; one that runs in this process is loaded when it is asked.

    Args:
        key: of the config that names them, for a message.
    """
    here = [model.model for model in models if model.base_url is None]
    for path in here:
        locate(path, key)
    local: dict[str, Client] = {
        path: LocalModel(path, partial(load_engine, ModelConfig(path=path), console)) for path in here
    }
    return clients(models, local)
