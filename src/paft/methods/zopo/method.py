"""ZOPO as a method: which prompts it searches, what it measures, and its settings."""

import time
from typing import Any

from paft.config.schema import Positive
from paft.methods.method import MethodContext
from paft.methods.search import SearchMethod, SearchResult
from paft.models.locate import locate
from paft.types import Conversation
from paft.utils.console import Console


class Zopo(SearchMethod):
    """Fine-tuning on the training prompt that ZOPO finds; the default numbers are its paper's."""

    budget: Positive = 165
    """Prompts tried, ``initial`` of them drawn at random before the search."""
    initial: Positive = 40
    """Prompts drawn at random before the search."""
    examples: Positive = 20
    """Training examples that each prompt is tried on."""
    embeddings: str = "model"
    """``model`` for the base model's last hidden state, else a sentence encoder (folder, hub id or embedded)."""

    def check(self, key: str, console: Console) -> None:
        """Refuse a sentence encoder that is not there."""
        if self.embeddings != "model":
            locate(self.embeddings, f"{key}.embeddings")

    def search(self, context: MethodContext) -> SearchResult:
        """Search the training prompts in the space of their embeddings."""
        from paft.methods.zopo.search import zopo

        evaluator, examples, prompts = context.evaluator(), context.draw(self.examples), context.prompts
        started = time.perf_counter()
        points = self._embed(context)
        embedding = {"seconds": round(time.perf_counter() - started, 3)}
        with context.console.progress(f"choosing {context.name}", min(self.budget, len(prompts))) as tick:

            def accuracy(point: int) -> float:
                score = evaluator.evaluate(prompts[point], examples)
                tick(1, f"{score.accuracy:.0%}", earlier=score.earlier)
                return score.accuracy

            trace = zopo(accuracy, points, budget=self.budget, initial=self.initial, seed=context.seed)
        best = trace.best
        return SearchResult.of(prompts[best], trace.values[best], evaluator.budget(), embedding)

    def _embed(self, context: MethodContext) -> Any:
        """Return a vector per prompt, float32 ``(prompts, dimensions)``."""
        from paft.models.encoder import SentenceEncoder, last_hidden_states

        engine = context.engine()
        if self.embeddings == "model":
            conversations = [Conversation(prompt.text, prompt.system) for prompt in context.prompts]
            return last_hidden_states(engine, conversations)
        texts = ["\n".join(filter(None, (prompt.system, prompt.text))) for prompt in context.prompts]
        return SentenceEncoder(self.embeddings, engine.model.device)(texts)
