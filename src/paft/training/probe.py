"""The losses of the model in the middle of its training, for samplers that ask for them."""

from collections.abc import Iterator, Sequence

import torch
from accelerate.utils import broadcast

from paft.engine.engine import Engine
from paft.engine.pack import Row, common_prefix_length
from paft.tasks.task import Task
from paft.training.data import rows
from paft.types import Example, Prompt


class ModelLosses:
    """A :data:`~paft.training.samplers.LossFunction` of the model that is being trained.

    Every process computes all losses, so that their forwards stay in step, and then takes those of the first one.

    Attributes:
        tokens: of all forwards so far, of this process.
    """

    def __init__(self, engine: Engine, task: Task, processes: int):
        self.engine, self.task, self.processes = engine, task, processes
        self.tokens = 0

    def __call__(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> list[list[float]]:
        """Return a list of each example's loss for each prompt."""
        questions = [(prompt, example) for prompt in prompts for example in examples]
        tokens = rows(self.engine, self.task, [prompt for prompt, _ in questions], [e for _, e in questions])
        losses = torch.zeros(len(tokens), dtype=torch.float64)
        model = self.engine.model
        is_training = model.training
        model.eval()
        try:
            for batch in self._batches(tokens):
                scores = self.engine.log_probs([tokens[place] for place in batch])
                losses[batch] = torch.stack([-score.double().mean() for score in scores])
        finally:
            model.train(is_training)
        if self.processes > 1:
            losses = broadcast(losses.float().to(model.device)).cpu()
        return losses.unflatten(0, (len(prompts), len(examples))).tolist()

    def _batches(self, tokens: Sequence[Row]) -> Iterator[list[int]]:
        """Yield the places of rows for one forward each, at most ``batch_tokens`` tokens, and count the tokens."""
        batch: list[int] = []
        size = 0
        before: Sequence[int] = ()
        for place in sorted(range(len(tokens)), key=lambda place: list(tokens[place].ids)):  # as a tree holds them
            ids = tokens[place].ids[:-1]
            shared = common_prefix_length(before, ids) if batch and self.engine.packs(len(ids)) else 0
            new = len(ids) - shared
            if batch and size + new > self.engine.batch_tokens:
                yield batch
                batch, size, new = [], 0, len(ids)
            batch.append(place)
            size, before = size + new, ids
            self.tokens += new
        yield batch
