"""Which runs a table or a figure is made of. Runs that several of them need are the same runs."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from paft.config.schema import BankSource, BaselinesConfig, Config, GenerateSource, Method
from paft.errors import UserError
from paft.experiments.sizes import Preset
from paft.prompts.files import diverse_subset, read_prompts, write_prompts
from paft.prompts.prepare import fit_prompts, user_prompts
from paft.prompts.screen import overlap
from paft.tasks.load import load_task, rows
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.io import write_jsonl

METHODS: tuple[Method, ...] = get_args(Method)
"""The paper's, in the order of table 1."""

K_AND_T = ((1, 3), (2, 3), (4, 3), (8, 3), (1, 6))
"""The pairs of table 3."""

METHODS_OF: dict[str, Sequence[Method]] = {
    "table3": ["paft"],
    "table6": [method for method in METHODS if method != "base"],
    "figure1": ["user"],
    "figure3": ["base", "user"],
    "figure6": ["paft"],
}
"""The methods that are part of a table or figure; of any other all are."""

VALIDATION = 1 / 9
"""Share of the training prompts, and of the training examples, that table 3 is chosen on."""


@dataclass(frozen=True)
class Cell:
    """One piece of work: a run, a search for one-word edits, or stage 1; each in a folder of its own.

    Attributes:
        folder: below the output folder.
        label: what the cell is called beside others of its task and seed.
        edits: one-word edits that are tried.
    """

    folder: str
    config: Config
    task: str
    seed: int
    label: str
    work: Literal["run", "one-word", "prompts"] = "run"
    edits: int = 0


class Plan:
    """The cells of one task with one seed.

    Args:
        config: of the task; its prompts are drawn here, to the size, and written to files below the output.
    """

    def __init__(
        self, config: Config, size: Preset, methods: Sequence[str], output: Path, say: Callable[[str], None]
    ):
        self.config, self.size, self.methods, self.output, self.say = config, size, methods, output, say
        self.task, self.seed = config.task.name, config.seed
        self.folder = f"{self.task}/seed-{self.seed}"

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of a table or a figure."""
        makers: dict[str, Callable[[], list[Cell]]] = {
            "table3": self._k_and_t,
            "table7": self._stage_1,
            "figure1": self._one_word,
            "figure3": self._all_prompts,
            "figure6": self._counts,
        }
        return makers.get(name, self._comparison)()

    def _comparison(self) -> list[Cell]:
        """Tables 1, 2 and 6 and figures 4 and 5: each method on the unseen prompts."""
        config = self._with_prompts(self._drawn("train", 0), self._drawn("test", 1))
        return [self._cell(method, _only(config, method), label=method) for method in self.methods]

    def _k_and_t(self) -> list[Cell]:
        """Table 3: PAFT with each K and T, on training prompts and training examples kept from training."""
        prompts = self._drawn("train", 0, self._data[1])
        if len(prompts) < 3:
            raise UserError(
                f"config key prompts.train of {self.task}: table3 keeps some of the prompts from training; "
                f"it needs 3 or more, {len(prompts)} fit"
            )
        held = diverse_subset(prompts, max(2, round(len(prompts) * VALIDATION)), self.seed)
        rest = [prompt for prompt in prompts if prompt not in held]
        config = _only(self._with_prompts(rest, held, name="validation"), "paft")
        train, validation = self._validation_examples()
        task = config.task.model_copy(update={"train": str(train), "test": str(validation)})
        cells = []
        for k, t in K_AND_T:
            training = config.training.model_copy(update={"K": k, "epochs": t})
            tried = config.model_copy(update={"training": training, "task": task})
            cells.append(self._cell(f"K-{k}-T-{t}", tried, label=f"K={k}, T={t}"))
        return cells

    def _all_prompts(self) -> list[Cell]:
        """Figure 3: the base model and the one trained on a fixed prompt, on every prompt there is."""
        prompts = self._drawn("train", 0) + self._drawn("test", 1)
        own = [prompt for _, prompt in overlap(user_prompts(self.config.prompts), prompts, self._data[0])]
        if own:
            self.say(f"{self.task}: prompt {own[0].id} is the user's own and left out, as one that was trained on")
        config = self._with_prompts(None, [prompt for prompt in prompts if prompt not in own], name="all")
        return [self._cell(f"all-prompts/{m}", _only(config, m), label=m) for m in self.methods]

    def _counts(self) -> list[Cell]:
        """Figure 6: PAFT with ever more training prompts."""
        prompts, test = self._drawn("train", 0), self._drawn("test", 1)
        counts = sorted({min(count, len(prompts)) for count in self.size.counts})
        cells = []
        for count in counts[:-1]:
            few = diverse_subset(prompts, count, self.seed)
            config = _only(self._with_prompts(few, test, name=f"{count}-prompts"), "paft")
            cells.append(self._cell(f"prompts-{count}", config, label=str(count)))
        everything = _only(self._with_prompts(prompts, test), "paft")
        return [*cells, self._cell("paft", everything, label=str(counts[-1]))]

    def _one_word(self) -> list[Cell]:
        """Figure 1: a search beside the run of the method user."""
        [cell] = self._comparison()
        return [replace(cell, work="one-word", edits=self.size.edits)]

    def _stage_1(self) -> list[Cell]:
        if not isinstance(self.config.prompts.train, GenerateSource):
            raise UserError(
                f"table7 shows what stage 1 costs for {self.task}: set prompts.train to "
                "{generate: {models: [...]}}"
            )
        return [Cell(f"{self.folder}/stage-1", self.config, self.task, self.seed, "stage 1", work="prompts")]

    def _cell(self, place: str, config: Config, *, label: str) -> Cell:
        return Cell(f"{self.folder}/{place}", config, self.task, self.seed, label)

    def _drawn(self, split: str, place: int, known: Sequence[Example] | None = None) -> list[Prompt]:
        """Return as many prompts as the size asks for, or all that fit the task, and say so.

        Args:
            known: a prompt that holds the answer of one of them does not fit; all examples unless given.
        """
        source = getattr(self.config.prompts, split)
        if source is None or isinstance(source, GenerateSource):
            raise UserError(
                f"config key prompts.{split} of {self.task}: name a file or a bank; "
                "`paft prompts generate` makes files"
            )
        whole = source.model_copy(update={"size": None}) if isinstance(source, BankSource) else source
        sources, wanted = self.config.prompts.model_copy(update={split: whole}), self.size.prompts[place]
        task, train, test = self._data
        prompts, _ = fit_prompts(sources, split, task, train + test if known is None else list(known), self.seed)
        if len(prompts) < wanted:
            self.say(f"{self.task}: {wanted} {split} prompts asked, {len(prompts)} there are")
        return diverse_subset(prompts, min(wanted, len(prompts)), self.seed)

    @cached_property
    def _data(self) -> tuple[Task, list[Example], list[Example]]:
        return load_task(self.config.task)

    def _with_prompts(self, train: list[Prompt] | None, test: list[Prompt], name: str = "drawn") -> Config:
        """Write prompts to files and return the config that names them.

        Raises:
            UserError: the files hold others, which runs of another size or config may still have to read.
        """
        folder = self.output / self.folder / "prompts" / name
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
        held = held_out(self._data[1], max(1, round(len(every) * VALIDATION)), self.seed)
        if len(held) == len(every):
            raise UserError(
                f"config key task.train of {self.task}: table3 keeps some of the rows from training, and all of "
                "them share a text with one another"
            )
        folder = self.output / self.folder / "examples"
        write_jsonl(folder / "train.jsonl", (row for i, row in enumerate(every) if i not in held))
        write_jsonl(folder / "validation.jsonl", (every[i] for i in sorted(held)))
        return folder / "train.jsonl", folder / "validation.jsonl"


def held_out(examples: Sequence[Example], count: int, seed: int) -> set[int]:
    """Return the places of about ``count`` examples of which none is related to one of the others.

    Examples are related that share their longest field, as the questions on one article do, or their own options,
    as the two sentences of a WinoGrande pair do; labels that are the same for all relate nothing.
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
    held: set[int] = set()
    for group in random.Random(f"held out:{seed}").sample(list(groups), len(groups)):
        if len(held) < count:
            held.update(groups[group])
    return held


def _only(config: Config, method: str) -> Config:
    """Return the config of one method, without the settings of the others: a change there leaves its run be."""
    own = method.replace("-", "_")
    baselines = {name: value for name, value in config.baselines if name == own}
    return config.model_copy(update={"methods": [method], "baselines": BaselinesConfig(**baselines)})
