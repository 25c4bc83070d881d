"""The section ``model`` of the config, and language models that are asked for prompts."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from paft.config.section import SECTION
from paft.errors import UserError


class EndpointSection(BaseModel):
    """How a model behind an OpenAI-compatible endpoint is reached."""

    model_config = SECTION

    key: str | None = None
    """Name of the environment variable that holds the key."""
    base_url: str | None = None
    """Such as ``http://localhost:8000/v1``."""
    parallel: Annotated[int, Field(ge=1, le=256)] = 4
    """Requests at a time."""
    retries: Annotated[int, Field(ge=0)] = 5
    """After errors that may pass, with growing pauses."""
    timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds for one attempt."""
    request: dict[str, Any] = {}
    """Further parameters of each request; null removes one."""

    @model_validator(mode="before")
    @classmethod
    def _key_has_two_names(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and "api_key_env" in tree and "key" not in tree:
            return {("key" if name == "api_key_env" else name): value for name, value in tree.items()}
        return tree

    @field_validator("key")
    @classmethod
    def _key_is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
            raise UserError(  # without repeating it: it may be the key
                "the config key 'key' of a language model takes the name of the environment variable that holds "
                "the key, not the key itself"
            )
        return name

    @field_validator("base_url")
    @classmethod
    def _url_holds_no_secret(cls, url: str | None) -> str | None:
        if url is None:
            return None
        key = "config key base_url of a language model"
        try:
            parts = urlsplit(url)
            port_is_one = parts.port is None or parts.port > 0
        except ValueError:
            raise UserError(f"the {key} is no URL; write it like http://localhost:8000/v1") from None
        if parts.username is not None or parts.query or parts.fragment:
            raise UserError(  # without repeating it
                f"the {key} takes a plain URL, without password or query; name the key's variable in 'key'"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
            raise UserError(f"the {key} is no URL: {url!r}; write it like http://localhost:8000/v1")
        return url


class ModelConfig(BaseModel):
    """The model that is evaluated and fine-tuned, in this process."""

    model_config = SECTION

    path: str = "embedded/smollm2-135m-instruct"
    """An embedded model, a folder, a .gguf file, or a hub id such as ``gpt2`` or ``org/name``."""
    revision: str | None = None
    """A branch, tag or commit of a model on the hub; its main branch if left out."""
    adapter: str | None = None
    """A PEFT adapter that is merged into the model before anything else."""
    chat_template: str = "auto"
    """``auto`` (the model's own), ``none`` (plain text), or a Jinja file."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """``auto`` is bfloat16 if the device multiplies matrices in it, else float32."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """Bits of the linear layers' weights, through bitsandbytes (QLoRA); ``none`` keeps ``dtype``."""
    device: str = "auto"
    """``auto`` is the accelerator if there is one, else the CPU; or ``cpu``, ``cuda:1``, ``xpu``, ``mps``."""


class ServedModel(EndpointSection):
    """A model that is evaluated at its endpoint; it cannot be fine-tuned."""

    path: str
    """Its name at the endpoint."""
    base_url: str
    on_unanswered: Literal["stop", "count"] = "stop"
    """What a message that the provider refuses, or that alone keeps failing, does: it stops the run after all
    others are answered, or counts as not answered."""
    tokenizer: str | None = None
    """The model's tokenizer (a folder or a hub id): prompts are sent as tokens through ``/v1/completions``."""
    chat_template: str | None = None
    """With ``tokenizer``: ``auto`` (its own), ``none`` or a Jinja file. Without it: ``none`` sends plain text
    through ``/v1/completions``; left out, the endpoint's chat completions use the server's template."""

    @model_validator(mode="after")
    def _template_has_a_tokenizer(self) -> "ServedModel":
        if self.chat_template not in (None, "none") and self.tokenizer is None:
            raise UserError(
                "config key model.chat_template: behind an endpoint, a template requires model.tokenizer, the "
                "folder or hub id of the model's tokenizer; only none (plain text) does without"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _no_keys_of_a_local_model(cls, tree: Any) -> Any:
        for key in ModelConfig.model_fields.keys() - {"path", "chat_template"}:
            if isinstance(tree, dict) and key in tree:
                raise UserError(
                    f"config key model.{key}: a model behind an endpoint is used as it is; leave the key out"
                )
        return tree


def _where_the_model_is(tree: Any) -> str:
    """Return which form of the section is meant: any key of an endpoint makes it a served model."""
    if isinstance(tree, dict):
        return "served" if EndpointSection.model_fields.keys() & tree.keys() else "local"
    return "served" if isinstance(tree, ServedModel) else "local"


AnyModel = Annotated[
    Annotated[ModelConfig, Tag("local")] | Annotated[ServedModel, Tag("served")],
    Discriminator(_where_the_model_is),
]


class LlmConfig(EndpointSection):
    """A language model that is asked for prompts: behind an endpoint, or in this process."""

    model: str
    """Its name at the endpoint; without ``base_url`` what ``model.path`` takes."""
