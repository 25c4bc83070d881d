"""Rows of tokens packed as one tree, so that what rows share is computed once; and right-padded batches.

Rows with the same prompt share its beginning, and all options of a question share the question. A tree holds each
shared beginning once. It is packed into one sequence: position ids count along the branches, and every token
attends to its ancestors only. So each row sees what it would see alone, and losses, gradients and scores equal
those of right-padded batches within rounding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence whose last ``answer`` tokens are predicted."""

    ids: Sequence[int]
    answer: int


class TokenTree:
    """Token sequences with their common beginnings merged, in depth-first order.

    Attributes:
        ids, depths: token and distance from the root of each node.
        ends: the place after the last descendant of each node.
    """

    def __init__(self, rows: Iterable[Sequence[int]]) -> None:
        self.ids: list[int] = []
        self.depths: list[int] = []
        self.ends: list[int] = []
        self._paths: dict[tuple[int, ...], list[int]] = {}
        path: list[int] = []
        for row in sorted(set(map(tuple, rows))):
            shared = common_prefix_length([self.ids[node] for node in path], row)
            path = path[:shared] + [len(self.ids) + i for i in range(len(row) - shared)]
            self.ids.extend(row[shared:])
            self.depths.extend(range(shared, len(row)))
            self.ends.extend([0] * (len(row) - shared))
            for node in path:
                self.ends[node] = len(self.ids)
            self._paths[row] = path

    def path(self, row: Sequence[int]) -> list[int]:
        """Return the nodes of a row."""
        return self._paths[tuple(row)]


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many tokens two sequences share at their beginning."""
    differing = (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(differing, min(len(left), len(right)))


def shared_beginning(prompts: Sequence[list[int]]) -> list[int]:
    """Return the tokens that all prompts begin with, at most all but one of the shortest prompt."""
    first, last = min(prompts), max(prompts)  # all prompts share what these two share
    return first[: min(common_prefix_length(first, last), len(min(prompts, key=len)) - 1)]


Inputs = dict[str, torch.Tensor]
"""The arguments of a model, and ``labels`` of the same shape as the positions that are kept."""


def packed(rows: Sequence[Row], cached: int = 0) -> Inputs:
    """Pack rows as one tree.

    Args:
        cached: how many tokens at the beginning of every row the model's cache holds already.

    Returns:
        input_ids and position_ids ``(1, nodes)``; attention_mask ``(1, 1, 1, cached + nodes)``, the end of each
        key's subtree (:mod:`paft.engine.attention`); logits_to_keep ``(answer tokens,)``; labels
        ``(1, answer tokens)``.
    """
    tree = TokenTree(row.ids[cached:-1] for row in rows)
    keep: list[int] = []
    labels: list[int] = []
    for row in rows:
        keep.extend(tree.path(row.ids[cached:-1])[-row.answer :])
        labels.extend(row.ids[-row.answer :])
    nodes = len(tree.ids)
    return {
        "input_ids": torch.tensor([tree.ids]),
        "position_ids": torch.tensor([tree.depths]) + cached,
        "attention_mask": torch.tensor([cached + nodes] * cached + [cached + end for end in tree.ends])[
            None, None, None
        ],
        "logits_to_keep": torch.tensor(keep),
        "labels": torch.tensor([labels]),
    }


def padded(rows: Sequence[Row], pad: int) -> Inputs:
    """Return a right-padded batch with one line per row; the reference for :func:`packed`.

    Returns:
        input_ids and attention_mask ``(rows, longest)``; logits_to_keep ``(positions,)``, those that any row
        predicts from; labels ``(rows, positions)``, -100 where a row predicts nothing.
    """
    length = max(len(row.ids) for row in rows) - 1
    ids = torch.full((len(rows), length), pad)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    targets = torch.full((len(rows), length), -100)
    for i, row in enumerate(rows):
        n = len(row.ids) - 1
        ids[i, :n] = torch.tensor(row.ids[:-1])
        mask[i, :n] = 1
        targets[i, n - row.answer : n] = torch.tensor(row.ids[n + 1 - row.answer :])
    keep = (targets != -100).any(dim=0).nonzero().flatten()
    return {"input_ids": ids, "attention_mask": mask, "logits_to_keep": keep, "labels": targets[:, keep]}


def answer_loss(logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | int | None) -> torch.Tensor:
    """Return the summed cross-entropy of the answer tokens, divided by ``count`` (or by their number).

    Args:
        logits: ``(..., vocabulary)`` at the kept positions.
        labels: of the leading shape of ``logits``; -100 is ignored.
        count: answer tokens of the whole optimiser step, over accumulation and processes.
    """
    total = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="sum"
    )
    return total / torch.as_tensor((labels != -100).sum() if count is None else count).clamp(min=1)
