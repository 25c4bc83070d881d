"""Plan the runs of a table or figure. Tables and figures share the runs that they have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from paft.config.schema import BankSource, Config, GenerateSource, NamedVariant, variant_name
from paft.errors import UserError
from paft.experiments.presets import Preset
from paft.prompts.files import diverse_subset, read_prompts, write_prompts
from paft.prompts.prepare import fit_prompts, user_prompts
from paft.prompts.screen import overlap
from paft.prompts.shots import load_with_demonstrations
from paft.runs.validation import split_prompts, split_rows
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.io import write_jsonl

K_AND_T = ((1, 3), (2, 3), (4, 3), (8, 3), (1, 6))
"""The pairs of K and T in table 3."""

Work = Literal["run", "one-word", "prompts"]


@dataclass(frozen=True)
class PlannedRun:
    """A run that a table or figure needs, or a one-word search or stage 1, in its own folder.

    Attributes:
        folder: relative to the output folder.
        config: the config of the run; each of its methods is a cell.
        prompt_count: the number of training prompts, for figure 6.
        edits: the maximum number of one-word edits to evaluate, for figure 1.
    """

    folder: str
    config: Config
    task: str
    seed: int
    work: Work = "run"
    prompt_count: int = 0
    edits: int = 0

    @property
    def methods(self) -> list[str]:
        """The names of the methods, or variants, of the run."""
        return [variant_name(entry) for entry in self.config.methods]

    @property
    def cells(self) -> list["PlannedCell"]:
        """The units of work that can run in parallel."""
        if self.work != "run":
            return [PlannedCell(self, None)]
        return [PlannedCell(self, name) for name in self.methods]


@dataclass(frozen=True)
class PlannedCell:
    """One unit of work: a method of a run, a one-word search, or stage 1."""

    run: PlannedRun
    method: str | None

    @property
    def folder(self) -> str:
        """The folder of its results, relative to the output folder."""
        return f"{self.run.folder}/methods/{self.method}" if self.method else self.run.folder


class Plan:
    """The runs of one task with one seed.

    Args:
        config: the config of the task. As many of its prompts as the preset asks for are written to the output.
        methods: the entries of the config's ``methods`` that are part of the table or figure.
        output: the folder of all runs.
        say: prints a line to the console.
    """

    def __init__(
        self,
        config: Config,
        preset: Preset,
        methods: Sequence[str | NamedVariant],
        output: Path,
        say: Callable[[str], None],
    ):
        self.config, self.preset, self.methods, self.output, self.say = config, preset, methods, output, say
        self.task, self.seed = config.task.name, config.seed
        self.folder = f"{self.task}/seed-{self.seed}"
        self._data_folder = f"{self.task}/data-{self.seed}"

    def runs(self, name: str) -> list[PlannedRun]:
        """Return the runs of a table or a figure."""
        makers: dict[str, Callable[[], list[PlannedRun]]] = {
            "table3": self._k_and_t,
            "table7": self._stage_1,
            "figure1": self._one_word,
            "figure3": self._all_prompts,
            "figure6": self._counts,
        }
        return makers.get(name, self._comparison)()

    def _comparison(self) -> list[PlannedRun]:
        """Tables 1, 2 and 6 and figures 4 and 5: every method on the unseen prompts."""
        config = self._with_prompts(self._select_prompts("train"), self._select_prompts("test"))
        return [self._run("", config, self.methods)]

    def _k_and_t(self) -> list[PlannedRun]:
        """Table 3: one variant per K and T, validated on held-out training prompts and training examples."""
        prompts = self._select_prompts("train", self._data[1])
        rest, held_out = split_prompts(prompts, self.seed)
        folder = self.output / self._data_folder / "examples"
        rows = split_rows(self.config.task, self._data[1], self.seed)
        files = {split: folder / f"{split}-examples.jsonl" for split in rows}
        for split, file in files.items():
            write_jsonl(file, rows[split])
        task = self.config.task.model_copy(update={split: str(file) for split, file in files.items()})
        config = self._with_prompts(rest, held_out, name="validation").model_copy(update={"task": task})
        [method] = [variant_name(entry) for entry in self.methods]
        variants = [
            NamedVariant(name=f"K-{k}-T-{t}", method=method, training={"K": k, "epochs": t}) for k, t in K_AND_T
        ]
        return [self._run("-k-and-t", config, variants)]

    def _all_prompts(self) -> list[PlannedRun]:
        """Figure 3: the base model and the model trained on a fixed prompt, on all prompts."""
        prompts = self._select_prompts("train") + self._select_prompts("test")
        repeats = [prompt for _, prompt in overlap(user_prompts(self.config.prompts), prompts, self._data[0])]
        if repeats:
            self.say(
                f"{self.task}: prompt {repeats[0].id} is left out: it repeats the user prompt used in training"
            )
        config = self._with_prompts(None, [prompt for prompt in prompts if prompt not in repeats], name="all")
        return [self._run("-all-prompts", config, self.methods)]

    def _counts(self) -> list[PlannedRun]:
        """Figure 6: PAFT with increasing numbers of training prompts."""
        prompts, test = self._select_prompts("train"), self._select_prompts("test")
        counts = sorted({min(count, len(prompts)) for count in self.preset.counts})
        runs = []
        for count in counts[:-1]:
            subset = diverse_subset(prompts, count, self.seed)
            config = self._with_prompts(subset, test, name=f"{count}-prompts")
            runs.append(replace(self._run(f"-prompts-{count}", config, self.methods), prompt_count=count))
        all_prompts = self._run("", self._with_prompts(prompts, test), self.methods)
        return [*runs, replace(all_prompts, prompt_count=counts[-1])]

    def _one_word(self) -> list[PlannedRun]:
        """Figure 1: a one-word search with the model that is trained on the user prompt."""
        [run] = self._comparison()
        return [replace(run, work="one-word", edits=self.preset.edits)]

    def _stage_1(self) -> list[PlannedRun]:
        if not isinstance(self.config.prompts.train, GenerateSource):
            raise UserError(
                f"config key prompts.train of {self.task}: table7 shows the cost of stage 1; "
                "set the key to {generate: {models: [...]}}"
            )
        return [PlannedRun(f"{self.folder}-stage-1", self.config, self.task, self.seed, work="prompts")]

    def _run(self, suffix: str, config: Config, methods: Sequence[str | NamedVariant]) -> PlannedRun:
        config = config.model_copy(update={"methods": list(methods)})
        return PlannedRun(f"{self.folder}{suffix}", config, self.task, self.seed)

    def _select_prompts(
        self, split: Literal["train", "test"], examples: Sequence[Example] | None = None
    ) -> list[Prompt]:
        """Return as many prompts as the preset asks for; if fewer fit the task, print a note and return those.

        Args:
            examples: a prompt that holds the answer to one of these does not fit; by default all examples.
        """
        source = getattr(self.config.prompts, split)
        if source is None or isinstance(source, GenerateSource):
            raise UserError(
                f"config key prompts.{split} of {self.task}: name a file or a bank; "
                "`paft prompts generate` makes files"
            )
        unlimited = source.model_copy(update={"size": None}) if isinstance(source, BankSource) else source
        sources = self.config.prompts.model_copy(update={split: unlimited})
        wanted = self.preset.train_prompts if split == "train" else self.preset.test_prompts
        task, train, test = self._data
        prompts, _ = fit_prompts(
            sources, split, task, train + test if examples is None else list(examples), self.seed
        )
        if len(prompts) < wanted:
            self.say(f"{self.task}: asked for {wanted} {split} prompts, found {len(prompts)}")
        return diverse_subset(prompts, min(wanted, len(prompts)), self.seed)

    @cached_property
    def _data(self) -> tuple[Task, list[Example], list[Example]]:
        return load_with_demonstrations(self.config.task, self.config.prompts.shots, self.config.seed)

    def _with_prompts(self, train: list[Prompt] | None, test: list[Prompt], name: str = "drawn") -> Config:
        """Write prompts to files and return the config that names them.

        Raises:
            UserError: the files hold other prompts, which runs of another preset or config may still need.
        """
        folder = self.output / self._data_folder / name
        update = {"train": None, "test": str(folder / "test.jsonl")}
        for split, prompts in (("train", train), ("test", test)):
            if prompts is None:
                continue
            file = folder / f"{split}.jsonl"
            if file.is_file() and [p.id for p in read_prompts(file)] != [p.id for p in prompts]:
                raise UserError(f"{file}: holds the prompts of another --size or config; choose another --output")
            update[split] = str(file)
            write_prompts(file, prompts)
        prompts_config = self.config.prompts.model_copy(update=update)
        return self.config.model_copy(update={"prompts": prompts_config})
