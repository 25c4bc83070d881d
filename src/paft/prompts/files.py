"""Read prompts from files and from the bank, and write them."""

import random
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from paft.config.schema import BankSource, GenerateSource
from paft.errors import UserError, nearest
from paft.prompts.importing import READERS
from paft.prompts.screen import Screened
from paft.prompts.similarity import word_triples
from paft.types import Prompt
from paft.utils.io import read_jsonl, write_jsonl

KEYS = ("text", "system", "source", "strategy", "model", "id")


def load_prompts(source: str | BankSource | GenerateSource, split: str, seed: int) -> list[Prompt]:
    """Return the prompts of a file, or of one split (``train`` or ``test``) of a bank."""
    if isinstance(source, GenerateSource):
        raise UserError(f"config key prompts.{split}: no prompts have been generated yet (paft prompts generate)")
    if isinstance(source, BankSource):
        prompts = read_prompts(_bank_file(source.bank, split))
        return diverse_subset(prompts, source.size, seed) if source.size else prompts
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such prompt file (config key prompts.{split})")
    if path.suffix.lower() in READERS.keys() - {".jsonl"}:
        raise UserError(
            f"{path}: prompts are JSON lines (config key prompts.{split}); make them with "
            f"`paft prompts import CONFIG {path.name} -o {path.stem}.jsonl`"
        )
    return read_prompts(path)


def read_prompts(path: Path) -> list[Prompt]:
    """Read a prompt file.

    Raises:
        UserError: naming file and line, for a torn line, a missing text, a misspelt key or an id used twice.
    """
    prompts: list[Prompt] = []
    by_id: dict[str, Prompt] = {}
    for number, row in read_jsonl(path):
        prompt = _prompt(row, f"{path}:{number}")
        first = by_id.setdefault(prompt.id, prompt)
        if (first.text, first.system) != (prompt.text, prompt.system):
            raise UserError(f"{path}:{number}: the id {prompt.id!r} belongs to another prompt too; leave ids out")
        prompts.append(prompt)
    return prompts


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write prompts in the format that :func:`read_prompts` reads."""
    write_jsonl(path, (prompt_row(prompt) for prompt in prompts))


def write_screened(path: Path, screened: Iterable[tuple[str, Screened]]) -> None:
    """Write the prompts that were left out, each with its split, rule and reason."""
    write_jsonl(
        path,
        ({"split": split, "rule": s.rule, "reason": s.reason} | prompt_row(s.prompt) for split, s in screened),
    )


def diverse_subset(prompts: list[Prompt], size: int, seed: int) -> list[Prompt]:
    """Return ``size`` prompts that differ widely: each is the one least like those chosen before it.

    Likeness is the Jaccard overlap of word triples; the first prompt and every tie are drawn with the seed.
    """
    if size > len(prompts):
        raise UserError(f"config section prompts: the bank holds {len(prompts)} prompts, its size asks for {size}")
    order = random.Random(f"spread:{seed}").sample(prompts, len(prompts))
    triples = [word_triples(prompt) for prompt in order]
    chosen, likeness = [0], [0.0] * len(order)
    while len(chosen) < size:
        last = triples[chosen[-1]]
        likeness = [max(v, len(last & t) / len(last | t)) for v, t in zip(likeness, triples, strict=True)]
        chosen.append(min((i for i in range(len(order)) if i not in chosen), key=likeness.__getitem__))
    return [order[i] for i in chosen]


def _bank_file(name: str, split: str) -> Path:
    folder = Path(str(resources.files("paft.prompts"))) / "bank"
    if not (folder / name).is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise UserError(f"config key prompts.{split}.bank: no bank {name!r}{nearest(name, names)}")
    return folder / name / f"{split}.jsonl"


def _prompt(row: dict[str, Any], place: str) -> Prompt:
    for key in row.keys() - set(KEYS):
        from rapidfuzz import process

        if close := process.extractOne(key, KEYS, score_cutoff=75):
            raise UserError(f"{place}: unknown key {key!r}; did you mean {close[0]!r}?")
    if not isinstance(row.get("text"), str):
        raise UserError(
            f"{place}: a prompt needs a 'text', found {row.get('text')!r}; `paft prompts import` reads other forms"
        )
    for key in KEYS[1:]:
        if row.get(key) is not None and not isinstance(row[key], str):
            raise UserError(f"{place}: {key!r} must be text, found {row[key]!r}")
    values = {key: row[key] for key in KEYS if row.get(key)}
    return Prompt(**({"text": ""} | values))


def prompt_row(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as a line of a prompt file."""
    return {"id": prompt.id} | {k: v for k, v in asdict(prompt).items() if v is not None and k != "id"}
