"""The models that a config names, ready to be asked."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from paft.config.load import describe_problem
from paft.config.model import AnyModel, LlmConfig, ModelConfig, ServedModel
from paft.errors import UserError
from paft.models.client import Client, LocalClient
from paft.models.completion_prompts import CompletionPrompts, PlainText, TemplateTokens
from paft.models.endpoint import Endpoint
from paft.models.endpoint_model import EndpointModel
from paft.models.locate import check_model as check_path
from paft.models.locate import locate
from paft.models.model import Model
from paft.models.quantization import check_quantization
from paft.utils.console import Console

if TYPE_CHECKING:
    from paft.models.local import LocalModel  # loads torch

_MODEL: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)


def can_be_trained(config: AnyModel) -> bool:
    """Return True for a model that runs in this process."""
    return isinstance(config, ModelConfig)


def device_setting(config: AnyModel) -> str:
    """Return ``model.device``; ``auto`` for a model behind an endpoint."""
    return config.device if isinstance(config, ModelConfig) else "auto"


def check_model(config: AnyModel, *, trains: bool, processes: int, is_sharded: bool = False) -> None:
    """Refuse, before anything is loaded, a model that a run cannot use.

    Args:
        trains: whether a method of the run trains.
        processes: how many processes the run has.
        is_sharded: whether the launcher shards the model over them.

    Raises:
        UserError: there is no model at the path, it cannot be quantised as the config asks, or one behind an
            endpoint would have to be trained.
    """
    if isinstance(config, ModelConfig):
        check_path(config.path, revision=config.revision)
        check_quantization(config, trains=trains, is_sharded=is_sharded)
    elif trains:
        raise UserError(
            "config key methods: a model behind an endpoint cannot be fine-tuned; "
            "use paft evaluate, or methods=[base]"
        )
    elif processes > 1:
        raise UserError(
            "a model behind an endpoint is asked from one process, with model.parallel requests at a time; "
            "start paft without torchrun or accelerate launch"
        )


def open_model(
    config: AnyModel, console: Console, *, batch_tokens: int | None, trains: bool, answers: Path
) -> Model:
    """Return the model of a run.

    Args:
        batch_tokens: tokens of one forward of a model in this process; None takes the default.
        trains: whether it will be trained, so that an adapter of the config must be merged into it.
        answers: the file that keeps every answer of a model behind an endpoint.
    """
    if isinstance(config, ServedModel):
        return EndpointModel(
            Endpoint.of(config.path, config, console.say),
            answers,
            prompts=_completion_prompts(config, console),
            on_unanswered=config.on_unanswered,
            say=console.say,
        )
    return load_local(config, console, batch_tokens=batch_tokens, merge=trains)


def _completion_prompts(config: ServedModel, console: Console) -> CompletionPrompts | None:
    """Return how prompts become text completions; None where the endpoint's chat template is used.

    Raises:
        UserError: there is no tokenizer at the path.
    """
    if config.tokenizer is None:
        return PlainText() if config.chat_template == "none" else None
    from paft.models.chat import ChatFormat
    from paft.models.load import load_tokenizer

    return TemplateTokens(
        ChatFormat(load_tokenizer(config.tokenizer, console.say), config.chat_template or "auto")
    )


def load_local(
    config: ModelConfig, console: Console, *, batch_tokens: int | None = None, merge: bool = True
) -> "LocalModel":
    """Return a model that runs in this process."""
    console.say(f"loading {config.path}")
    from paft.models.chat import ChatFormat
    from paft.models.load import load_model
    from paft.models.local import LocalModel

    model, tokenizer = load_model(config, console.say, merge=merge)
    return LocalModel(model, ChatFormat(tokenizer, config.chat_template), batch_tokens, console.say)


def language_models(models: Sequence[LlmConfig], key: str, console: Console) -> dict[str, Client]:
    """Return a client for each language model; one that runs in this process is loaded when it is first asked.

    Args:
        key: of the config that names them, for messages.

    Raises:
        UserError: an API key is missing, a model is not there, or one is listed twice.
    """
    clients: dict[str, Client] = {}
    for model in models:
        name = model.model
        if name in clients:
            raise UserError(f"config key {key}: {name!r} is listed twice")
        if model.base_url is not None:
            clients[name] = Endpoint.of(name, model, console.say)
        else:
            locate(name, key)
            clients[name] = LocalClient(name, partial(load_local, ModelConfig(path=name), console))
    return clients


def client_of(setting: Mapping[str, Any], key: str) -> Client:
    """Return a client for a model that is named as in the section ``model``; a local one is loaded when asked.

    Args:
        key: of the config that names it, for messages.

    Raises:
        UserError: a key is wrong, an API key is missing, or there is no model at the path.
    """
    try:
        config = _MODEL.validate_python(setting)
    except ValidationError as error:
        raise UserError(describe_problem(error, ModelConfig, key)) from None
    if isinstance(config, ServedModel):
        return Endpoint.of(config.path, config)
    locate(config.path, f"{key}.path", config.revision)
    return LocalClient(config.path, partial(load_local, config, Console()))
