"""A comparison of two methods, models, runs or prompts in words, with the answers that changed."""

from collections.abc import Sequence

import numpy as np

from paft.reporting.formatting import markdown_table, points
from paft.reporting.pairs import Change, Comparison, Side, changes
from paft.reporting.sentences import difference_in_words
from paft.utils.console import counted

SHOWN = 10
"""The number of examples that are listed in each direction; the page has all."""
LONGEST = 100
"""Characters of a text in the list."""


def describe(comparison: Comparison) -> str:
    """Return a comparison as Markdown."""
    left, right = comparison.left, comparison.right
    lines = [
        f"# {left.name} and {right.name}",
        "",
        f"{difference_in_words(comparison.difference, left.name, right.name)}.",
        in_common(comparison),
        _tests(comparison),
        "",
        *(line for side in (left, right) for line in _prompt(side)),
        *_counts(comparison),
    ]
    binary = _is_binary(comparison)
    for rises, words in (
        (False, "Right -> wrong" if binary else "Lower score"),
        (True, "Wrong -> right" if binary else "Higher score"),
    ):
        changed = list(changes(comparison, rises=rises))
        if changed:
            listed = f", {SHOWN} of them" if len(changed) > SHOWN else ""
            lines += ["", f"## {words}: {counted(len(changed), 'examples')}{listed}", ""]
            lines += _table(comparison, changed[:SHOWN])
    return "\n".join(lines)


def in_common(comparison: Comparison) -> str:
    """Return in a sentence what the two sides have in common, and how much of each that is."""
    left, right, cells = comparison.left, comparison.right, comparison.cells
    sizes = (
        ("prompts", len(cells.prompts[0]), len(left.prompts), len(right.prompts)),
        (
            "examples",
            len(cells.examples[0]),
            len(left.method.grid.example_ids),
            len(right.method.grid.example_ids),
        ),
    )
    parts = [
        counted(common, noun)
        if common == left_size == right_size
        else f"the {common} {noun} that both have ({left.name} {left_size}, {right.name} {right_size})"
        for noun, common, left_size, right_size in sizes
    ]
    answered = comparison.answered
    some = f", {int(answered.sum()):,} of {answered.size:,} cells answered by both" if not answered.all() else ""
    matched = " Examples are matched by their ids, as a run lacks their texts." if cells.by_id else ""
    return f"Compared on {' x '.join(parts)}{some}.{matched}"


def _tests(comparison: Comparison) -> str:
    """Return what the interval and p are."""
    if comparison.over == "examples":
        return (
            "Bracket: 95 % interval over examples (Bonett and Price). p: exact sign test over the examples whose "
            "score differs (McNemar's exact test, where scores are 0 or 1)."
        )
    kind = "bootstrap interval" if comparison.answered.all() else "two-way clustered interval"
    return f"Bracket: 95 % {kind} over prompts and examples. p: Wilcoxon's signed-rank test over prompts."


def _prompt(side: Side) -> list[str]:
    """Return the text of the prompt that a side names."""
    prompt = side.run.prompts.get(side.prompt) if side.prompt else None
    if prompt is None:
        return []
    text = "\n".join(filter(None, (prompt.system, prompt.text)))
    return [f"{side.name}:", "", *(f"    {line}" for line in text.splitlines()), ""]


def _counts(comparison: Comparison) -> list[str]:
    """Return the table of answers that are right under both, one or none; nothing for graded scores."""
    if not _is_binary(comparison):
        return []
    left, right = comparison.left, comparison.right
    left_is_right = comparison.cells.of(left.method.grid.right, 0)
    right_is_right = comparison.cells.of(right.method.grid.right, 1)

    def count(cells: np.ndarray) -> str:
        return f"{int((cells & comparison.answered).sum()):,}"

    rows = [
        (f"{left.name} {word}", count(cells & right_is_right), count(cells & ~right_is_right))
        for word, cells in (("right", left_is_right), ("wrong", ~left_is_right))
    ]
    return markdown_table(("Answers", f"{right.name} right", f"{right.name} wrong"), rows)


def _is_binary(comparison: Comparison) -> bool:
    return comparison.left.run.is_binary and comparison.right.run.is_binary


def _table(comparison: Comparison, rows: Sequence[Change]) -> list[str]:
    """Return the examples that changed; of two methods, with the number of prompts and one of these."""
    left, right = comparison.left, comparison.right
    methods, prompts = left.prompt is None, len(comparison.cells.prompts[0])

    def answer(change: Change, side: int) -> str:
        text = change.answers[side]
        score = "" if _is_binary(comparison) else f" ({points(change.scores[side])})"
        return ("could not be read" if text is None else _cell(text)) + score

    def prompt(change: Change) -> list[str]:
        known = left.run.prompts.get(change.prompts[0])
        return [f"{change.count} of {prompts}", _cell(known.text if known else change.prompts[0])]

    return markdown_table(
        ("Question", "Target", *(["Prompts", "One of them"] if methods else []), left.name, right.name),
        [
            (_cell(c.question), _cell(c.target), *(prompt(c) if methods else []), answer(c, 0), answer(c, 1))
            for c in rows
        ],
    )


def _cell(text: str) -> str:
    """Return a text on one line of a Markdown table."""
    line = " ".join(text.split())
    return (line if len(line) <= LONGEST else f"{line[:LONGEST]} ...").replace("|", "\\|")
