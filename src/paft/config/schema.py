"""One typed config tree. Left out, every key has the paper's value (section 4 and table 5)."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from paft.config.trainer_keys import check_training_arguments
from paft.errors import UserError

Method = Literal["base", "user", "top-accuracy", "batprompt", "zopo", "paft"]


Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the config; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class EndpointSection(Section):
    """How a model behind an OpenAI-compatible endpoint is reached."""

    key: str | None = None
    """Name of the environment variable that holds the key."""
    base_url: str | None = None
    """Such as ``http://localhost:8000/v1``."""
    parallel: Annotated[int, Field(ge=1, le=256)] = 4
    """Requests at a time."""
    retries: Annotated[int, Field(ge=0)] = 5
    timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds for one attempt."""
    request: dict[str, Any] = {}
    """Further parameters of each request; null takes one away."""

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


class ModelConfig(Section):
    """The model that is evaluated and fine-tuned, in this process."""

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
    device: str = "auto"
    """``auto`` is the accelerator if there is one, else the CPU; or ``cpu``, ``cuda:1``, ``xpu``, ``mps``."""


class ServedModel(EndpointSection):
    """A model that is evaluated at its endpoint; it cannot be fine-tuned."""

    path: str
    """Its name at the endpoint."""
    base_url: str

    @model_validator(mode="before")
    @classmethod
    def _no_keys_of_a_local_model(cls, tree: Any) -> Any:
        for key in ModelConfig.model_fields.keys() - {"path"}:
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


class HubSource(Section):
    """A data set of the Hugging Face hub, or a local folder of the same layout."""

    hub: str
    config: str | None = None
    split: str
    revision: str | None = None
    """A branch, tag or commit; ``refs/convert/parquet`` has the tables of a set that is a script."""


class OptionColumns(Section):
    """The options of an example lie in columns of their own (PIQA's ``sol1`` and ``sol2``)."""

    columns: list[str] = Field(min_length=2)


Source = str | HubSource
Choices = list[str] | str | OptionColumns
TargetFormat = Literal["auto", "text", "letter", "zero-based", "one-based"]


class TaskConfig(Section):
    """What is asked. For the built-in tasks, the name and the paths are enough."""

    name: str
    description: str = ""
    """What the task is, in a sentence or two; language models that are asked for prompts are told it."""
    train: Source | None = None
    test: Source | None = None
    fields: list[str] | None = None
    choices: Choices | None = None
    target: str | None = None
    target_format: TargetFormat | None = None
    """How the target column names its option; ``auto`` tries text, then letter, then zero-based index."""
    answer: Literal["label", "letter"] | None = None
    top_threshold: Annotated[float, Field(ge=0, le=1)] | None = None

    @field_validator("name")
    @classmethod
    def _name_is_no_path(cls, name: str) -> str:
        if not re.fullmatch(r"(?!\.)[^/\\\0]+", name):  # folders are named by it
            raise UserError(
                f"config key task.name: {name!r} is no name; leave out / and \\ and a dot at its beginning"
            )
        return name


class BankSource(Section):
    """Prompts that ship with paft."""

    bank: str
    size: Positive | None = None


class LlmConfig(EndpointSection):
    """A language model that is asked for prompts: behind an endpoint, or in this process."""

    model: str
    """Its name at the endpoint; without ``base_url`` what ``model.path`` takes."""


class GenerateConfig(Section):
    """Stage 1: an ensemble of language models, each asked in two ways (the paper's section 3.1)."""

    models: list[LlmConfig] = Field(min_length=1)
    zero_shot: Annotated[int, Field(ge=0)] = 20
    """Prompts wanted of each model, asked with a description of the task alone."""
    few_shot: Annotated[int, Field(ge=0)] = 20
    """Prompts wanted of each model, asked with some prompts as examples too."""
    few_shot_prompts: list[str] = []
    """The prompts that are shown; ``prompts.user`` when left out."""
    per_request: Positive = 10
    max_request_factor: Annotated[float, Field(ge=1)] = 3
    """At most so many times the requests that would do if every prompt were fit."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    max_tokens: Annotated[int, Field(ge=16)] = 2048
    """Longest answer to one request."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 1 / 9
    """Share of the prompts that is kept unseen for the test, where ``prompts.test`` is left out."""
    held_out_sources: list[str] = []
    """Models or strategies (``zero-shot``, ``few-shot``) whose prompts are the test prompts, not a share."""


class GenerateSource(Section):
    """Prompts that language models are asked for."""

    generate: GenerateConfig


class ScreenConfig(Section):
    """Which rules prompts are screened by; ``docs/prompts.md`` lists them."""

    off: list[str] = []
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Similarity from which on one of two prompts is left out."""


class UserPrompt(Section):
    """A prompt written in the config itself."""

    text: str
    system: str | None = None


class PromptsConfig(Section):
    """The training prompts, the unseen test prompts, and the one prompt of the method ``user``."""

    train: str | BankSource | GenerateSource | None = None
    test: str | BankSource | None = None
    screen: ScreenConfig = ScreenConfig()
    user: Annotated[UserPrompt | None, BeforeValidator(lambda v: {"text": v} if isinstance(v, str) else v)] = None


class LoraSection(Section):
    """LoRA as in the paper: rank 8 on the query and value projections."""

    r: Positive = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: list[str] = Field(default=["q_proj", "v_proj"], min_length=1)


class TrainingConfig(BaseModel):
    """Stage 2. Keys not listed here are ``transformers.TrainingArguments`` by their usual names."""

    model_config = ConfigDict(extra="allow")

    examples: Positive = 20_000
    """At most so many training examples, drawn with the seed."""
    epochs: Positive = 3
    K: Positive = 4
    """Optimiser steps that one drawn prompt is kept for."""
    batch_size: Positive = 8
    """Examples of one forward on one device. The paper's 1 x 8 accumulated steps make the same update."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    max_length: Annotated[int, Field(ge=8)] = 1024
    on_overlength: Literal["error", "drop"] = "error"
    """What to do with an example longer than ``max_length``: refuse, or leave it out and say so."""
    lora: LoraSection = LoraSection()
    gradient_accumulation_steps: Positive = 1
    lr_scheduler_type: str = "cosine"
    warmup_steps: Annotated[float, Field(ge=0)] = 0.1
    """Steps, or a share of all steps when below 1."""
    logging_steps: Positive = 1
    save_steps: Positive = 100
    report_to: str | list[str] = "none"

    @model_validator(mode="after")
    def _extras_are_training_arguments(self) -> "TrainingConfig":
        if self.model_extra:
            check_training_arguments(self.model_extra, TrainingConfig.model_fields)
        return self


class TopAccuracyConfig(Section):
    """The method ``top-accuracy``."""

    examples: Positive = 100
    """Training examples that each training prompt is tried on; the paper does not say how many."""


class ZopoConfig(Section):
    """The method ``zopo``; the numbers are its paper's."""

    budget: Positive = 165
    """Prompts tried, ``initial`` of them drawn at random before the search."""
    initial: Positive = 40
    examples: Positive = 20
    """Training examples that each is tried on."""
    embeddings: str = "model"
    """``model`` for the base model's last hidden state, else a sentence encoder (folder, hub id or embedded)."""


class BATpromptConfig(Section):
    """The method ``batprompt``; the numbers are its paper's."""

    llm: LlmConfig | None = None
    """The language model that disturbs inputs and rewrites the prompt."""
    encoder: str = "embedded/all-minilm-l6-v2"
    """The sentence encoder that tells whether a disturbed input still means the same."""
    pairs: Positive = 5
    """Disturbed inputs of each kind that the language model is shown."""
    examples: Positive = 20
    """Training examples, each disturbed in nine ways, that a prompt is scored on."""
    attacks: Positive = 3
    """Rounds in which a text is disturbed further."""
    variants: Positive = 5
    """Of a text, in each of these rounds."""
    rounds: Positive = 5
    """Rounds in which the prompt is rewritten."""
    rewrites: Positive = 5
    """Of the prompt in each round, every one of them paraphrased once too."""
    max_tokens: Annotated[int, Field(ge=16)] = 1024
    """Longest answer of the language model."""


class BaselinesConfig(Section):
    """The methods that choose one prompt before they train on it."""

    top_accuracy: TopAccuracyConfig = TopAccuracyConfig()
    zopo: ZopoConfig = ZopoConfig()
    batprompt: BATpromptConfig = BATpromptConfig()


class EvaluationConfig(Section):
    """The grid of test prompts and test examples."""

    examples: Positive | None = None
    """At most so many test examples, drawn with the seed; all when left out."""
    mode: Literal["likelihood", "generate"] = "generate"
    max_new_tokens: Positive = 256
    batch_tokens: Annotated[int, Field(ge=64)] | None = None
    """Tokens of one forward; by default 1,024 on a CPU and 16,384 on a GPU."""


class Config(Section):
    """Everything that a run depends on."""

    model: AnyModel = ModelConfig()
    task: TaskConfig
    prompts: PromptsConfig = PromptsConfig()
    methods: list[Method] = Field(default=["base", "user", "paft"], min_length=1)
    training: TrainingConfig = TrainingConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    run: dict[str, Any] | None = None
    """Written into ``RUN/config.yaml``: digest, versions, hashes of the inputs. Not read."""

    @model_validator(mode="after")
    def _methods_once(self) -> "Config":
        if len(set(self.methods)) < len(self.methods):
            raise UserError(f"config key methods: a method is listed twice: {', '.join(self.methods)}")
        return self
