"""Figure 1: two prompts that differ by one word, and how far their accuracies lie apart.

The search looks at training examples only; the pair that it finds is then measured on the test examples, so that
the figure is not the luck of the search.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paft.config.schema import Config, ModelConfig
from paft.errors import UserError
from paft.prompts.files import load_prompts
from paft.prompts.screen import screen
from paft.types import Prompt
from paft.utils.console import Console
from paft.utils.io import write_text

RESULT = "one-word.json"
DEVELOPMENT = 48
"""Training examples that each edit is tried on."""
_WORD = re.compile(r"(?<![\w{])[A-Za-z][A-Za-z']*(?![\w}])")


def search(config: Config, folder: Path, console: Console, *, most: int) -> dict[str, Any]:
    """Train on the fixed prompt, try one-word edits, and measure the two that lie farthest apart.

    Args:
        config: of a run of the method ``user``; its training prompts lend their words.
        most: edits that are tried.
    """
    from paft.methods.evaluator import PromptEvaluator
    from paft.models.load import with_adapter
    from paft.models.open import load_local
    from paft.runs.run import run
    from paft.scoring.registry import make_scorer
    from paft.tasks.load import load_task, subset

    run(config, folder, console)  # refuses a folder of another config
    file = folder / RESULT
    if file.is_file():
        return read_found(file)
    task, train, test = load_task(config.task)
    assert config.prompts.user is not None  # the method user needs it
    start = Prompt(config.prompts.user.text, config.prompts.user.system or None)
    pool = load_prompts(config.prompts.train, "train", config.seed) if config.prompts.train else []
    drawn = _sample(list(edits(start, pool)), most, config.seed)
    fit, _ = screen([start, *(prompt for _, prompt in drawn)], task, train + test)
    kept = [start, *(prompt for prompt in fit if prompt != start)]  # the run took it, so it stays
    places = {prompt: place for place, prompt in drawn}
    development = subset(train, DEVELOPMENT, config.seed + 1)
    asked = subset(test, config.evaluation.examples, config.seed)
    assert isinstance(config.model, ModelConfig)  # one behind an endpoint is not trained, so the run refused it
    engine = load_local(config.model, console)
    with with_adapter(engine, folder / "methods" / "user" / "adapter"):
        model = PromptEvaluator(
            engine,
            task,
            mode=config.evaluation.mode,
            max_new_tokens=config.evaluation.max_new_tokens,
            log=folder / "one-word-evaluations.jsonl",
            scorer=make_scorer(config.task.scorer, task),
        )
        with console.progress("trying one-word edits", len(kept)) as tick:
            accuracy = {}
            for prompt in kept:
                outcome = model.evaluate(prompt, development)
                accuracy[prompt] = outcome.accuracy
                tick(1, earlier=outcome.earlier)
        low, high = farthest(accuracy, places, start)
        found = {
            "low": _row(low, accuracy[low], model.evaluate(low, asked).accuracy),
            "high": _row(high, accuracy[high], model.evaluate(high, asked).accuracy),
            "tried": len(kept),
            "development_examples": len(development),
            "test_examples": len(asked),
        }
    write_text(file, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return found


def read_found(file: Path) -> dict[str, Any]:
    """Read what a search has written down."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if {"low", "high", "tried", "development_examples", "test_examples"} <= found.keys():
            return found
    except (ValueError, AttributeError):
        pass
    raise UserError(f"{file}: damaged; remove it and run the same command again")


def edits(prompt: Prompt, pool: Sequence[Prompt]) -> Iterator[tuple[int, Prompt]]:
    """Yield each prompt that differs from this one by one word, with the word's place.

    A word is left out, or gives way to one that stands between the same two neighbours, or after the same one, in
    another prompt: so that what comes out is mostly still a sentence.
    """
    after: dict[str, set[str]] = {}
    for other in pool:
        words = [match[0].lower() for match in _WORD.finditer(other.text)]
        for left, word in zip(["", *words], words, strict=False):
            after.setdefault(left, set()).add(word)
    matches = list(_WORD.finditer(prompt.text))
    for place, match in enumerate(matches):
        left = matches[place - 1][0].lower() if place else ""
        without = prompt.text[: match.start()] + prompt.text[match.end() :]
        yield place, Prompt(re.sub(r" {2,}", " ", without).strip(), prompt.system)
        for word in sorted(after.get(left, ())):
            if word != match[0].lower():
                word = word.capitalize() if match[0][0].isupper() else word
                yield (
                    place,
                    Prompt(prompt.text[: match.start()] + word + prompt.text[match.end() :], prompt.system),
                )


def farthest(accuracy: dict[Prompt, float], places: dict[Prompt, int], start: Prompt) -> tuple[Prompt, Prompt]:
    """Return the two prompts that differ by one word and most in accuracy, the lower one first.

    Two edits of the same place differ by one word, and so does each edit from the prompt that it was made of.
    """
    groups: dict[int, list[Prompt]] = {}
    for prompt, place in places.items():
        if prompt in accuracy:
            groups.setdefault(place, [start]).append(prompt)
    best = (start, start)
    for group in groups.values():
        low, high = min(group, key=accuracy.__getitem__), max(group, key=accuracy.__getitem__)
        if accuracy[high] - accuracy[low] > accuracy[best[1]] - accuracy[best[0]]:
            best = (low, high)
    return best


def _sample(found: list[tuple[int, Prompt]], most: int, seed: int) -> list[tuple[int, Prompt]]:
    return found if len(found) <= most else random.Random(f"edits:{seed}").sample(found, most)


def _row(prompt: Prompt, searched: float, measured: float) -> dict[str, Any]:
    return {
        "text": prompt.text,
        "system": prompt.system,
        "development_accuracy": searched,
        "test_accuracy": measured,
    }
