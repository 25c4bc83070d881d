"""Turn texts into vectors, by the model's own last hidden state or by a sentence encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from paft.engine.engine import Engine
from paft.errors import UserError, first_line
from paft.models.load import PLAIN, model_folder
from paft.types import Conversation
from paft.utils.device import pick_device

BATCH = 32


@torch.no_grad()
def last_hidden_states(engine: Engine, conversations: Sequence[Conversation]) -> torch.Tensor:
    """Return the last layer's state at the token before the answer, float32 ``(conversations, hidden)``."""
    vectors = []
    for ids in engine.format.prompts(conversations):
        inputs = torch.tensor([ids], device=engine.model.device)
        states = engine.model(input_ids=inputs, output_hidden_states=True, use_cache=False).hidden_states[-1]
        vectors.append(states[0, -1].float().cpu())
    return torch.stack(vectors)


class SentenceEncoder:
    """A sentence-transformers model with mean pooling, read by transformers.

    Args:
        path: ``embedded/all-minilm-l6-v2``, a folder, or a hub id.
        device: by default the accelerator, else the CPU.

    Raises:
        UserError: there is no model at the path.
    """

    def __init__(self, path: str, device: torch.device | None = None):
        try:
            place = model_folder(path)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
            self.model: Any = AutoModel.from_pretrained(place, **PLAIN).to(device or pick_device()).eval()
        except (OSError, ValueError, KeyError) as error:
            reason = first_line(error)
            raise UserError(f"config key baselines: cannot load the sentence encoder {path}: {reason}") from None

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return vectors of length 1, float32 ``(texts, hidden)``."""
        vectors = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            inputs = self.tokenizer(batch, padding=True, truncation=True, max_length=512, return_tensors="pt")
            inputs = inputs.to(self.model.device)
            states = self.model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            vectors.append(((states * mask).sum(1) / mask.sum(1)).float().cpu())
        return torch.nn.functional.normalize(torch.cat(vectors), dim=1)

    def alike(self, text: str, others: Sequence[str]) -> list[float]:
        """Return the cosine of a text and each of the others."""
        vectors = self([text, *others])
        return (vectors[1:] @ vectors[0]).tolist()
