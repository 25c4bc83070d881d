"""Which runs a table or a figure is made of. Runs that several of them need are the same runs."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from paft.config.schema import BankSource, Config, GenerateSource, NamedVariant, variant_name
from paft.errors import UserError
from paft.experiments.presets import Preset
from paft.prompts.files import diverse_subset, read_prompts, write_prompts
from paft.prompts.prepare import fit_prompts, user_prompts
from paft.prompts.screen import overlap
from paft.tasks.load import load_task, rows
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.io import write_jsonl

K_AND_T = ((1, 3), (2, 3), (4, 3), (8, 3), (1, 6))
"""The pairs of table 3."""

VALIDATION = 1 / 9
"""Share of the training prompts, and of the training examples, that table 3 is chosen on."""

Work = Literal["run", "one-word", "prompts"]


@dataclass(frozen=True)
class PlannedRun:
    """A run directory that a table or figure needs, or a search or stage 1 in a folder of its own.

    Attributes:
        folder: below the output folder.
        config: its methods are the cells of the run.
        prompt_count: training prompts, where a figure is about their number.
        edits: one-word edits that are tried.
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
    def cells(self) -> list["Cell"]:
        """The pieces of work that can be done side by side."""
        if self.work != "run":
            return [Cell(self, None)]
        return [Cell(self, name) for name in self.methods]


@dataclass(frozen=True)
class Cell:
    """One piece of work: a method of a run, a search for one-word edits, or stage 1."""

    run: PlannedRun
    method: str | None

    @property
    def folder(self) -> str:
        """Where its results are, below the output folder."""
        return f"{self.run.folder}/methods/{self.method}" if self.method else self.run.folder


class Plan:
    """The runs of one task with one seed.

    Args:
        config: of the task; its prompts are drawn here, to the preset's size, and written to files in the output.
        methods: entries of the config's ``methods`` that are part of the table or figure.
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
        """Tables 1, 2 and 6 and figures 4 and 5: each method on the unseen prompts."""
        config = self._with_prompts(self._drawn("train", 0), self._drawn("test", 1))
        return [self._run("", config, self.methods)]

    def _k_and_t(self) -> list[PlannedRun]:
        """Table 3: a variant for each K and T, on training prompts and training examples kept from training."""
        prompts = self._drawn("train", 0, self._data[1])
        if len(prompts) < 3:
            raise UserError(
                f"config key prompts.train of {self.task}: table3 keeps some of the prompts from training; "
                f"it needs 3 or more, {len(prompts)} fit"
            )
        held_out = diverse_subset(prompts, max(2, round(len(prompts) * VALIDATION)), self.seed)
        rest = [prompt for prompt in prompts if prompt not in held_out]
        train, validation = self._validation_examples()
        task = self.config.task.model_copy(update={"train": str(train), "test": str(validation)})
        config = self._with_prompts(rest, held_out, name="validation").model_copy(update={"task": task})
        [method] = [variant_name(entry) for entry in self.methods]
        variants = [
            NamedVariant(name=f"K-{k}-T-{t}", method=method, training={"K": k, "epochs": t}) for k, t in K_AND_T
        ]
        return [self._run("-k-and-t", config, variants)]

    def _all_prompts(self) -> list[PlannedRun]:
        """Figure 3: the base model and the one trained on a fixed prompt, on every prompt there is."""
        prompts = self._drawn("train", 0) + self._drawn("test", 1)
        own = [prompt for _, prompt in overlap(user_prompts(self.config.prompts), prompts, self._data[0])]
        if own:
            self.say(f"{self.task}: prompt {own[0].id} is left out: it is the user's, which is trained on")
        config = self._with_prompts(None, [prompt for prompt in prompts if prompt not in own], name="all")
        return [self._run("-all-prompts", config, self.methods)]

    def _counts(self) -> list[PlannedRun]:
        """Figure 6: PAFT with ever more training prompts."""
        prompts, test = self._drawn("train", 0), self._drawn("test", 1)
        counts = sorted({min(count, len(prompts)) for count in self.preset.counts})
        runs = []
        for count in counts[:-1]:
            few = diverse_subset(prompts, count, self.seed)
            config = self._with_prompts(few, test, name=f"{count}-prompts")
            runs.append(replace(self._run(f"-prompts-{count}", config, self.methods), prompt_count=count))
        everything = self._run("", self._with_prompts(prompts, test), self.methods)
        return [*runs, replace(everything, prompt_count=counts[-1])]

    def _one_word(self) -> list[PlannedRun]:
        """Figure 1: a search beside the run of the method that trains on the user's prompt."""
        [run] = self._comparison()
        return [replace(run, work="one-word", edits=self.preset.edits)]

    def _stage_1(self) -> list[PlannedRun]:
        if not isinstance(self.config.prompts.train, GenerateSource):
            raise UserError(
                f"table7 shows what stage 1 costs for {self.task}: set prompts.train to "
                "{generate: {models: [...]}}"
            )
        return [PlannedRun(f"{self.folder}-stage-1", self.config, self.task, self.seed, work="prompts")]

    def _run(self, place: str, config: Config, methods: Sequence[str | NamedVariant]) -> PlannedRun:
        config = config.model_copy(update={"methods": list(methods)})
        return PlannedRun(f"{self.folder}{place}", config, self.task, self.seed)

    def _drawn(self, split: str, place: int, known: Sequence[Example] | None = None) -> list[Prompt]:
        """Return as many prompts as the preset asks for, or all that fit the task, and say so.

        Args:
            known: a prompt that holds the answer to one of them does not fit; all examples when left out.
        """
        source = getattr(self.config.prompts, split)
        if source is None or isinstance(source, GenerateSource):
            raise UserError(
                f"config key prompts.{split} of {self.task}: name a file or a bank; "
                "`paft prompts generate` makes files"
            )
        whole = source.model_copy(update={"size": None}) if isinstance(source, BankSource) else source
        sources, wanted = self.config.prompts.model_copy(update={split: whole}), self.preset.prompts[place]
        task, train, test = self._data
        prompts, _ = fit_prompts(sources, split, task, train + test if known is None else list(known), self.seed)
        if len(prompts) < wanted:
            self.say(f"{self.task}: asked for {wanted} {split} prompts, found {len(prompts)}")
        return diverse_subset(prompts, min(wanted, len(prompts)), self.seed)

    @cached_property
    def _data(self) -> tuple[Task, list[Example], list[Example]]:
        return load_task(self.config.task)

    def _with_prompts(self, train: list[Prompt] | None, test: list[Prompt], name: str = "drawn") -> Config:
        """Write prompts to files and return the config that names them.

        Raises:
            UserError: the files hold others, which runs of another preset or config may still have to read.
        """
        folder = self.output / self._data_folder / name
        update = {"train": None, "test": str(folder / "test.jsonl")}
        for split, prompts in (("train", train), ("test", test)):
            if prompts is None:
                continue
            file = folder / f"{split}.jsonl"
            if file.is_file() and [p.id for p in read_prompts(file)] != [p.id for p in prompts]:
                raise UserError(f"{file}: the prompts of another size or config; choose another --output")
            update[split] = str(file)
            write_prompts(file, prompts)
        prompts_config = self.config.prompts.model_copy(update=update)
        return self.config.model_copy(update={"prompts": prompts_config})

    def _validation_examples(self) -> tuple[Path, Path]:
        """Write training rows and validation rows, drawn from the training split; related ones stay together."""
        source = self.config.task.train
        if source is None:
            raise UserError(f"config key task.train of {self.task} is missing")
        every = [json.loads(json.dumps(row, default=str)) for _, row in rows(source)]  # Parquet has dates
        if len(every) < 2:
            raise UserError(f"config key task.train of {self.task}: table3 keeps some of the rows from training")
        held_out = held_out_examples(self._data[1], max(1, round(len(every) * VALIDATION)), self.seed)
        if len(held_out) == len(every):
            raise UserError(
                f"config key task.train of {self.task}: table3 keeps some of the rows from training, and all of "
                "them share a text with one another"
            )
        folder = self.output / self._data_folder / "examples"
        write_jsonl(folder / "train.jsonl", (row for i, row in enumerate(every) if i not in held_out))
        write_jsonl(folder / "validation.jsonl", (every[i] for i in sorted(held_out)))
        return folder / "train.jsonl", folder / "validation.jsonl"


def held_out_examples(examples: Sequence[Example], count: int, seed: int) -> set[int]:
    """Return the places of about ``count`` examples of which none is related to the remaining ones.

    Examples are related that share their longest field, as the questions on one article do, or their own options,
    as the two sentences of a WinoGrande pair do; labels that are the same for all examples relate nothing.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    fixed = len({example.options for example in examples}) == 1
    places: dict[tuple[str, ...], int] = {}
    edges = [
        (place, places.setdefault(mark, len(examples) + len(places)))
        for place, example in enumerate(examples)
        for mark in ((max(example.fields.values(), key=len),), () if fixed else tuple(sorted(example.options)))
        if mark
    ]
    size = len(examples) + len(places)
    graph = coo_array((np.ones(len(edges)), tuple(zip(*edges, strict=True))), shape=(size, size))
    groups: dict[int, list[int]] = {}
    for place, group in enumerate(connected_components(graph, directed=False)[1][: len(examples)]):
        groups.setdefault(int(group), []).append(place)
    held_out: set[int] = set()
    for group in random.Random(f"held out:{seed}").sample(list(groups), len(groups)):
        if len(held_out) < count:
            held_out.update(groups[group])
    return held_out
