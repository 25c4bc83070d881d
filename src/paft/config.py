"""One typed config tree. Left out, every key has the paper's value (section 4 and table 5)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from paft.errors import UserError, nearest
from paft.training_arguments import check_training_arguments

Method = Literal["base", "user", "paft"]


class Section(BaseModel):
    """A part of the config; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ModelConfig(Section):
    """The model that is measured and fine-tuned."""

    path: str = "embedded/smollm2-135m-instruct"
    adapter: str | None = None
    """A PEFT adapter that is merged into the model before anything else."""
    chat_template: str = "auto"
    """``auto`` (the model's own), ``none`` (plain text), or a Jinja file."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """``auto`` is bfloat16 where the machine computes in it, else float32."""


class HubSource(Section):
    """A data set of the Hugging Face hub, or a local folder of the same layout."""

    hub: str
    config: str | None = None
    split: str


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
    targets: TargetFormat | None = None
    """How the target column names its option; ``auto`` tries text, then letter, then zero-based index."""
    answer: Literal["text", "letter"] | None = None
    top: Annotated[float, Field(ge=0, le=1)] | None = None


class BankSource(Section):
    """Prompts that ship with paft."""

    bank: str
    size: Annotated[int, Field(ge=1)] | None = None


class LlmConfig(Section):
    """A language model that is asked for prompts: behind an OpenAI-compatible endpoint, or in this process."""

    model: str
    """Its name at the endpoint; without ``base_url`` what ``model.path`` takes."""
    base_url: str | None = None
    key: str | None = None
    """Name of the environment variable that holds the key."""
    parallel: Annotated[int, Field(ge=1)] = 4
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
                "config key prompts.train.generate.models.key takes the name of the environment variable that "
                "holds the key, not the key itself"
            )
        return name


class Generation(Section):
    """Stage 1: an ensemble of language models, each asked in two ways (the paper's section 3.1)."""

    models: list[LlmConfig] = Field(min_length=1)
    zero_shot: Annotated[int, Field(ge=0)] = 20
    """Prompts wanted of each model, asked with a description of the task alone."""
    few_shot: Annotated[int, Field(ge=0)] = 20
    """Prompts wanted of each model, asked with some prompts as examples too."""
    shots: list[str] = []
    """The prompts that are shown; ``prompts.user`` when left out."""
    per_request: Annotated[int, Field(ge=1)] = 10
    attempts: Annotated[float, Field(ge=1)] = 3
    """At most so many times the requests that would do if every prompt were fit."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    max_tokens: Annotated[int, Field(ge=16)] = 2048
    """Longest answer to one request."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 1 / 9
    """Share of the prompts that is kept unseen for the test, where ``prompts.test`` is left out."""
    held_out: list[str] = []
    """Models or strategies (``zero-shot``, ``few-shot``) whose prompts are the test prompts, not a share."""


class GenerateSource(Section):
    """Prompts that language models are asked for."""

    generate: Generation


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

    r: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: list[str] = Field(default=["q_proj", "v_proj"], min_length=1)


class TrainingConfig(BaseModel):
    """Stage 2. Keys not listed here are ``transformers.TrainingArguments`` by their usual names."""

    model_config = ConfigDict(extra="allow")

    examples: Annotated[int, Field(ge=1)] = 20_000
    """At most so many training examples, drawn with the seed."""
    epochs: Annotated[int, Field(ge=1)] = 3
    K: Annotated[int, Field(ge=1)] = 4
    """Optimiser steps that one drawn prompt is kept for."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Examples of one forward on one device. The paper's 1 x 8 accumulated steps make the same update."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    max_length: Annotated[int, Field(ge=8)] = 1024
    too_long: Literal["error", "drop"] = "error"
    """What to do with an example longer than ``max_length``: refuse, or leave it out and say so."""
    lora: LoraSection = LoraSection()
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    lr_scheduler_type: str = "cosine"
    warmup_steps: Annotated[float, Field(ge=0)] = 0.1
    """Steps, or a share of all steps when below 1."""
    logging_steps: Annotated[int, Field(ge=1)] = 1
    save_steps: Annotated[int, Field(ge=1)] = 100
    report_to: str | list[str] = "none"

    @model_validator(mode="after")
    def _extras_are_training_arguments(self) -> "TrainingConfig":
        if self.model_extra:
            check_training_arguments(self.model_extra, TrainingConfig.model_fields)
        return self


class EvaluationConfig(Section):
    """The grid of test prompts and test examples."""

    examples: Annotated[int, Field(ge=1)] | None = None
    """At most so many test examples, drawn with the seed; all when left out."""
    answers: Literal["likelihood", "generate"] = "generate"
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    batch_tokens: Annotated[int, Field(ge=64)] | None = None
    """Tokens of one forward; by default 1,024 on a CPU and 16,384 on a GPU."""


class Config(Section):
    """Everything that a run depends on."""

    model: ModelConfig = ModelConfig()
    task: TaskConfig
    prompts: PromptsConfig = PromptsConfig()
    methods: list[Method] = Field(default=["base", "user", "paft"], min_length=1)
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    run: dict[str, Any] | None = None
    """Written into ``RUN/config.yaml``: digest, versions, hashes of the inputs. Not read."""

    @model_validator(mode="after")
    def _methods_once(self) -> "Config":
        if len(set(self.methods)) < len(self.methods):
            raise UserError(f"config key methods: a method is listed twice: {', '.join(self.methods)}")
        return self


def load_config(path: Path, overrides: list[str] | None = None) -> Config:
    """Read a YAML config, apply ``key.sub=value`` overrides and make its paths absolute.

    Raises:
        UserError: the file is not there or not YAML, a key is unknown, a value does not fit.
    """
    tree = _read_yaml(path)
    for override in overrides or []:
        _apply_override(tree, override)
    try:
        config = Config.model_validate({key: value for key, value in tree.items() if value is not None})
        return _resolve_paths(config, path.resolve().parent)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: the config is not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read the config: {error.strerror}") from None
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    except ValueError as error:  # a date or number that YAML recognises and Python does not
        raise UserError(f"{path}: a value is no {error}; put it in quotes") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: a config is a mapping of keys such as 'task' and 'prompts'")
    return tree


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r}: write it as key.sub=value")
    *parents, last = key.split(".")
    node: Any = tree
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise UserError(f"override {override!r}: {name!r} is a single value, it has no keys below it")
    node[last] = _override_value(value)


def _override_value(text: str) -> Any:
    """Return a YAML value; what is no YAML, or a mapping only by a colon in running text, is the text itself."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, dict) and not text.lstrip().startswith("{") else value


ACCEPTED = {
    "task.train": "a path, or {hub: ID, config: C, split: S}",
    "task.test": "a path, or {hub: ID, config: C, split: S}",
    "task.choices": "a list of labels (quote yes, no and numbers), a column name, or {columns: [ONE, TWO]}",
    "prompts.train": "a path, {bank: NAME, size: N} or {generate: {models: [...]}}",
    "prompts.test": "a path, or {bank: NAME, size: N}",
    "prompts.user": "a text, or {text: T, system: S}",
    "training.report_to": "a name or a list of names",
}
"""What keys that take several forms take, for error messages."""

_FORMS = ("str", "list[str]", "HubSource", "BankSource", "GenerateSource", "OptionColumns", "UserPrompt")
"""How pydantic marks in a location which of several forms it tried."""


def _first_problem(error: ValidationError) -> str:
    """Return one line for the deepest problem: it belongs to the form that fits best."""
    problem = max(_of_best_form(error.errors()), key=lambda e: (len(e["loc"]), e["type"] == "extra_forbidden"))
    location = [
        str(part) for part in problem["loc"] if part not in _FORMS and not str(part).startswith("function")
    ]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"config key {key} is unknown{nearest(location[-1], _keys_beside(location))}"
    if problem["type"] == "missing":
        return f"config key {key} is missing"
    for form in (key, ".".join(location[:-1])):
        if form in ACCEPTED and "type" in problem["type"]:
            return f"config key {form} takes {ACCEPTED[form]}; found {problem['input']!r}"
    return f"config key {key}: {problem['msg']}, found {problem['input']!r}"


def _of_best_form(problems: list[Any]) -> list[Any]:
    """Leave out the forms of a value that lack a key, where another mapping form has all of its keys."""
    forms = [p for p in problems if len(p["loc"]) > 1 and p["loc"][-2] in _FORMS]
    lacking = {p["loc"][:-1] for p in forms if p["type"] == "missing"}
    whole = {p["loc"][:-1] for p in forms} - lacking
    return [p for p in problems if not (whole and p["loc"][:-1] in lacking)]


def _keys_beside(location: list[str]) -> list[str]:
    """Return the keys that the section holding ``location`` knows."""
    sections: dict[str, type[BaseModel]] = {
        "": Config,
        "model": ModelConfig,
        "task": TaskConfig,
        "task.train": HubSource,
        "task.test": HubSource,
        "task.choices": OptionColumns,
        "prompts": PromptsConfig,
        "prompts.train": BankSource,
        "prompts.train.generate": Generation,
        "prompts.train.generate.models": LlmConfig,
        "prompts.screen": ScreenConfig,
        "prompts.test": BankSource,
        "prompts.user": UserPrompt,
        "training.lora": LoraSection,
        "evaluation": EvaluationConfig,
    }
    section = ".".join(part for part in location[:-1] if not part.isdigit())
    return list(sections.get(section, Config).model_fields)


def _resolve_paths(config: Config, folder: Path) -> Config:
    """Make every relative path of the config absolute, seen from the config file's folder."""

    def absolute(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return str((folder / Path(value).expanduser()).resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{value!r} is no path: {error}") from None

    task, prompts, model = config.task, config.prompts, config.model
    task.train, task.test = absolute(task.train), absolute(task.test)
    for source in (task.train, task.test):
        if isinstance(source, HubSource) and source.hub.startswith((".", "~", "/")):
            source.hub = absolute(source.hub)
    prompts.train, prompts.test = absolute(prompts.train), absolute(prompts.test)
    model.adapter = absolute(model.adapter)
    if model.chat_template not in ("auto", "none"):
        model.chat_template = absolute(model.chat_template)
    model.path = _model_path(model.path, absolute)
    if isinstance(prompts.train, GenerateSource):
        for llm in prompts.train.generate.models:
            llm.model = llm.model if llm.base_url else _model_path(llm.model, absolute)
    return config


def _model_path(path: str, absolute: Callable[[str], str]) -> str:
    """Return an absolute path for what is one; a hub id or an embedded model stays as it is."""
    here = path.startswith((".", "~", "/")) or Path(absolute(path)).exists()
    return absolute(path) if here else path
