"""What the examples of a task are like: how targets were read, which are equal, their counts, the majority."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from paft.config.task import Source, TaskConfig
from paft.scoring import NormalisingScorer, Scorer
from paft.scoring.fold import as_typed
from paft.scoring.text_scorer import TextScorer
from paft.tasks.rows import place
from paft.tasks.task import Task
from paft.types import Example
from paft.utils.console import counted

MOST_SHOWN = 10
"""Answers whose counts are listed."""
_SIGNS = re.compile(r"(?<!\w)-(?=\w)|(?<=\d)[-:](?=\d)|[+#<>=%$&@^*/\\|~]")
"""What may tell answers apart: signs other than ordinary punctuation and the hyphen within a word."""


def describe_examples(
    config: TaskConfig, task: Task, train: Sequence[Example], test: Sequence[Example]
) -> list[tuple[str, str]]:
    """Return ``(what, detail)`` lines on the examples of both splits; none without examples."""
    splits = [
        (name, examples, source)
        for name, examples, source in (("train", train, config.train), ("test", test, config.test))
        if examples
    ]
    if not splits:
        return []
    lines = [("target", task.target_reading)]
    lines += [(f"answers, {name}", _answers(task, examples)) for name, examples, _ in splits]
    name, examples, _ = splits[-1]
    return [*lines, ("longest example", _longest(splits)), ("majority", _majority(task, examples, name))]


def repeated(train: Sequence[Example], test: Sequence[Example]) -> list[Example]:
    """Return the test examples that ask what a training example asks, up to case and spacing."""
    questions = set(map(_question, train))
    return [example for example in test if _question(example) in questions]


def _question(example: Example) -> tuple[str, ...]:
    return tuple(" ".join(text.casefold().split()) for text in (*example.fields.values(), *example.options))


def equal_answers(
    task: Task, scorers: Sequence[Scorer], splits: Sequence[tuple[Sequence[Example], Source | None]]
) -> Iterator[str]:
    """Yield for each scorer which accepted answers differ in a sign and still count as the same one.

    Args:
        splits: the examples of each source and the source; their ids are row numbers.
    """
    for scorer in scorers:
        if not isinstance(scorer, NormalisingScorer):
            continue
        firsts: dict[str, tuple[str, str, Sequence[str]]] = {}
        pairs: dict[tuple[str, str], tuple[str, str]] = {}
        for examples, source in splits:
            for example in examples:
                targets = task.targets(example)
                for target in targets:
                    where = place(source, int(example.id))
                    first, first_place, accepted = firsts.setdefault(
                        scorer.comparison_key(target), (target, where, targets)
                    )
                    if target not in accepted and first not in targets and _signs(first) != _signs(target):
                        pairs.setdefault((first, target), (first_place, where))
        if pairs:
            (left, right), (left_place, right_place) = next(iter(pairs.items()))
            more = f" ({counted(len(pairs), 'such pairs')})" if len(pairs) > 1 else ""
            yield (
                f"the scorer {scorer.name} takes {_short(left)!r} ({left_place}) and {_short(right)!r} "
                f"({right_place}) for the same answer{more}; if they differ, set normalise: none, as in "
                "scorer: {name: exact, normalise: none}"
            )


def noted_answers(
    task: Task, scorers: Sequence[Scorer], splits: Sequence[tuple[Sequence[Example], Source | None]]
) -> Iterator[str]:
    """Yield for each scorer how it reads accepted answers that have another reading, as 12 for ``12.000``.

    Args:
        splits: as for :func:`equal_answers`.
    """
    for scorer in scorers:
        if not isinstance(scorer, TextScorer):
            continue
        notes = [
            (place(source, int(example.id)), answer.note)
            for examples, source in splits
            for example in examples
            for target in task.targets(example)
            if (answer := scorer.read(target)).answer is not None and answer.note
        ]
        if notes:
            where, note = notes[0]
            count = counted(len(notes), "accepted answers")
            yield f"{count} could be read in another way by the scorer {scorer.name}; the first: {where}: {note}"


def _signs(text: str) -> list[str]:
    return _SIGNS.findall(as_typed(text))


def _answers(task: Task, examples: Sequence[Example]) -> str:
    """Return how often each answer is right; in free text, how many there are and the most frequent one."""
    counts = Counter(task.target(example) for example in examples)
    if not task.has_options:
        text, count = counts.most_common(1)[0]
        different = f"{counted(len(counts), 'different answers')} in {counted(len(examples), 'examples')}"
        return f"{different}; the most frequent, {_short(text)!r}, {count:,} times" if count > 1 else different
    if task.labels is not None:  # a label that never occurs is counted too
        counts.update(dict.fromkeys(task.candidates(examples[0]), 0))
    frequent = [f"{_short(text)} {count:,}" for text, count in counts.most_common(MOST_SHOWN)]
    return ", ".join(frequent) + f" and {len(counts) - MOST_SHOWN:,} more" * (len(counts) > MOST_SHOWN)


def _longest(splits: Sequence[tuple[str, Sequence[Example], Source | None]]) -> str:
    def size(example: Example) -> int:
        return sum(map(len, (*example.fields.values(), *example.options)))

    example, source = max(
        ((example, source) for _, examples, source in splits for example in examples), key=lambda e: size(e[0])
    )
    return f"{place(source, int(example.id))}, {size(example):,} characters of fields and options"


def _majority(task: Task, examples: Sequence[Example], split: str) -> str:
    """Return the accuracy of a model that always gives the answer that is right most often."""
    counts = Counter(text for example in examples for text in task.targets(example))
    text, count = counts.most_common(1)[0]
    return f"always answering {_short(text)!r} is right for {count / len(examples):.1%} of the {split} examples"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
