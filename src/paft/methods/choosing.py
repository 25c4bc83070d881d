"""The baselines in a run: what each is handed of it. Test prompts and test examples are not among it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paft.config.schema import BaselinesConfig, EvaluationConfig
from paft.errors import UserError
from paft.methods.choice import CHOICE, Choice, SearchResult, choose
from paft.models.locate import locate
from paft.models.open import language_models
from paft.tasks.load import subset
from paft.tasks.task import Task
from paft.types import Conversation, Example, Prompt
from paft.utils.console import Console

if TYPE_CHECKING:
    from paft.methods.evaluator import PromptEvaluator  # loads torch


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


@dataclass(frozen=True)
class MethodContext:
    """What a baseline is handed.

    Attributes:
        development: the base model, asked on training examples.
        prompts: training prompts; for batprompt the one it begins with.
        examples: training examples.
        fits: whether the method could be trained under a prompt: no training example is too long with it.
    """

    settings: BaselinesConfig
    development: "PromptEvaluator"
    prompts: Sequence[Prompt]
    examples: Sequence[Example]
    fits: Callable[[Prompt], bool]
    folder: Path
    seed: int
    console: Console

    def drawn(self, count: int) -> list[Example]:
        """Return so many of the examples, drawn with the seed."""
        return subset(list(self.examples), count, self.seed)


def chosen(
    method: str,
    settings: BaselinesConfig,
    engine: Any,
    task: Task,
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    folder: Path,
    *,
    fits: Callable[[Prompt], bool],
    evaluation: EvaluationConfig,
    seed: int,
    console: Console,
) -> Prompt:
    """Return the prompt that a baseline has chosen, or let it choose now.

    Args:
        engine: the base model's; needed where nothing has been chosen yet.
        prompts, examples, fits: see :class:`MethodContext`.
        evaluation: how the model is asked.
    """

    def search() -> SearchResult:
        from paft.methods.evaluator import PromptEvaluator

        development = PromptEvaluator(
            engine,
            task,
            mode=evaluation.mode,
            max_new_tokens=evaluation.max_new_tokens,
            log=folder / "evaluations.jsonl",
        )
        return BASELINES[method](
            MethodContext(settings, development, prompts, examples, fits, folder, seed, console)
        )

    choice = choose(folder, search)
    spent = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in _spent(choice).items() if v)
    console.say(f"{method} chose prompt {choice.prompt.id} ({choice.accuracy:.0%} of its examples): {spent}")
    return choice.prompt


def has_chosen(folder: Path) -> bool:
    """Say whether a baseline has chosen its prompt already."""
    return (folder / CHOICE).is_file()


def _top_accuracy(given: MethodContext) -> SearchResult:
    from paft.methods.top_accuracy import top_accuracy

    examples = given.drawn(given.settings.top_accuracy.examples)
    return *top_accuracy(given.development, given.prompts, examples, given.console), [given.development.budget()]


def _zopo(given: MethodContext) -> SearchResult:
    from paft.methods.zopo import zopo
    from paft.models.encoder import SentenceEncoder, last_hidden_states

    settings, prompts, development = given.settings.zopo, given.prompts, given.development
    started = time.perf_counter()
    conversations = [Conversation(prompt.text, prompt.system) for prompt in prompts]
    if settings.embeddings == "model":
        points = last_hidden_states(development.model, conversations)
    else:
        points = SentenceEncoder(settings.embeddings, _device(development.model))(
            ["\n".join(filter(None, (c.system, c.user))) for c in conversations]
        )
    embedding = {"seconds": round(time.perf_counter() - started, 3)}
    examples = given.drawn(settings.examples)
    with given.console.progress("choosing zopo", min(settings.budget, len(prompts))) as tick:

        def accuracy(point: int) -> float:
            outcome = development.evaluate(prompts[point], examples)
            tick(1, f"{outcome.accuracy:.0%}", earlier=outcome.earlier)
            return outcome.accuracy

        found = zopo(accuracy, points, budget=settings.budget, initial=settings.initial, seed=given.seed)
    return prompts[found.best], found.values[found.best], [development.budget(), embedding]


def _batprompt(given: MethodContext) -> SearchResult:
    from paft.methods.batprompt.search import BATprompt
    from paft.models.cached_client import CachedClient
    from paft.models.encoder import SentenceEncoder

    settings, seed = given.settings.batprompt, given.seed
    assert settings.llm is not None
    [client] = language_models([settings.llm], "baselines.batprompt.llm", given.console).values()
    asker = CachedClient(client, given.folder / "answers.jsonl", max_tokens=settings.max_tokens, seed=seed)
    alike = SentenceEncoder(settings.encoder, _device(given.development.model)).alike
    search = BATprompt(given.development, asker, alike, given.fits, settings, seed=seed, console=given.console)
    found = search.search(given.prompts[0], list(given.examples))
    if not search.rewrites:
        given.console.say(
            f"batprompt: {client.name} wrote no prompt that fits the task; the user's prompt is kept"
        )
    written = {"rewrites": search.rewrites, "screened_out": search.screened_out}
    return *found, [given.development.budget(), asker.budget(), written]


BASELINES: dict[str, Callable[[MethodContext], SearchResult]] = {
    "top-accuracy": _top_accuracy,
    "batprompt": _batprompt,
    "zopo": _zopo,
}
"""The methods that choose a prompt before they train on it."""


def _device(engine: Any) -> Any:
    """Return the device of the model that is fine-tuned; it is always in this process."""
    return engine.model.device


def _spent(choice: Choice) -> dict[str, float]:
    return {key: value for key, value in asdict(choice).items() if key not in ("prompt", "accuracy")}
