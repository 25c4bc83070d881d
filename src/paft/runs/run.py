"""``paft run`` and ``paft evaluate``: the paper's two stages and the comparison, on one page."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from paft.config.schema import Config, GenerateSource, PromptsConfig
from paft.errors import TooLongError, UserError, WorkError
from paft.methods.registry import Variant, resolve
from paft.models.model import Model
from paft.models.open import check_model, device_setting, open_model
from paft.prompts.files import write_prompts, write_screened
from paft.prompts.prepare import PromptSets, check_user_prompt, prepare_prompts
from paft.prompts.template import render
from paft.runs import resume
from paft.runs.cell import Cell
from paft.runs.data import RunData, TaskData
from paft.runs.directory import RunDirectory
from paft.runs.fingerprint import FILE, fingerprints
from paft.tasks.rows import place
from paft.utils.console import Console, counted
from paft.utils.distributed import Processes
from paft.utils.io import write_jsonl
from paft.utils.plugins import search_modules_in

LONGEST = 8
"""Test examples with which every prompt's length is checked; another prompt may use a field twice."""


def run(config: Config, output: Path, console: Console, only: str | None = None) -> None:
    """Fine-tune with each method and measure each on the unseen prompts.

    The same call on the same directory resumes it; a call with more methods adds them. Where a launcher has
    started several processes, each makes this call.

    Args:
        only: the one method to work on; the others are left to other calls, which may run side by side.

    Raises:
        UserError: the config cannot be run, or a result in the directory would become another.
        WorkError: something outside failed; what is finished is kept.
    """
    processes = Processes.joined(device_setting(config.model))
    work = Run(config, output, console if processes.is_main else Console(quiet=True), processes)
    with ExitStack() as run_lock:
        run_lock.enter_context(processes.in_main(work.directory.locked(wait=only is not None)))
        cells = work.prepare(only)
        if only is not None:
            run_lock.close()  # each method's folder has a lock of its own
        for cell in cells:
            with processes.in_main(work.directory.locked_method(cell.variant.name)):
                cell.work()


def evaluate(config: Config, output: Path, console: Console) -> None:
    """Measure the model of the config, with its adapter if it names one, on the test prompts.

    Raises:
        UserError, WorkError: as :func:`run`.
    """
    run(without_training(config), output, console)


def without_training(config: Config) -> Config:
    """Return the config of a run that measures its model, with its adapter if it names one, and trains nothing.

    Raises:
        UserError: the test prompts are not named.
    """
    if isinstance(config.prompts.train, GenerateSource) and not config.prompts.test:
        raise UserError(
            "config key prompts.test is missing: name the test prompts that were split off from the generated ones"
        )
    task = config.task if config.prompts.shots else config.task.model_copy(update={"train": None})
    return config.model_copy(update={"methods": ["base"], "task": task, "baselines": {}})


class Run:
    """A run directory with its config: prepared once, then worked on method by method."""

    def __init__(self, config: Config, output: Path, console: Console, processes: Processes):
        self.config, self.console, self.processes = config, console, processes
        self.directory = RunDirectory(output)
        if config.run:  # one of several configs, or of another process
            search_modules_in(config.run.get("modules", []))
        self.variants = check_config(config, processes, console)
        self.task_data = TaskData.load(config, self.variants, console)
        self._model: Model | None = None

    @property
    def trains(self) -> bool:
        """Whether a method of the run trains."""
        return any(variant.method.trains for variant in self.variants)

    def prepare(self, only: str | None = None) -> list[Cell]:
        """Return the cells, or that of one method, once what can be refused is, and the config is recorded."""
        data = self.task_data.with_prompts(self.processes.once(self._prompts))
        cells = [self._cell(variant, data) for variant in self.variants if only in (None, variant.name)]
        self.processes.once(partial(self._record, cells, data, only))
        return cells

    def model(self) -> Model:
        """Return the model, opened when it is first needed."""
        if self._model is None:
            self._model = open_model(
                self.config.model,
                self.console,
                batch_tokens=self.config.evaluation.batch_tokens,
                trains=self.trains,
                answers=self.directory.path / "answers.jsonl",
            )
        return self._model

    def _drop_model(self) -> None:
        self._model = None

    def _cell(self, variant: Variant, data: RunData) -> Cell:
        return Cell(
            variant,
            self.directory.method(variant.name),
            data,
            self.config.evaluation,
            self.model,
            self._drop_model,
            self.processes,
            self.console,
        )

    def _prompts(self) -> PromptSets:
        """Return the prompt sets; language models may have to write them first (stage 1)."""
        sources, starts, data = self.config.prompts, starts_of(self.variants), self.task_data
        if isinstance(sources.train, GenerateSource):
            if "prompts.train" in starts:
                self._check_before_it_costs()
                resume.start_or_resume(self.directory, self.config)
                sources = _generated(self.config, self.directory.path / "prompts" / "generated", self.console)
            elif sources.test:
                sources = sources.model_copy(update={"train": None})  # no model is trained on them
        return prepare_prompts(sources, data.task, data.all_examples, starts, self.config.seed)

    def _check_before_it_costs(self) -> None:
        """Refuse what can be refused before language models are asked, and perhaps paid."""
        user = check_user_prompt(self.config.prompts, self.task_data.task, starts_of(self.variants))
        resume.check_prompts_source(self.directory, self.config, self.variants)
        if not self.directory.config_file.is_file():
            data = self.task_data.with_prompts(PromptSets([], [], user, []))  # the others are not written yet
            for variant in self.variants:
                if variant.method.trains:
                    self._cell(variant, data).check()

    def _record(self, cells: list[Cell], data: RunData, only: str | None) -> None:
        """Check what is new with the model, record the config, and report what is about to happen."""
        from paft.evaluation.calibration import check_calibration
        from paft.evaluation.plan import check_figures, planned_cells

        directory, prompts, examples = self.directory, data.prompts, data.test_examples
        size = len(prompts.test), len(examples)
        planned = planned_cells(self.config.evaluation.cells, *size)
        check_figures(self.config.evaluation.until or {}, *size)
        check_calibration(self.config.evaluation.calibrate, len(prompts.test))
        resumed = directory.config_file.is_file() and directory.examples.is_file()
        now = fingerprints(self.config, self.variants, data, self.processes.size)
        new = [cell for cell in cells if not (cell.folder / FILE).is_file()]
        if new:
            self._check_with_model(new, data)
        resume.start_or_resume(directory, self.config)
        facts = data.facts() | ({"processes": self.processes.size} if self.trains else {})
        resume.record_config(directory, self.config, self.variants, now, facts, only)
        write_prompts(directory.prompts("train"), prompts.train)
        write_prompts(directory.prompts("test"), prompts.test)
        write_screened(directory.prompts("screened"), prompts.screened)
        write_jsonl(directory.examples, data.example_rows())
        for note in prompts.notes():
            self.console.say(f"{note} (all in {directory.prompts('screened')})")
        names = ", ".join(variant.name for variant in self.variants)
        training = f"{counted(len(prompts.train), 'training prompts')}, " if self.trains else ""
        self.console.say(
            f"{'resuming' if resumed else 'starting'} {directory.path}: {names}; {training}"
            f"{counted(size[0], 'test prompts')} x {counted(size[1], 'test examples')}"
            + (f", {planned:,} of {size[0] * size[1]:,} cells" if planned < size[0] * size[1] else "")
        )

    def _check_with_model(self, cells: list[Cell], data: RunData) -> None:
        """Refuse questions that are too long and trainings that are impossible; nothing is written yet."""
        model, task = self.model(), data.task
        for cell in cells:
            if cell.variant.method.trains:
                cell.check()
        first, *others = data.prompts.test
        examples = data.test_examples
        longest = sorted(examples, key=lambda example: len(render(first, task, example).user))[-LONGEST:]
        asked = [(first, example) for example in examples]
        asked += [(prompt, example) for prompt in others for example in longest]
        conversations = [render(prompt, task, example) for prompt, example in asked]
        options = list(dict.fromkeys(task.candidates(example) for example in examples))
        try:
            model.check(conversations, options, self.config.evaluation.answer_settings)
        except TooLongError as error:
            prompt, example = asked[error.index]
            where = place(self.config.task.test, int(example.id))
            raise UserError(f"{where} under prompt {prompt.id}: {error}") from None


def check_config(config: Config, processes: Processes, console: Console) -> list[Variant]:
    """Return the methods of a config, after refusing what no run can be, before any data are read.

    Raises:
        UserError: a key is missing, a method is unknown or lacks something, the model cannot be used.
    """
    variants = resolve(config.methods, config.training, config.baselines)
    trains = any(variant.method.trains for variant in variants)
    if config.task.test is None or (config.task.train is None and trains):
        raise UserError(f"config key task.{'test' if config.task.test is None else 'train'} is missing")
    check_model(config.model, trains=trains, processes=processes.size, is_sharded=processes.is_sharded)
    for variant in variants:
        variant.check(console)
    return variants


def starts_of(variants: list[Variant]) -> dict[str, list[str]]:
    """Return the names of the methods by what they start from; methods that train nothing are left out."""
    starts: dict[str, list[str]] = {}
    for variant in variants:
        if variant.method.trains and variant.method.prompts_key is not None:
            starts.setdefault(variant.method.prompts_key, []).append(variant.name)
    return starts


def _generated(config: Config, folder: Path, console: Console) -> PromptsConfig:
    """Return where the prompts of stage 1 are, once none is missing."""
    from paft.prompts.stage1 import generate

    generated = generate(config, folder, console)
    if generated.missing:
        lacking = sum(count for count, _ in generated.missing.values())
        raise WorkError(
            f"{lacking} prompts are missing, see the lines above; run the same command again to ask for them, or "
            "ask for fewer (prompts.train.generate.zero_shot, few_shot) in another --output"
        )
    test = config.prompts.test or str(folder / "test.jsonl")
    return config.prompts.model_copy(update={"train": str(folder / "train.jsonl"), "test": test})
