"""The baselines in a run: what each is handed of it. Test prompts and test examples are not among it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paft.baselines.choose import CHOICE, Choice, choose
from paft.config import BaselinesConfig, EvaluationConfig, ZopoConfig
from paft.console import Console
from paft.engine.locate import locate
from paft.errors import UserError
from paft.models import language_models
from paft.tasks.load import subset
from paft.tasks.task import Task
from paft.types import Conversation, Example, Prompt

BASELINES = ("top-accuracy", "batprompt", "zopo")
"""The methods that choose a prompt before they train on it."""


def check_baselines(methods: Sequence[str], settings: BaselinesConfig, console: Console) -> None:
    """Refuse, before anything runs, a baseline that lacks what it needs."""
    if "batprompt" in methods:
        if settings.batprompt.llm is None:
            raise UserError(
                "config key baselines.batprompt.llm is missing: the method batprompt has a language model rewrite "
                "the prompt; set {model: NAME, base_url: URL, key: VARIABLE}, or the path of a model alone"
            )
        language_models([settings.batprompt.llm], "baselines.batprompt.llm", console)
        locate(settings.batprompt.encoder, "baselines.batprompt.encoder")
    if "zopo" in methods and settings.zopo.embeddings != "model":
        locate(settings.zopo.embeddings, "baselines.zopo.embeddings")


def chosen(
    method: str,
    settings: BaselinesConfig,
    engine: Any,
    task: Task,
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    folder: Path,
    *,
    evaluation: EvaluationConfig,
    seed: int,
    console: Console,
) -> Prompt:
    """Return the prompt that a baseline has chosen, or let it choose now.

    Args:
        engine: the base model's; needed where nothing has been chosen yet.
        prompts: training prompts; for batprompt the one it begins with.
        examples: training examples.
        evaluation: how the model is asked.
    """

    def search() -> tuple[Prompt, float, list[dict[str, Any]]]:
        from paft.baselines.development import Development

        development = Development(
            engine,
            task,
            answers=evaluation.answers,
            max_new_tokens=evaluation.max_new_tokens,
            log=folder / "evaluations.jsonl",
        )
        spent: list[Callable[[], dict[str, Any]]] = [development.budget]
        if method == "top-accuracy":
            from paft.baselines.top_accuracy import top_accuracy

            drawn = subset(list(examples), settings.top_accuracy.examples, seed)
            prompt, accuracy = top_accuracy(development, prompts, drawn, console)
        elif method == "zopo":
            drawn = subset(list(examples), settings.zopo.examples, seed)
            prompt, accuracy = _zopo(settings.zopo, development, prompts, drawn, seed, console)
        else:
            from paft.baselines.ask import Asker
            from paft.baselines.batprompt import BATprompt
            from paft.engine.embed import SentenceEncoder

            assert settings.batprompt.llm is not None
            [client] = language_models([settings.batprompt.llm], "baselines.batprompt.llm", console).values()
            most = settings.batprompt.max_tokens
            asker = Asker(client, folder / "answers.jsonl", max_tokens=most, seed=seed)
            spent.append(asker.budget)
            batprompt = BATprompt(
                development,
                asker,
                SentenceEncoder(settings.batprompt.encoder).alike,
                settings.batprompt,
                seed=seed,
                console=console,
            )
            prompt, accuracy = batprompt.search(prompts[0], list(examples))
        return prompt, accuracy, [budget() for budget in spent]

    choice = choose(folder, search)
    spent = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in _spent(choice).items() if v)
    console.say(f"{method} chose prompt {choice.prompt.id} ({choice.accuracy:.0%} of its examples): {spent}")
    return choice.prompt


def has_chosen(folder: Path) -> bool:
    """Say whether a baseline has chosen its prompt already."""
    return (folder / CHOICE).is_file()


def _zopo(
    settings: ZopoConfig,
    development: Any,
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    seed: int,
    console: Console,
) -> tuple[Prompt, float]:
    from paft.baselines.zopo import zopo
    from paft.engine.embed import SentenceEncoder, last_hidden_states

    conversations = [Conversation(prompt.text, prompt.system) for prompt in prompts]
    if settings.embeddings == "model":
        points = last_hidden_states(development.model, conversations)
    else:
        points = SentenceEncoder(settings.embeddings)(
            ["\n".join(filter(None, (c.system, c.user))) for c in conversations]
        )
    with console.progress("choosing zopo", min(settings.budget, len(prompts))) as tick:

        def accuracy(point: int) -> float:
            outcome = development.evaluate(prompts[point], examples)
            tick(1, f"{outcome.accuracy:.0%}", earlier=outcome.earlier)
            return outcome.accuracy

        found = zopo(accuracy, points, budget=settings.budget, initial=settings.initial, seed=seed)
    return prompts[found.best], found.values[found.best]


def _spent(choice: Choice) -> dict[str, float]:
    return {key: value for key, value in asdict(choice).items() if key not in ("prompt", "accuracy")}
