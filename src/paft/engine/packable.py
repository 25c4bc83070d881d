"""Which models can be packed, as their configs say, and up to which row length."""

from collections.abc import Collection, Sequence
from typing import Any

from paft.engine.pack import Row

NEEDED = ("position_ids", "logits_to_keep", "attention_mask")
"""Arguments of a model's forward without which it cannot run packed rows."""

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Layers that show each token all of its row, as long as the row fits their window."""


def why_not_packed(config: Any, accepted: Collection[str]) -> str | None:
    """Return why a model cannot run packed rows, as far as its config says; None if nothing speaks against it.

    Args:
        config: of the text model.
        accepted: the arguments of the model's forward.
    """
    missing = [name for name in NEEDED if name not in accepted]
    if missing:
        return f"its forward has no argument {' and no argument '.join(missing)}"
    others = set(getattr(config, "layer_types", None) or ()) - ATTENTION_LAYERS
    if others:
        return f"it has {', '.join(sorted(others))} layers"
    if "local" in getattr(config, "attention_layers", ()):
        return "it has local attention layers"
    if getattr(config, "attn_temperature_tuning", False):  # Llama 4
        return "it scales its queries by their index in the batch"
    return "its positions are ALiBi biases" if getattr(config, "alibi", False) else None


def attention_window(config: Any) -> int | None:
    """Return how many tokens a row may have so that all layers show each token all tokens before it.

    None if there is no such limit within the model's positions. A token sees itself and the ``window - 1`` tokens
    before it; a chunk is as long as its name says.
    """
    sliding = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    chunk = (
        config.attention_chunk_size
        if "chunked_attention" in (getattr(config, "layer_types", None) or ())
        else None
    )
    windows = [size for size in (sliding, chunk) if size]
    window = min(windows, default=None)
    return None if window is None or window >= getattr(config, "max_position_embeddings", 2**31) else window


def with_distant_branch(rows: Sequence[Row], tokens: int) -> list[Row]:
    """Return the rows and one more, of so many tokens, that separates the last row's end from its beginning.

    It shares the first half of the last row and comes before the second half in packed order. So the packed rows
    are no single path, which a recurrent model would compute correctly, and a mask by packed index would hide the
    beginning from the end.
    """
    last = max(rows, key=lambda row: list(row.ids))
    middle = len(last.ids) // 2
    fork = next((i for i in (*range(middle, len(last.ids) - 1), *range(middle)) if last.ids[i] > 0), None)
    if fork is None:
        return list(rows)
    return [*rows, Row([*last.ids[:fork], *[last.ids[fork] - 1] * max(tokens + 1 - fork, 1)], 1)]
