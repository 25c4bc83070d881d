"""What a method is: from training prompts and training examples to what the model is trained with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from paft.config.schema import EvaluationConfig, Section, TrainingConfig
from paft.scoring import Scorer
from paft.tasks.load import subset
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console

if TYPE_CHECKING:
    from paft.engine.engine import Engine
    from paft.methods.evaluator import PromptEvaluator
    from paft.training.data import PromptData
    from paft.training.finetune import AdapterTraining


PromptsKey = Literal["prompts.train", "prompts.user"]
"""The config key of the prompts that a method starts from."""

ONE_PROMPT: dict[str, Any] = {"sampler": "uniform", "prompts_per_step": None}
"""The fixed keys of a method that trains on one prompt: another sampler would change nothing, or add prompts."""


@dataclass(frozen=True)
class MethodContext:
    """What a method may look at. Test prompts and test examples are not part of it.

    Attributes:
        name: of the method in this run, for messages.
        prompts: the training prompts; for a method that starts from the user's prompt, that one alone.
        examples: the training examples.
        engine: returns the base model; loads it when it is first called.
        evaluator: returns the base model as it answers training examples; likewise.
        is_trainable: whether no training example is too long under a prompt.
        folder: ``RUN/methods/NAME``, where a search keeps what it has computed.
        key: of the config that holds the method's settings, for messages.
    """

    name: str
    task: Task
    prompts: Sequence[Prompt]
    examples: Sequence[Example]
    engine: "Callable[[], Engine]"
    evaluator: "Callable[[], PromptEvaluator]"
    is_trainable: Callable[[Prompt], bool]
    folder: Path
    seed: int
    key: str
    console: Console = field(default_factory=Console)

    def draw(self, count: int) -> list[Example]:
        """Return ``count`` of the examples, drawn with the seed; all of them where there are fewer."""
        return subset(list(self.examples), count, self.seed)


@dataclass(frozen=True)
class TrainingPlan:
    """What a method trains with.

    Attributes:
        prompts: those that the sampler draws from.
    """

    prompts: Sequence[Prompt]


@dataclass(frozen=True)
class TrainingJob:
    """What a method trains once it is planned.

    Attributes:
        key: of the config that holds the method's settings, for messages.
        data: the model of the run, the plan's prompts, the examples that are short enough under every prompt, and
            the sampler and the objective.
        training: how the adapter is trained, what it starts from, and where it is kept.
        scorers, evaluation: how the run judges and obtains answers.
    """

    key: str
    data: "PromptData"
    training: "AdapterTraining"
    scorers: Sequence[Scorer]
    evaluation: EvaluationConfig


class Method(Section, ABC):
    """A method. Its fields are its settings, checked and documented as those of any section of the config.

    Attributes:
        title: what a sentence calls the method; its name when left out.
        trains: False where the base model is measured as it is.
        prompts_key: the config key of the prompts that it is given; None where it needs none.
        fixed_training: keys of the ``training`` section that are part of the method, whatever the config says.
    """

    title: ClassVar[str] = ""
    trains: ClassVar[bool] = True
    prompts_key: ClassVar[PromptsKey | None] = "prompts.train"
    fixed_training: ClassVar[dict[str, Any]] = {}

    def check(self, key: str, console: Console) -> None:
        """Refuse, before anything runs, settings that no run can use.

        Args:
            key: of the config that holds the settings, for messages.

        Raises:
            UserError: something that the method needs is missing.
        """

    def check_training(self, training: TrainingConfig, key: str) -> None:
        """Refuse, before anything runs, keys of the ``training`` section that do not fit the method.

        Args:
            key: of the config that holds the method's settings, for messages.

        Raises:
            UserError: a key does not fit.
        """

    def check_job(self, job: TrainingJob) -> None:
        """Refuse, before anything is trained, what cannot be trained; the job has the named prompts.

        Raises:
            UserError: it cannot.
        """

    @property
    def initial_adapter(self) -> tuple[str, str] | None:
        """A setting and what it names: the variant of the run, or the folder of an adapter, to start from."""
        return None

    @property
    def own_code(self) -> dict[str, str]:
        """The settings that name code of the user's own, ``module:name`` by setting."""
        return {}

    @property
    def depends_on_evaluation(self) -> bool:
        """Whether the training depends on how answers are obtained and scored, as the evaluation's keys say."""
        return False

    @abstractmethod
    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return what to train with; a search for it runs here, and resumes."""

    def is_planned(self, folder: Path) -> bool:
        """Return True if :meth:`plan` needs no model, because its search is finished."""
        return True

    def train(self, job: TrainingJob) -> None:
        """Train, or resume; leave ``adapter/`` and ``train.jsonl`` in the training's folder."""
        from paft.training.finetune import finetune

        finetune(job.data, job.training)
