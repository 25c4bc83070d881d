"""One typed config tree. Left out, every key has the paper's value (section 4 and table 5)."""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from paft.config.model import AnyModel, LlmConfig, ModelConfig
from paft.config.section import SECTION
from paft.config.task import TaskConfig
from paft.config.trainer_keys import check_lora_arguments, check_training_arguments
from paft.errors import UserError
from paft.types import AnswerSettings, CalibrationKind, Mode
from paft.utils.plugins import part_setting

Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the config; unknown keys are errors."""

    model_config = SECTION


class BankSource(Section):
    """Prompts that ship with paft."""

    bank: str
    """A task: ``hellaswag``, ``piqa``, ``winogrande``, ``race``, ``trec``, ``sst2`` or ``bookings``."""
    size: Positive | None = None
    """Draw a diverse subset of so many, with the seed."""


class GenerateConfig(Section):
    """Stage 1: an ensemble of language models, each asked in two ways (the paper's section 3.1)."""

    models: list[LlmConfig] = Field(min_length=1)
    """The ensemble."""
    zero_shot: Annotated[int, Field(ge=0)] = 20
    """Prompts wanted of each model that is shown a description of the task only."""
    few_shot: Annotated[int, Field(ge=0)] = 20
    """Prompts wanted of each model that is shown some prompts as examples too."""
    few_shot_prompts: list[str] = []
    """The prompts that it is shown; ``prompts.user`` when left out."""
    per_request: Positive = 10
    """Prompts asked for in one request."""
    max_request_factor: Annotated[float, Field(ge=1)] = 3
    """The limit on requests, as a multiple of those needed if every prompt passed the screening."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Of the requests."""
    max_tokens: Annotated[int, Field(ge=16)] = 2048
    """Length limit of the answer to one request."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 1 / 9
    """Share of the prompts that become test prompts, where ``prompts.test`` is left out."""
    held_out_sources: list[str] = []
    """Models or strategies (``zero-shot``, ``few-shot``) whose prompts become the test prompts instead."""


class GenerateSource(Section):
    """Prompts that language models write."""

    generate: GenerateConfig


class ScreenConfig(Section):
    """The rules that screen prompts."""

    off: list[str] = []
    """Names of rules that are not applied."""
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """If two prompts are at least this similar, the second is left out."""


class UserPrompt(Section):
    """A prompt written in the config itself."""

    text: str
    system: str | None = None


class PromptsConfig(Section):
    """The training prompts, the unseen test prompts, and the prompt of the method ``user``."""

    train: str | BankSource | GenerateSource | None = None
    """A prompt file, prompts of a bank, or prompts to generate."""
    test: str | BankSource | None = None
    """A prompt file, or prompts of a bank."""
    screen: ScreenConfig = ScreenConfig()
    user: Annotated[UserPrompt | None, BeforeValidator(lambda v: {"text": v} if isinstance(v, str) else v)] = None
    """The text, or text and system text."""
    shots: Annotated[int, Field(ge=0)] = 0
    """Demonstrations in each prompt: training examples with their answers, drawn with the seed."""


class LoraSection(BaseModel):
    """LoRA as in the paper: rank 8 on the query and value projections.

    Keys not listed here are those of PEFT's ``LoraConfig`` by their names there.
    """

    model_config = ConfigDict(extra="allow")

    r: Positive = 8
    """Rank."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """The update is scaled by ``alpha / r``."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the input of the adapter."""
    target_modules: list[str] | Literal["all-linear"] = ["q_proj", "v_proj"]
    """Names of linear layers, or ``all-linear`` for all of them except the output layer."""

    @field_validator("target_modules", mode="before")
    @classmethod
    def _targets_are_names(cls, value: Any) -> Any:
        is_list = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
        if not is_list and value != "all-linear":
            raise UserError(
                "config key training.lora.target_modules takes a list of names of linear layers, or all-linear; "
                f"found {value!r}"
            )
        return value

    @model_validator(mode="after")
    def _extras_are_of_peft(self) -> "LoraSection":
        if self.model_extra:
            check_lora_arguments(self.model_extra, LoraSection.model_fields)
        return self


class TrainingConfig(BaseModel):
    """Stage 2. Keys not listed here are ``transformers.TrainingArguments`` by their usual names."""

    model_config = ConfigDict(extra="allow")

    examples: Positive = 20_000
    """The most training examples; they are drawn with the seed."""
    epochs: Positive = 3
    """Passes over the training examples."""
    K: Positive = 4
    """Optimiser steps that one drawn prompt is kept for; of the sampler ``uniform``."""
    batch_size: Positive = 8
    """Examples of one forward on one device. The paper's 1 x 8 accumulated steps make the same update."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    """The highest, after the warm-up."""
    max_length: Annotated[int, Field(ge=8)] = 1024
    """Tokens of prompt and answer."""
    on_overlength: Literal["error", "drop"] = "error"
    """What to do with an example longer than ``max_length``: refuse it, or leave it out with a message."""
    sampler: str | dict[str, Any] = "uniform"
    """Which prompt serves which example: a name, ``module:name``, or ``{name: ..., ...its settings}``."""
    prompts_per_step: Positive | None = None
    """How many prompts the examples of a step get; of the samplers that give them several."""
    objective: str | dict[str, Any] = "cross-entropy"
    """What is minimised: a name, ``module:name``, or ``{name: ..., ...its settings}``."""
    prompt_noise: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Noise on the embeddings of prompt tokens while training: NEFTune's alpha, such as 5."""
    group_by: str | None = None
    """A field, such as a passage: examples with the same value follow each other in an epoch, so that a step
    computes what they share once."""
    lora: LoraSection = LoraSection()
    gradient_accumulation_steps: Positive = 1
    """Forwards per optimiser step."""
    lr_scheduler_type: str = "cosine"
    """A name that transformers knows."""
    warmup_steps: Annotated[float, Field(ge=0)] = 0.1
    """Steps, or a share of all steps if below 1."""
    logging_steps: Positive = 1
    """Steps between rows of ``train.jsonl``."""
    save_steps: Positive = 100
    """Steps between checkpoints, from which a stopped run goes on."""
    report_to: str | list[str] = "none"
    """Such as ``tensorboard`` or ``wandb``."""

    @field_validator("sampler", "objective", mode="before")
    @classmethod
    def _part_has_a_name(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            part_setting(value, f"training.{info.field_name}")
        return value

    @model_validator(mode="after")
    def _extras_are_training_arguments(self) -> "TrainingConfig":
        if self.model_extra:
            check_training_arguments(self.model_extra, TrainingConfig.model_fields)
        return self


def trainer_arguments(training: TrainingConfig) -> dict[str, Any]:
    """Return the part of the section that goes to ``transformers.TrainingArguments``, by the names there."""
    own = {"examples", "epochs", "K", "batch_size", "max_length", "on_overlength", "sampler", "objective", "lora"}
    own |= {"prompts_per_step", "prompt_noise", "group_by"}
    return {"num_train_epochs": training.epochs} | training.model_dump(exclude=own)


class NamedVariant(BaseModel):
    """A method with settings of its own; further keys are settings of the method itself."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """What it is called in folders, tables and figures."""
    method: str
    """A built-in method, or ``module:name``."""
    training: dict[str, Any] = {}
    """Keys of the ``training`` section that differ from it."""


UntilFigure = Literal["mean", "quantile_05"]
"""A figure of the grid that ``evaluation.until`` can wait for."""


class EvaluationConfig(Section):
    """The grid of test prompts and test examples."""

    examples: Positive | None = None
    """At most so many test examples, drawn with the seed; all when left out."""
    mode: Mode = "generate"
    """The option with the highest log-likelihood, or written answers that are read by the scorer."""
    max_new_tokens: Positive = 256
    """Longest written answer."""
    stop: list[Annotated[str, Field(min_length=1)]] = []
    """An answer ends before the first of these texts."""
    calibrate: Literal["none", CalibrationKind] = "none"
    """Also report the accuracy after Batch Calibration (``batch``), or after calibration to the average of the
    other test prompts (``consensus``); needs ``mode: likelihood``."""
    cells: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """How many cells of the grid are answered: a share in (0, 1], or a number above 1."""
    until: dict[UntilFigure, Annotated[float, Field(gt=0, lt=50)]] | None = None
    """Stop where these figures of the whole grid are known within so many points (half of the 95 % interval); a
    number is meant for the mean."""
    batch_tokens: Annotated[int, Field(ge=64)] | None = None
    """Tokens of one forward; by default 1,024 on a CPU and 16,384 on a GPU."""

    @field_validator("cells", mode="before")
    @classmethod
    def _cells_are_a_share_or_a_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < math.inf or (value > 1 and value != int(value)):
            raise UserError(
                "config key evaluation.cells takes a share of the grid such as 0.2, or a number of cells above 1; "
                f"found {value!r}"
            )
        return value

    @field_validator("until", mode="before")
    @classmethod
    def _until_of_the_mean(cls, value: Any) -> Any:
        if value == {}:
            raise UserError(
                "config key evaluation.until: name a figure, such as {quantile_05: 6}, or leave it out"
            )
        return {"mean": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _calibration_has_likelihoods(self) -> "EvaluationConfig":
        if self.calibrate != "none" and self.mode != "likelihood":
            raise UserError(f"config key evaluation.calibrate: {self.calibrate} needs evaluation.mode: likelihood")
        return self

    @property
    def answer_settings(self) -> AnswerSettings:
        """How a model is asked."""
        return AnswerSettings(self.mode, self.max_new_tokens, tuple(self.stop))


class Config(Section):
    """Everything that a run depends on."""

    model: AnyModel = ModelConfig()
    task: TaskConfig
    prompts: PromptsConfig = PromptsConfig()
    methods: list[str | NamedVariant] = Field(default=["base", "user", "paft"], min_length=1)
    """``base``, ``user``, ``paft``, ``top-accuracy``, ``zopo``, ``batprompt``, ``grpo``,
    ``module:name``, or a variant of one of them."""
    training: TrainingConfig = TrainingConfig()
    baselines: dict[str, dict[str, Any]] = {}
    """Settings of a built-in method, by its name with ``_`` for ``-``; those in an entry of ``methods`` replace
    them."""
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of every draw: prompts, examples, order, initial adapter, dropout."""
    run: dict[str, Any] | None = None
    """Written into ``RUN/config.yaml``: digest, versions, hashes of the inputs. Only ``modules`` is read: the
    folders in which your own modules are looked for."""

    @model_validator(mode="after")
    def _names_once(self) -> "Config":
        names = [variant_name(entry) for entry in self.methods]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise UserError(f"config key methods: {repeated[0]!r} is listed twice; give each variant its own name")
        return self


def variant_name(entry: str | NamedVariant) -> str:
    """Return the name of an entry of ``methods``; of a user's own method, what follows the colon."""
    return entry.rpartition(":")[2] if isinstance(entry, str) else entry.name
