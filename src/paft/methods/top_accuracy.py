"""Top-accuracy: the training prompt under which the base model answers most training examples correctly."""

from paft.config.schema import Positive
from paft.methods.method import MethodContext
from paft.methods.search import SearchMethod, SearchResult


class TopAccuracy(SearchMethod):
    """Fine-tuning on the training prompt with the highest accuracy of the base model (table 1)."""

    examples: Positive = 100
    """Training examples that each training prompt is tried on; the paper does not say how many."""

    def search(self, context: MethodContext) -> SearchResult:
        """Try every training prompt; of equals the first is chosen."""
        evaluator, examples = context.evaluator(), context.draw(self.examples)
        best, highest = context.prompts[0], -1.0
        with context.console.progress(f"choosing {context.name}", len(context.prompts)) as tick:
            for prompt in context.prompts:
                score = evaluator.evaluate(prompt, examples)
                if score.accuracy > highest:
                    best, highest = prompt, score.accuracy
                tick(1, f"best {highest:.0%}", earlier=score.earlier)
        return SearchResult.of(best, highest, evaluator.budget())
