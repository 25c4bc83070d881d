"""``paft run`` and ``paft evaluate``: the paper's two stages and the comparison, on one page."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from paft.config.schema import Config, GenerateSource, ModelConfig, PromptsConfig, ServedModel, TrainingConfig
from paft.errors import UserError, WorkError
from paft.methods.choosing import BASELINES, check_baselines, chosen, has_chosen
from paft.models.locate import check_model
from paft.models.open import load_engine, served_model
from paft.prompts.files import read_prompts, write_prompts, write_screened
from paft.prompts.prepare import PromptSets, check_user_prompt, prepare_prompts
from paft.prompts.screen import overlap
from paft.prompts.template import render
from paft.runs.directory import RunDirectory
from paft.tasks.load import load_task, subset
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.distributed import Processes
from paft.utils.io import write_jsonl


def run(config: Config, output: Path, console: Console) -> None:
    """Fine-tune with each method, measure each on the unseen prompts, write the report.

    The same call on the same directory goes on where it stopped. Where a launcher has started several processes,
    each makes this call.
    """
    processes = Processes.joined(config.model.device if isinstance(config.model, ModelConfig) else "auto")
    console = console if processes.is_main else Console(quiet=True)
    check_config(config, processes, console)
    task, train_examples, test_examples = load_task(config.task)
    known = train_examples + test_examples
    train_examples = subset(train_examples, config.training.examples, config.seed)
    test_examples = subset(test_examples, config.evaluation.examples, config.seed)
    if config.methods != ["base"]:
        _check_test_examples(train_examples, test_examples, console)
    work = _Work(config, RunDirectory(output), task, train_examples, test_examples, processes, console)
    with ExitStack() as held:
        processes.once(partial(work.hold, held))
        prompts = processes.once(partial(work.prepare, known))
        work.trained_on = [prompt for method in config.methods for prompt in prompts.trained_on(method)]
        processes.once(partial(work.begin, prompts))
        for method in config.methods:
            folder = work.directory.method(method)
            trained_on = prompts.trained_on(method)
            if method in BASELINES:
                trained_on = [processes.once(partial(work.choose, method, trained_on, folder))]
                _check_unseen(trained_on[0], prompts, task, folder)
            if trained_on and not (folder / "adapter").is_dir():
                work.train(trained_on, folder)
            if not (folder / "predictions.parquet").is_file():
                work.evaluate(prompts.test, folder / "adapter" if trained_on else None, folder)
    processes.once(partial(_report, output))


def _report(output: Path) -> None:
    """Write the report; a method without a result is no success."""
    from paft.reporting.report import write_report

    result = write_report(output)
    if result.unfinished:
        raise WorkError("; ".join(result.problems))


def evaluate(config: Config, output: Path, console: Console) -> None:
    """Measure the model of the config, with its adapter if it names one, on the test prompts."""
    if isinstance(config.prompts.train, GenerateSource) and not config.prompts.test:
        raise UserError(
            "config key prompts.test is missing: name the test prompts that were split off from the generated"
        )
    task = config.task.model_copy(update={"train": None})
    run(config.model_copy(update={"methods": ["base"], "task": task}), output, console)


@dataclass
class _Work:
    """A run: its steps, each of which any number of processes may take together."""

    config: Config
    directory: RunDirectory
    task: Task
    train_examples: list[Example]
    test_examples: list[Example]
    processes: Processes
    console: Console
    trained_on: list[Prompt] = field(default_factory=list)
    """The prompts of all methods: an example is left out of all trainings or of none."""

    _model: Any = None

    def hold(self, held: ExitStack) -> None:
        """Hold the directory until ``held`` is closed."""
        held.enter_context(self.directory.locked())

    def prepare(self, known: list[Example]) -> PromptSets:
        """Return the prompt sets; a language model may have to write them first.

        Args:
            known: all examples; a prompt that holds the answer of one of them is left out.
        """
        sources = self.config.prompts
        if isinstance(sources.train, GenerateSource) and sources.test and self.config.methods == ["base"]:
            sources = sources.model_copy(update={"train": None})  # no model is trained on them
        elif isinstance(sources.train, GenerateSource):
            self._check_before_it_costs()
            self.directory.claim(self.config, self._facts())
            sources = _generated(self.config, self.directory.path / "prompts" / "generated", self.console)
        return prepare_prompts(sources, self.task, known, list(self.config.methods), self.config.seed)

    def _check_before_it_costs(self) -> None:
        """Refuse what can be refused before language models are asked, and perhaps paid."""
        user = check_user_prompt(self.config.prompts, self.task, list(self.config.methods))
        if not self.directory.config_file.is_file() and isinstance(self.config.model, ModelConfig):
            examples, self.trained_on = self.train_examples, [user] if user else []
            self.model()
            self._model, self.train_examples = None, examples  # all is checked anew with the prompts

    def begin(self, prompts: PromptSets) -> None:
        """Claim the directory and say what is about to happen."""
        config, directory = self.config, self.directory
        if not directory.examples.is_file():
            model = self.model()  # a model that is not there, or examples too long: nothing is written
            if isinstance(config.model, ServedModel):
                question = render(prompts.test[0], self.task, self.test_examples[0])
                model.check(question, self.task.candidates(self.test_examples[0]), **self._asking)
            else:
                self._check_room(prompts.test)
        resumed = directory.claim(config, self._facts())
        self._introduce(prompts, resumed)
        if not directory.examples.is_file():
            write_jsonl(directory.examples, (_shown(self.task, example) for example in self.test_examples))

    def _check_room(self, prompts: list[Prompt]) -> None:
        """Refuse questions longer than the model's positions before anything is trained, by the longest ones."""
        engine, asking, examples = self.model(), self.config.evaluation, self.test_examples
        sizes = engine.format.prompts([render(prompts[0], self.task, example) for example in examples])
        order = sorted(range(len(examples)), key=lambda i: len(sizes[i]))
        longest = [examples[i] for i in order[-8:]]  # another prompt may say a field twice
        texts = {text for example in examples for text in self.task.candidates(example)}
        answer = max(len(engine.format.answer(text) + engine.format.end) for text in texts)
        for prompt in prompts:
            engine.encode(
                [render(prompt, self.task, example) for example in longest],
                asking.max_new_tokens if asking.mode == "generate" else answer,
            )

    def model(self) -> Any:
        """Return the model, loaded when it is first needed; leave out training examples that it cannot take."""
        config = self.config
        if self._model is None and isinstance(config.model, ServedModel):
            self._model = served_model(
                config.model, self.directory.method("base") / "predictions" / "answers.jsonl"
            )
        elif self._model is None:
            assert isinstance(config.model, ModelConfig)
            size, merge = config.evaluation.batch_tokens, config.methods != ["base"]
            self._model = load_engine(config.model, self.console, batch_tokens=size, merge=merge)
            self.train_examples = self._filter_by_length(self.trained_on)
        return self._model

    def choose(self, method: str, prompts: list[Prompt], folder: Path) -> Prompt:
        """Return the one of the prompts, or the rewriting of the first, that a baseline chooses."""
        return chosen(
            method,
            self.config.baselines,
            None if has_chosen(folder) else self.model(),
            self.task,
            prompts,
            self.train_examples,
            folder,
            fits=self._fits,
            evaluation=self.config.evaluation,
            seed=self.config.seed,
            console=self.console,
        )

    def train(self, prompts: list[Prompt], folder: Path) -> None:
        """Fine-tune on the prompts of one method."""
        from paft.training.finetune import train

        engine, training = self.model(), self.config.training
        train(
            engine,
            self.task,
            self._filter_by_length(prompts),
            prompts,
            folder,
            K=training.K,
            batch_size=training.batch_size,
            arguments=trainer_arguments(training),
            lora=training.lora,
            seed=self.config.seed,
            console=self.console,
        )
        if self.processes.is_sharded:
            self._model = None  # each process has a part of it only
        self.processes.wait()  # for the adapter

    def evaluate(self, prompts: list[Prompt], adapter: Path | None, folder: Path) -> None:
        """Answer the test examples under the prompts, with the adapter if there is one."""
        from paft.evaluation.grid import evaluate as fill_grid

        model = self.model()
        served = isinstance(self.config.model, ServedModel)
        if served:
            questions = (
                render(prompt, self.task, example) for prompt in prompts for example in self.test_examples
            )
            self.console.say(model.estimate(questions, **self._asking))
        folder.mkdir(parents=True, exist_ok=True)
        with _use_adapter(model, adapter):
            fill_grid(
                model,
                self.task,
                prompts,
                self.test_examples,
                folder,
                **self._asking,
                console=self.console,
                processes=self.processes,
            )
        if served:
            self.console.say(model.used())

    @property
    def _asking(self) -> dict[str, Any]:
        """How the model is asked."""
        return self.config.evaluation.model_dump(include={"mode", "max_new_tokens"})

    def _facts(self) -> dict[str, Any]:
        """Return what the report must know and the config leaves open."""
        task, examples = self.task, self.test_examples
        return {
            "top": task.top_threshold,
            "chance": round(sum(1 / len(e.options) for e in examples) / len(examples), 6),
            "fields": list(task.fields),
            "labels": None if task.labels is None else list(task.labels),
            "aliases": dict(task.aliases),
        } | ({"processes": self.processes.size} if self.config.methods != ["base"] else {})

    def _filter_by_length(self, prompts: list[Prompt]) -> list[Example]:
        """Check what training asks of the model; leave out, or refuse, the examples that are too long."""
        if not prompts:
            return self.train_examples
        from paft.training.data import filter_by_length
        from paft.training.finetune import check_targets, trainer_settings

        training, engine = self.config.training, self._model
        check_targets(engine.model, training.lora.target_modules)
        arguments = trainer_arguments(training)
        trainer_settings("cpu", Path("unused"), training.batch_size, self.config.seed, arguments)
        drop = training.on_overlength == "drop"
        return filter_by_length(
            engine,
            self.task,
            prompts,
            self.train_examples,
            max_length=self._longest,
            drop=drop,
            say=self.console.say,
        )

    def _fits(self, prompt: Prompt) -> bool:
        """Say whether no training example is too long under a prompt that a language model wrote."""
        from paft.training.data import filter_by_length

        try:
            filter_by_length(
                self.model(), self.task, [prompt], self.train_examples, max_length=self._longest, drop=False
            )
        except UserError:
            return False
        return True

    @property
    def _longest(self) -> int:
        return min(self.config.training.max_length, self.model().positions)

    def _introduce(self, prompts: PromptSets, resumed: bool) -> None:
        """Write the prompts that are used, and say what is about to happen."""
        directory, methods = self.directory, self.config.methods
        if resumed and directory.prompts("screened").is_file():
            for name, now in (("train", prompts.train), ("test", prompts.test)):
                if [p.id for p in _written(directory.prompts(name))] != [p.id for p in now]:
                    raise UserError(
                        f"{directory.prompts(name)}: the {name} prompts are others now; choose another --output"
                    )
        else:
            write_prompts(directory.prompts("train"), prompts.train)
            write_prompts(directory.prompts("test"), prompts.test)
            write_screened(directory.prompts("screened"), prompts.screened)
        for note in prompts.notes():
            self.console.say(f"{note} (all in {directory.prompts('screened')})")
        training = f"{len(self.train_examples)} training examples, {len(prompts.train)} training prompts, "
        self.console.say(
            f"{'going on with' if resumed else 'starting'} {directory.path}: {', '.join(methods)}; "
            f"{training if methods != ['base'] else ''}"
            f"{len(prompts.test)} test prompts x {len(self.test_examples)} test examples"
        )


def check_config(config: Config, processes: Processes, console: Console) -> None:
    """Refuse what no run can be, before anything is read."""
    if config.task.test is None or (config.task.train is None and config.methods != ["base"]):
        raise UserError(f"config key task.{'test' if config.task.test is None else 'train'} is missing")
    if isinstance(config.model, ServedModel) and config.methods != ["base"]:
        raise UserError(
            "config key methods: a model behind an endpoint cannot be fine-tuned; "
            "use paft evaluate, or methods=[base]"
        )
    if isinstance(config.model, ServedModel) and processes.size > 1:
        raise UserError("a model behind an endpoint is asked from one process, model.parallel requests at a time")
    if isinstance(config.model, ModelConfig):
        check_model(config.model.path, revision=config.model.revision)
    check_baselines(config.methods, config.baselines, console)


def _check_test_examples(train: list[Example], test: list[Example], console: Console) -> None:
    """Refuse test examples that are all trained on; say how many are."""
    asked = {(*example.fields.values(), *example.options) for example in train}
    known = sum((*example.fields.values(), *example.options) in asked for example in test)
    if known == len(test):
        raise UserError(
            "config key task.test: the test examples are training examples; name another file or split"
        )
    if known:
        console.say(f"{known} of {len(test)} test examples ask what a training example asks")


def _check_unseen(prompt: Prompt, prompts: PromptSets, task: Task, folder: Path) -> None:
    """Refuse a prompt that a language model wrote and that happens to be a test prompt."""
    if shared := overlap([prompt], prompts.test, task):
        raise UserError(
            f"{folder / 'choice.json'}: the chosen prompt is the test prompt {shared[0][1].id} up to case, "
            "spacing and punctuation; test prompts must be unseen, remove it from them and choose another --output"
        )


def _shown(task: Task, example: Example) -> dict[str, Any]:
    """Return a test example as a row of ``examples.jsonl``."""
    return {
        "id": example.id,
        "fields": dict(example.fields),
        "options": list(example.options),
        "target": task.target(example),
    }


def _generated(config: Config, folder: Path, console: Console) -> PromptsConfig:
    """Return where the prompts are that stage 1 has made, once none is missing."""
    from paft.prompts.stage1 import generate

    generated = generate(config, folder, console)
    if generated.missing:
        lacking = sum(count for count, _ in generated.missing.values())
        raise WorkError(
            f"{lacking} prompts are missing, see the lines above; the same command asks again, or ask for "
            "fewer (prompts.train.generate.zero_shot, few_shot) in another --output"
        )
    test = config.prompts.test or str(folder / "test.jsonl")
    return config.prompts.model_copy(update={"train": str(folder / "train.jsonl"), "test": test})


def _written(path: Path) -> list[Prompt]:
    return read_prompts(path) if path.stat().st_size else []


def trainer_arguments(training: TrainingConfig) -> dict[str, Any]:
    """Return what of the section goes to ``transformers.TrainingArguments`` under its usual name."""
    own = {"examples", "epochs", "K", "batch_size", "max_length", "on_overlength", "lora"}
    return {"num_train_epochs": training.epochs} | training.model_dump(exclude=own)


def _use_adapter(model: Any, adapter: Path | None) -> AbstractContextManager[None]:
    if adapter is None:
        return nullcontext()
    from paft.models.load import with_adapter

    return with_adapter(model, adapter)
