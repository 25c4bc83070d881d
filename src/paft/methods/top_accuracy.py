"""Top-accuracy: the training prompt under which the base model answers most training examples rightly."""

from collections.abc import Sequence

from paft.methods.evaluator import PromptEvaluator
from paft.types import Example, Prompt
from paft.utils.console import Console


def top_accuracy(
    development: PromptEvaluator, prompts: Sequence[Prompt], examples: Sequence[Example], console: Console
) -> tuple[Prompt, float]:
    """Return the best of the prompts, the first of equals, and its accuracy on the examples."""
    best, highest = prompts[0], -1.0
    with console.progress("choosing top-accuracy", len(prompts)) as tick:
        for prompt in prompts:
            outcome = development.evaluate(prompt, examples)
            if outcome.accuracy > highest:
                best, highest = prompt, outcome.accuracy
            tick(1, f"best {highest:.0%}", earlier=outcome.earlier)
    return best, highest
