"""BATprompt as a method: the language model that drives it, and its settings."""

from typing import Annotated, ClassVar

from pydantic import Field

from paft.config.model import LlmConfig
from paft.config.schema import Positive
from paft.errors import UserError
from paft.methods.method import MethodContext, PromptsKey
from paft.methods.search import SearchMethod, SearchResult
from paft.models.locate import locate
from paft.utils.console import Console


class BatPrompt(SearchMethod):
    """Fine-tuning on the user's prompt as BATprompt rewrites it; the default numbers are its paper's."""

    prompts_key: ClassVar[PromptsKey | None] = "prompts.user"

    llm: LlmConfig | None = None
    """The language model that perturbs inputs and rewrites the prompt."""
    encoder: str = "embedded/all-minilm-l6-v2"
    """The sentence encoder that tells whether a perturbed input still has the same meaning."""
    pairs: Positive = 5
    """Perturbed inputs of each type that the language model is shown."""
    examples: Positive = 20
    """Training examples, each perturbed in nine ways, that a prompt is scored on."""
    attacks: Positive = 3
    """Rounds in which a text is perturbed further."""
    variants: Positive = 5
    """Variants of a text in each of these rounds."""
    rounds: Positive = 5
    """Rounds in which the prompt is rewritten."""
    rewrites: Positive = 5
    """Rewrites of the prompt in each round; each is paraphrased once too."""
    max_tokens: Annotated[int, Field(ge=16)] = 1024
    """Longest answer of the language model."""

    def check(self, key: str, console: Console) -> None:
        """Refuse a missing language model, a missing key of its endpoint, or a missing encoder."""
        from paft.models.open import language_models

        if self.llm is None:
            raise UserError(
                f"config key {key}.llm is missing: a language model rewrites the prompt; set "
                "{model: NAME, base_url: URL, key: VARIABLE}, or {model: PATH} for one in this process"
            )
        language_models([self.llm], f"{key}.llm", console)
        locate(self.encoder, f"{key}.encoder")

    def search(self, context: MethodContext) -> SearchResult:
        """Rewrite the user's prompt until it withstands perturbed inputs."""
        from paft.methods.batprompt.search import BATprompt
        from paft.models.cached_client import CachedClient
        from paft.models.encoder import SentenceEncoder
        from paft.models.open import language_models

        assert self.llm is not None  # checked before anything ran
        [client] = language_models([self.llm], f"{context.key}.llm", context.console).values()
        log = context.folder / "answers.jsonl"
        cached = CachedClient(client, log, max_tokens=self.max_tokens, seed=context.seed)
        evaluator = context.evaluator()
        similar = SentenceEncoder(self.encoder, context.engine().model.device).alike
        search = BATprompt(
            evaluator, cached, similar, context.is_trainable, self, seed=context.seed, console=context.console
        )
        prompt, accuracy = search.search(context.prompts[0], list(context.examples))
        if not search.rewrites:
            context.console.say(
                f"{context.name}: {client.name} wrote no prompt that fits the task; the user's prompt is kept"
            )
        written = {"rewrites": search.rewrites, "screened_out": search.screened_out}
        return SearchResult.of(prompt, accuracy, evaluator.budget(), cached.budget(), written)
