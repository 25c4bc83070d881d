"""One method of a run: planned, trained, evaluated. A step whose result is there is skipped."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paft.config.schema import EvaluationConfig, UntilFigure, trainer_arguments
from paft.config.task import PartSetting
from paft.errors import UserError
from paft.methods.method import MethodContext, TrainingJob, TrainingPlan
from paft.methods.registry import Variant
from paft.prompts.screen import overlap
from paft.prompts.template import render
from paft.prompts.traits import traits_of
from paft.runs.data import RunData
from paft.scoring import PaidScorer
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.distributed import Processes
from paft.utils.io import write_text
from paft.utils.plugins import user_code

if TYPE_CHECKING:
    import numpy as np

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
    open_model: Callable[[], Any]
    drop_model: Callable[[], None]
    processes: Processes
    console: Console
    _examples: list[Example] | None = field(default=None, init=False)
    _widths: dict[int, dict[str, float]] = field(default_factory=dict, init=False)

    def work(self) -> None:
        """Do what is left of the cell."""
        adapter = None
        for scorer in self._paid:
            rank = self.processes.rank
            scorer.keep_in(self.folder / (f"judge-{rank}.jsonl" if rank else "judge.jsonl"))
        if self.variant.method.trains:
            plan = self.processes.once(self._plan)
            adapter = self.folder / "adapter"
            if not adapter.is_dir():
                self._train(plan)
        is_evaluated = self._is_evaluated()
        if not is_evaluated:
            self._evaluate(adapter)
        if self._paid:
            self.processes.once(partial(self._record_judges, anew=not is_evaluated))

    def check(self) -> None:
        """Refuse, before anything is trained, what the model cannot be trained with.

        Raises:
            UserError: a layer that LoRA cannot adapt, a setting of the Trainer, an example that is too long.
        """
        from paft.training.finetune import trainer_settings
        from paft.training.lora import check_lora

        training, model = self.variant.training, self.open_model()
        check_lora(model.model, training.lora)
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
            self.open_model().format,
            self.data.prompts.named,
            StepShape(training.batch_size * forwards, forwards, steps_per_epoch=1),
            K=training.K,
            seed=self.data.seed,
        )
        return sampler.extra_prompts

    def _sampler_setting(self) -> PartSetting:
        from paft.training.samplers import with_prompts_per_step

        training = self.variant.training
        own = self.variant.method.fixed_sampler
        return own or with_prompts_per_step(training.sampler, training.prompts_per_step)

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
        training, data = self.variant.training, self.data
        return TrainingJob(
            key=self.variant.key,
            engine=self.open_model(),
            task=data.task,
            scorers=data.scorers,
            examples=self.examples(),
            prompts=plan.prompts,
            sampler=plan.sampler or self._sampler_setting(),
            objective=plan.objective or training.objective,
            training=training,
            evaluation=self.evaluation,
            init=self._start(),
            folder=self.folder,
            seed=data.seed,
            console=self.console,
        )

    def _start(self) -> Path | None:
        """Return the adapter that the method starts from; None for a fresh one, or if it is not there yet."""
        name = self.variant.method.starts_with
        if name is None:
            return None
        adapter = Path(name)
        if not (adapter / "adapter_config.json").is_file():
            adapter = self.folder.parent / name / "adapter"
        return adapter if adapter.is_dir() else None

    @property
    def _drops(self) -> bool:
        return self.variant.training.on_overlength == "drop"

    def _filtered(self, prompts: list[Prompt], *, drop: bool, say: Callable[[str], None]) -> list[Example]:
        from paft.training.data import filter_by_length

        model = self.open_model()
        examples = self.data.training_examples(self.variant) if self._examples is None else self._examples
        longest = min(self.variant.training.max_length, model.positions)
        return filter_by_length(model, self.data.task, prompts, examples, max_length=longest, drop=drop, say=say)

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
            data.prompts.of_key(variant.method.starts_from),
            examples,
            self._evaluator,
            self._is_trainable,
            self.folder,
            data.seed,
            self.console,
        )
        with user_code(f"method {variant.name!r}"):
            plan = variant.method.plan(context)
        if not plan.prompts:
            raise UserError(f"config key methods: {variant.name!r} plans to train without a prompt")
        extra = make_sampler(
            plan.sampler or self._sampler_setting(),
            plan.prompts,
            K=variant.training.K,
            steps_per_epoch=1,
            seed=data.seed,
            task=data.task,
        ).extra_prompts
        self._refuse_test_prompts([*plan.prompts, *extra], variant.name)
        return plan

    def _evaluator(self) -> "PromptEvaluator":
        from paft.methods.evaluator import PromptEvaluator

        return PromptEvaluator(
            self.open_model(),
            self.data.task,
            mode=self.evaluation.mode,
            max_new_tokens=self.evaluation.max_new_tokens,
            stop=self.evaluation.stop,
            scorers=self.data.scorers,
            log=self.folder / "evaluations.jsonl",
        )

    def _train(self, plan: TrainingPlan) -> None:
        start = self.variant.method.starts_with
        if start and self._start() is None:
            raise UserError(f"{self.folder}: {start} is not trained yet, and {self.variant.name} starts from it")
        self.variant.method.train(self._job(plan))
        if self.processes.is_sharded:
            self.drop_model()  # each process has only a part of it
        self.processes.wait()  # for the adapter

    def _is_evaluated(self) -> bool:
        from paft.evaluation.grid import unanswered_cells

        prompts, examples = self.data.prompts.test, self.data.test_examples
        plans = self._rounds()
        return not any(any(unanswered_cells(self.folder, prompts, examples, plan).values()) for plan in plans)

    def _evaluate(self, adapter: Path | None) -> None:
        from paft.evaluation.grid import evaluate, unanswered_cells

        model, data, prompts = self.open_model(), self.data, self.data.prompts.test
        how = self.evaluation.model_dump(include={"mode", "max_new_tokens", "stop"})
        self.folder.mkdir(parents=True, exist_ok=True)
        with model.use_adapter(adapter):
            for planned in self._rounds():
                missing = unanswered_cells(self.folder, prompts, data.test_examples, planned)
                asked = [(prompt, example) for prompt in prompts for example in missing[prompt.id]]
                if asked:
                    self._say(model.announce((render(p, data.task, e) for p, e in asked), **how))
                    for scorer in self._paid:
                        self._say(scorer.announce(len(asked)))
                evaluate(
                    model,
                    data.task,
                    data.scorers,
                    prompts,
                    data.test_examples,
                    self.folder,
                    **how,
                    planned=planned,
                    console=self.console,
                    processes=self.processes,
                )
        self._say(model.usage())

    def _rounds(self) -> Iterator["np.ndarray"]:
        """Yield which cells are answered; with ``evaluation.until``, more each time until they suffice."""
        from paft.evaluation.plan import plan_cells, planned_cells, rounds

        prompts, examples = len(self.data.prompts.test), len(self.data.test_examples)
        most, until = planned_cells(self.evaluation.cells, prompts, examples), self.evaluation.until
        for count in [most] if until is None else rounds(prompts, examples, most):
            yield plan_cells(prompts, examples, count, self.data.seed)
            if until is not None and self._suffices(count, most, until):
                return

    def _suffices(self, count: int, most: int, until: Mapping[UntilFigure, float]) -> bool:
        """Say how well the figures are known after the first ``count`` cells, and return whether that suffices."""
        if count not in self._widths:
            self._widths[count] = points = self.processes.once(partial(self._half_widths, count, list(until)))
            cells = f"{count:,} of {len(self.data.prompts.test) * len(self.data.test_examples):,} cells"
            known = " and ".join(
                f"the {name} of the grid is known within {points[name]:.1f} points" for name in until
            )
            missed = " and ".join(f"{name} {until[name]:g}" for name in until if points[name] > until[name])
            more = f"; evaluation.until ({missed}) is not reached with evaluation.cells" if count == most else ""
            self.console.say(f"{self.variant.name}: after {cells} {known}{more if missed else ''}")
        return all(self._widths[count][name] <= until[name] for name in until)

    def _half_widths(self, count: int, figures: Sequence[str]) -> dict[str, float]:
        """Return half of the intervals of the whole grid's figures, in points, after the first ``count`` cells."""
        from paft.evaluation.estimate import estimate_cells
        from paft.evaluation.plan import plan_cells
        from paft.evaluation.predictions import read_options, read_scores

        prompts, examples = self.data.prompts.test, self.data.test_examples
        file, task = self.folder / "predictions.parquet", self.data.task
        scores = read_scores(file, prompts, examples)
        planned = plan_cells(len(prompts), len(examples), count, self.data.seed)
        scores[~planned] = float("nan")  # the answer must not depend on what a larger plan has added
        if planned.all():
            return dict.fromkeys(figures, 0.0)
        traits = [
            traits_of(prompt, task.fields, task.labels, task.aliases, has_options=task.has_options)
            for prompt in prompts
        ]
        groups = None if task.labels is None else [example.target for example in examples]
        options = read_options(file, prompts, examples, task)
        intervals = estimate_cells(scores, traits=traits, groups=groups, options=options).intervals
        ends = {name: interval for name in figures if (interval := intervals[name]) is not None}
        return {name: 50 * (interval.high - interval.low) for name, interval in ends.items()}

    @property
    def _paid(self) -> list[PaidScorer]:
        """The scorers that ask a language model; none where no answer is written."""
        scorers = self.data.scorers if self.evaluation.mode == "generate" else []
        return [scorer for scorer in scorers if isinstance(scorer, PaidScorer)]

    def _record_judges(self, *, anew: bool) -> None:
        """Write what the report says of a judge, and how far it agrees with itself, into ``judge.json``.

        Args:
            anew: also where the file is there.
        """
        if not anew and (self.folder / "judge.json").is_file():
            return
        for scorer in self._paid:
            self._say(scorer.summary())
            about = scorer.describe() | scorer.agreement()
            write_text(self.folder / "judge.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")

    def _say_once(self, line: str) -> None:
        """Print a line that several methods of the run would print."""
        if line not in self.data.reported:
            self.data.reported.add(line)
            self.console.say(line)

    def _say(self, line: str | None) -> None:
        if line:
            self.console.say(line)


def work_on(cell: Cell, lock: Callable[[], Any]) -> None:
    """Do a cell while its folder is locked against other processes."""
    with ExitStack() as stack:
        cell.processes.once(partial(_enter, stack, lock))
        cell.work()


def _enter(stack: ExitStack, lock: Callable[[], Any]) -> None:
    stack.enter_context(lock())
