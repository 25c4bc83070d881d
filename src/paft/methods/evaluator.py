"""The base model on training examples, for methods that search for a prompt; each answer is counted and kept."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paft.evaluation.grid import answer
from paft.models.model import Answerer
from paft.scoring import Scorer
from paft.scoring.registry import make_scorers
from paft.tasks.task import Task
from paft.types import AnswerSettings, Example, Prompt, content_hash
from paft.utils.io import append_jsonl, read_keyed


@dataclass(frozen=True)
class PromptScore:
    """How a prompt did on some examples.

    Attributes:
        accuracy: mean score; an answer that cannot be read scores 0.
        right: for each example, the probability that the options' likelihoods give to the target; its score where
            answers are generated.
        earlier: whether it was known before this search started.
    """

    accuracy: float
    right: tuple[float, ...]
    earlier: bool


class PromptEvaluator:
    """The base model on training examples, for a search over prompts.

    Every evaluation is recorded when it is done, so a search that starts again with the same seed computes only
    what is missing.

    Args:
        settings: how the model is asked, as in the evaluation.
        log: the file that keeps the evaluations.
        scorers: judge the answers that are generated, the first is what counts; the task's default when left out.
    """

    def __init__(
        self,
        model: Answerer,
        task: Task,
        settings: AnswerSettings,
        *,
        log: Path,
        scorers: Sequence[Scorer] = (),
    ):
        self.scorer = scorers[0] if scorers else make_scorers(task.scorer, task)[0]
        self.model, self.task, self.settings, self.log = model, task, settings, log
        self._done = read_keyed(log, {"accuracy", "right", "seconds"})
        self._earlier = frozenset(self._done)
        self._used: dict[str, dict] = {}

    def evaluate(self, prompt: Prompt, examples: Sequence[Example]) -> PromptScore:
        """Return how well the base model answers the examples with the prompt."""
        texts = (
            text
            for example in examples
            for text in (*example.fields.values(), *example.options, *self.task.targets(example))
        )
        key = content_hash(prompt.text, prompt.system or "", *texts)
        row = self._done.get(key)
        if row is None:
            started = time.perf_counter()
            answered = answer(self.model, self.task, [self.scorer], prompt, examples, self.settings)
            cells = list(zip(answered, examples, strict=True))
            row = {
                "key": key,
                "prompt_id": prompt.id,
                "accuracy": sum(cell["score"] for cell, _ in cells) / len(cells),
                "right": [round(_right(cell, example), 6) for cell, example in cells],
                "seconds": round(time.perf_counter() - started, 3),
            }
            append_jsonl(self.log, row)
            self._done[key] = row
        self._used[key] = row
        return PromptScore(row["accuracy"], tuple(row["right"]), key in self._earlier)

    def budget(self) -> dict[str, float]:
        """Return the cost so far: evaluations of a prompt, questions answered, seconds of answering."""
        return {
            "evaluations": len(self._used),
            "questions": sum(len(row["right"]) for row in self._used.values()),
            "seconds": round(sum(row["seconds"] for row in self._used.values()), 3),
        }


def _right(cell: Mapping, example: Example) -> float:
    scores = cell["scores"]
    if scores is None or example.target is None or any(map(math.isnan, scores)):
        return float(cell["score"])
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    return weights[example.target] / sum(weights)
