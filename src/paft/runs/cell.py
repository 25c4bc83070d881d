"""One method of a run: planned, trained, then evaluated. A step whose result is there is skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from paft.config.schema import EvaluationConfig, trainer_arguments
from paft.config.task import PartSetting
from paft.errors import UserError
from paft.methods.method import MethodContext, TrainingJob, TrainingPlan
from paft.methods.registry import Variant
from paft.models.model import Model
from paft.prompts.screen import overlap
from paft.runs.data import RunData
from paft.runs.evaluation import MethodEvaluation
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.distributed import Processes
from paft.utils.plugins import user_code

if TYPE_CHECKING:
    from paft.engine.engine import Engine  # loads torch
    from paft.methods.evaluator import PromptEvaluator  # loads numpy and pyarrow


@dataclass
class Cell:
    """The work on one method.

    Attributes:
        folder: ``RUN/methods/NAME``.
        open_model: returns the run's model; loads it when it is first called.
        drop_model: forgets a model that training has used up.
    """

    variant: Variant
    folder: Path
    data: RunData
    evaluation: EvaluationConfig
    open_model: Callable[[], Model]
    drop_model: Callable[[], None]
    processes: Processes
    console: Console
    _examples: list[Example] | None = field(default=None, init=False)

    def work(self) -> None:
        """Do what is left of the cell."""
        evaluation = MethodEvaluation(
            self.variant.name,
            self.folder,
            self.data,
            self.evaluation,
            self.open_model,
            self.processes,
            self.console,
        )
        evaluation.keep_judge_replies()  # a search asks the judge too
        adapter = None
        if self.variant.method.trains:
            plan = self.processes.once(self._plan)
            adapter = self.folder / "adapter"
            if not adapter.is_dir():
                self._train(plan)
        evaluation.work(adapter)

    def check(self) -> None:
        """Refuse, before anything is trained, what the model cannot be trained with.

        Raises:
            UserError: a layer that LoRA cannot adapt, a setting of the Trainer, an example that is too long.
        """
        from paft.training.finetune import trainer_settings
        from paft.training.lora import check_lora

        training = self.variant.training
        check_lora(self._engine().model, training.lora)
        self._refuse_test_prompts(self._extra_prompts, f"the sampler of {self.variant.name}")
        trainer_settings("cpu", Path("unused"), training.batch_size, self.data.seed, trainer_arguments(training))
        self.variant.method.check_job(self._job(TrainingPlan(self.data.prompts.named)))

    @cached_property
    def _extra_prompts(self) -> Sequence[Prompt]:
        """Return the prompts that the sampler adds to the training prompts; check sampler and objective."""
        from paft.training.parts import StepShape, make_parts

        training = self.variant.training
        forwards = training.gradient_accumulation_steps * self.processes.size
        sampler, _ = make_parts(
            self._sampler_setting(),
            training.objective,
            self.data.task,
            self._engine().format,
            self.data.prompts.named,
            StepShape(training.batch_size * forwards, forwards, steps_per_epoch=1),
            K=training.K,
            seed=self.data.seed,
        )
        return sampler.extra_prompts

    def _sampler_setting(self) -> PartSetting:
        from paft.training.samplers import with_prompts_per_step

        training = self.variant.training
        return with_prompts_per_step(training.sampler, training.prompts_per_step)

    def _refuse_test_prompts(self, prompts: Sequence[Prompt], user: str) -> None:
        """Refuse to train on a test prompt.

        Args:
            user: what would train on it, for the message.
        """
        if shared := overlap(prompts, self.data.prompts.test, self.data.task):
            raise UserError(
                f"{self.folder}: {user} would train on the test prompt {shared[0][1].id}, up to case, spacing and "
                "punctuation; test prompts must be unseen: remove it from them and choose another --output"
            )

    def examples(self) -> list[Example]:
        """Return the training examples that are short enough under every prompt that is named in the config."""
        if self._examples is None:
            prompts = [*self.data.prompts.named, *self._extra_prompts]
            self._examples = self._filtered(prompts, drop=self._drops, say=self._say_once)
        return self._examples

    def _job(self, plan: TrainingPlan) -> TrainingJob:
        from paft.training.data import PromptData
        from paft.training.finetune import AdapterTraining

        settings, data = self.variant.training, self.data
        prompt_data = PromptData(
            self._engine(),
            data.task,
            self.examples(),
            plan.prompts,
            K=settings.K,
            seed=data.seed,
            sampler=self._sampler_setting(),
            objective=settings.objective,
            prompt_noise=settings.prompt_noise,
            group_by=settings.group_by,
        )
        training = AdapterTraining(
            self.folder,
            settings.lora,
            settings.batch_size,
            trainer_arguments(settings),
            self.console,
            init=self._initial_adapter(),
        )
        return TrainingJob(self.variant.key, prompt_data, training, data.scorers, self.evaluation)

    def _initial_adapter(self) -> Path | None:
        """Return the adapter that the method starts from; None for a fresh one, or if it is not there yet."""
        if self.variant.method.initial_adapter is None:
            return None
        _, name = self.variant.method.initial_adapter
        adapter = Path(name)
        if not (adapter / "adapter_config.json").is_file():
            adapter = self.folder.parent / name / "adapter"
        return adapter if adapter.is_dir() else None

    @property
    def _drops(self) -> bool:
        return self.variant.training.on_overlength == "drop"

    def _filtered(self, prompts: list[Prompt], *, drop: bool, say: Callable[[str], None]) -> list[Example]:
        from paft.training.data import filter_by_length

        engine = self._engine()
        examples = self.data.training_examples(self.variant) if self._examples is None else self._examples
        longest = min(self.variant.training.max_length, engine.positions)
        return filter_by_length(engine, self.data.task, prompts, examples, max_length=longest, drop=drop, say=say)

    def _is_trainable(self, prompt: Prompt) -> bool:
        """Return True if no training example is too long under a prompt that a language model wrote."""
        self.examples()
        try:
            self._filtered([prompt], drop=False, say=self.console.say)
        except UserError:
            return False
        return True

    def _plan(self) -> TrainingPlan:
        """Return what the method trains with; a search runs here.

        Raises:
            UserError: it has no prompt, or one of its prompts is a test prompt.
        """
        from paft.training.samplers import make_sampler

        variant, data = self.variant, self.data
        planned = variant.method.is_planned(self.folder)
        examples = data.training_examples(variant) if planned else self.examples()
        context = MethodContext(
            variant.name,
            data.task,
            data.prompts.of_key(variant.method.prompts_key),
            examples,
            self._engine,
            self._evaluator,
            self._is_trainable,
            self.folder,
            data.seed,
            variant.key,
            self.console,
        )
        with user_code(f"method {variant.name!r}"):
            plan = variant.method.plan(context)
        if not plan.prompts:
            raise UserError(f"config key methods: {variant.name!r} plans to train without a prompt")
        extra = make_sampler(
            self._sampler_setting(),
            plan.prompts,
            K=variant.training.K,
            steps_per_epoch=1,
            seed=data.seed,
            task=data.task,
        ).extra_prompts
        self._refuse_test_prompts([*plan.prompts, *extra], variant.name)
        return plan

    def _engine(self) -> "Engine":
        """Return the run's model, to be trained."""
        from paft.engine.engine import Engine

        model = self.open_model()
        assert isinstance(model, Engine)  # a config that trains a model behind an endpoint has been refused
        return model

    def _evaluator(self) -> "PromptEvaluator":
        from paft.methods.evaluator import PromptEvaluator

        log = self.folder / "evaluations.jsonl"
        return PromptEvaluator(
            self.open_model(),
            self.data.task,
            self.evaluation.answer_settings,
            log=log,
            scorers=self.data.scorers,
        )

    def _train(self, plan: TrainingPlan) -> None:
        if (start := self.variant.method.initial_adapter) and self._initial_adapter() is None:
            name = self.variant.name
            raise UserError(f"{self.folder}: {start[1]} is not trained yet, and {name} starts from it")
        self.variant.method.train(self._job(plan))
        if self.processes.is_sharded:
            self.drop_model()  # each process has only a part of it
        self.processes.wait()  # for the adapter

    def _say_once(self, line: str) -> None:
        """Print a line that several methods of the run would print."""
        if line not in self.data.reported:
            self.data.reported.add(line)
            self.console.say(line)
