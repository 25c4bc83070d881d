"""Rows of tokens as one packed tree, so that what rows share is computed once; and the padded way beside it.

All rows of a PAFT step share a prompt, all options of a question share the question. A tree holds each shared
beginning once. Laid out in one sequence, with position ids that count along the branches and a mask that lets
every token see its ancestors only, the tree gives each row what it would see alone, so losses, gradients and
scores are those of the padded way within rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence of which the last ``answer`` tokens are predicted."""

    ids: Sequence[int]
    answer: int


class TokenTree:
    """Token sequences with their common beginnings merged.

    Attributes:
        ids, depths: token and distance from the root of each node, parents before children.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.depths: list[int] = []
        self._children: dict[tuple[int, int], int] = {}
        self._branches: list[tuple[int, int, int]] = []  # (parent, first node, node after the last)

    def add(self, ids: Sequence[int]) -> list[int]:
        """Add a sequence; return its nodes."""
        path: list[int] = []
        node = -1
        for token in ids:
            child = self._children.get((node, token))
            if child is None:
                break
            path.append(child)
            node = child
        if len(path) < len(ids):
            first, parent = len(self.ids), node
            for token in ids[len(path) :]:
                self._children[node, token] = node = len(self.ids)
                self.ids.append(token)
            new = range(first, len(self.ids))
            self.depths.extend(range(len(path), len(path) + len(new)))
            self._branches.append((parent, first, len(self.ids)))
            path.extend(new)
        return path

    def visible(self) -> torch.Tensor:
        """Return a ``(nodes, nodes)`` mask, True where the row's node may see the column's."""
        mask = torch.zeros(len(self.ids), len(self.ids), dtype=torch.bool)
        for parent, first, end in self._branches:
            if parent >= 0:
                mask[first:end] = mask[parent]
            mask[first:end, first:end] = torch.ones(end - first, end - first, dtype=torch.bool).tril()
        return mask


Inputs = dict[str, torch.Tensor]
"""What a model is called with, and ``labels`` of the same shape as the positions that are kept."""


def packed(rows: Sequence[Row], dtype: torch.dtype, cached: int = 0) -> Inputs:
    """Lay rows out as one tree.

    Args:
        cached: so many tokens begin every row, and the model's cache holds them already.

    Returns:
        input_ids and position_ids ``(1, nodes)``; attention_mask ``(1, 1, nodes, cached + nodes)``, 0 where
        visible, else the dtype's lowest; logits_to_keep ``(answer tokens,)``; labels ``(1, answer tokens)``.
    """
    tree = TokenTree()
    keep: list[int] = []
    labels: list[int] = []
    for row in rows:
        path = tree.add(row.ids[cached:-1])
        keep.extend(path[len(path) - row.answer :])
        labels.extend(row.ids[len(row.ids) - row.answer :])
    hidden = torch.nn.functional.pad(~tree.visible(), (cached, 0))
    mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, torch.finfo(dtype).min)
    return {
        "input_ids": torch.tensor([tree.ids]),
        "position_ids": torch.tensor([tree.depths]) + cached,
        "attention_mask": mask[None, None],
        "logits_to_keep": torch.tensor(keep),
        "labels": torch.tensor([labels]),
    }


def padded(rows: Sequence[Row], pad: int) -> Inputs:
    """Lay rows out one below the other, filled up on the right; the reference for :func:`packed`.

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
        labels: of the leading shape of ``logits``; -100 is left out.
        count: answer tokens of the whole optimiser step, over accumulation and processes.
    """
    total = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="sum"
    )
    return total / (count if count is not None else (labels != -100).sum())
