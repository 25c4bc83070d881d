"""Figure 1: two prompts that differ in one word, and the difference between their accuracies.

The search uses training examples only. The pair that it finds is then measured on the test examples, so that the
reported difference is not inflated by the search.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paft.config.model import ModelConfig
from paft.config.schema import Config
from paft.errors import UserError
from paft.prompts.files import load_prompts
from paft.prompts.screen import screen
from paft.prompts.shots import load_with_demonstrations
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_text

if TYPE_CHECKING:
    from paft.methods.evaluator import PromptEvaluator  # loads numpy and pyarrow

RESULT = "one-word.json"
DEVELOPMENT = 48
"""The number of training examples that each edit is evaluated on."""
_WORD = re.compile(r"(?<![\w{])[A-Za-z][A-Za-z']*(?![\w}])")


def search(config: Config, folder: Path, console: Console, *, max_edits: int) -> dict[str, Any]:
    """Train on the fixed prompt, evaluate one-word edits, and measure the two with the largest difference.

    Args:
        config: a run of the method ``user``; the words of the edits come from its training prompts.
        max_edits: the maximum number of edits to evaluate.
    """
    from paft.methods.evaluator import PromptEvaluator
    from paft.models.adapters import with_adapter
    from paft.models.open import load_local
    from paft.runs.run import run
    from paft.scoring.registry import make_scorers
    from paft.tasks.load import subset

    run(config, folder, console)  # raises an error if the folder belongs to another config
    file = folder / RESULT
    if file.is_file():
        return read_result(file)
    task, train, test = load_with_demonstrations(config.task, config.prompts.shots, config.seed)
    assert config.prompts.user is not None  # the method `user` requires it
    start = Prompt(config.prompts.user.text, config.prompts.user.system or None)
    pool = load_prompts(config.prompts.train, "train", config.seed) if config.prompts.train else []
    word_indices = _sample(list(edits(start, pool)), max_edits, config.seed)
    fit, _ = screen([start, *word_indices], task, train + test)
    kept = [start, *(prompt for prompt in fit if prompt != start)]  # the run accepted the user's prompt
    development = subset(train, DEVELOPMENT, config.seed + 1)
    test_examples = subset(test, config.evaluation.examples, config.seed)
    assert isinstance(config.model, ModelConfig)  # the run has refused an endpoint, which cannot be trained
    engine = load_local(config.model, console)
    with with_adapter(engine, folder / "methods" / "user" / "adapter"):
        scorers, log = make_scorers(task.scorer, task), folder / "one-word-evaluations.jsonl"
        evaluator = PromptEvaluator(engine, task, config.evaluation.answer_settings, log=log, scorers=scorers)
        accuracy = _accuracies(evaluator, kept, development, console)
        low, high = farthest(accuracy, word_indices, start)
        result = {
            "low": _row(low, accuracy[low], evaluator.evaluate(low, test_examples).accuracy),
            "high": _row(high, accuracy[high], evaluator.evaluate(high, test_examples).accuracy),
            "tried": len(kept),
            "development_examples": len(development),
            "test_examples": len(test_examples),
        }
    write_text(file, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return result


def read_result(file: Path) -> dict[str, Any]:
    """Read the result file of a search.

    Raises:
        UserError: the file is damaged.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        if {"low", "high", "tried", "development_examples", "test_examples"} <= result.keys():
            return result
    except (ValueError, AttributeError):
        pass
    raise UserError(f"{file}: damaged; remove it and run the same command again")


def edits(prompt: Prompt, pool: Sequence[Prompt]) -> Iterator[tuple[int, Prompt]]:
    """Yield prompts that differ from this one in one word, each with the index of that word.

    A word is removed, or replaced by a word that follows the same preceding word in a prompt of the pool. Most of
    the edited prompts are therefore still grammatical.
    """
    after: dict[str, set[str]] = {}
    for pool_prompt in pool:
        words = [match[0].lower() for match in _WORD.finditer(pool_prompt.text)]
        for left, word in zip(["", *words], words, strict=False):
            after.setdefault(left, set()).add(word)
    matches = list(_WORD.finditer(prompt.text))
    for index, match in enumerate(matches):
        left = matches[index - 1][0].lower() if index else ""
        shortened = prompt.text[: match.start()] + prompt.text[match.end() :]
        yield index, Prompt(re.sub(r" {2,}", " ", shortened).strip(), prompt.system)
        for word in sorted(after.get(left, ())):
            if word != match[0].lower():
                word = word.capitalize() if match[0][0].isupper() else word
                yield (
                    index,
                    Prompt(prompt.text[: match.start()] + word + prompt.text[match.end() :], prompt.system),
                )


def farthest(
    accuracy: dict[Prompt, float], word_indices: dict[Prompt, int], start: Prompt
) -> tuple[Prompt, Prompt]:
    """Return the two prompts one word apart whose accuracies differ most, the one with the lower accuracy first.

    Two edits of the same word differ in one word, and so does each edit from the original prompt.
    """
    groups: dict[int, list[Prompt]] = {}
    for prompt, index in word_indices.items():
        if prompt in accuracy:
            groups.setdefault(index, [start]).append(prompt)
    best = (start, start)
    for group in groups.values():
        low, high = min(group, key=accuracy.__getitem__), max(group, key=accuracy.__getitem__)
        if accuracy[high] - accuracy[low] > accuracy[best[1]] - accuracy[best[0]]:
            best = (low, high)
    return best


def _sample(candidates: list[tuple[int, Prompt]], count: int, seed: int) -> dict[Prompt, int]:
    """Return at most ``count`` of the edits, drawn with the seed, each with the index of its word."""
    if len(candidates) > count:
        candidates = random.Random(f"edits:{seed}").sample(candidates, count)
    return {prompt: index for index, prompt in candidates}


def _accuracies(
    evaluator: "PromptEvaluator", prompts: Sequence[Prompt], examples: Sequence[Example], console: Console
) -> dict[Prompt, float]:
    """Return the accuracy under each prompt."""
    accuracies = {}
    with console.progress("evaluating one-word edits", len(prompts)) as tick:
        for prompt in prompts:
            score = evaluator.evaluate(prompt, examples)
            accuracies[prompt] = score.accuracy
            tick(1, earlier=score.earlier)
    return accuracies


def _row(prompt: Prompt, development_accuracy: float, test_accuracy: float) -> dict[str, Any]:
    return {
        "text": prompt.text,
        "system": prompt.system,
        "development_accuracy": development_accuracy,
        "test_accuracy": test_accuracy,
    }
