"""BATprompt (arXiv 2412.18196): perturb inputs until the prompt fails, then rewrite the prompt to withstand that.

A language model drives both halves. Scores are the base model's, on training examples only.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rapidfuzz.distance import Levenshtein

from paft.methods.batprompt.method import BatPrompt
from paft.methods.batprompt.perturb import PERTURBATIONS, Perturbation
from paft.methods.evaluator import PromptEvaluator
from paft.models.cached_client import CachedClient
from paft.prompts.instruct import SCHEMA as PROMPTS
from paft.prompts.instruct import json_form, requirements, whole
from paft.prompts.parse import prompts_in, texts_in
from paft.prompts.screen import screen
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console

SAME_LETTERS, SAME_MEANING = 0.6, 0.8
"""Normalised Levenshtein similarity, and cosine of sentence embeddings, that a perturbed text must exceed."""

VARIANTS = {
    "type": "object",
    "properties": {"variants": {"type": "array", "items": {"type": "string"}}},
    "required": ["variants"],
    "additionalProperties": False,
}
TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}

Meaning = Callable[[str, Sequence[str]], list[float]]
"""Cosines of the sentence embeddings of a text and others."""


@dataclass(frozen=True)
class Pair:
    """An example before and after an attack."""

    perturbation: Perturbation
    clean: Example
    perturbed: Example


class BATprompt:
    """One search.

    Args:
        client: the language model that perturbs inputs and rewrites prompts.
        meaning: how similar texts are in meaning.
        is_trainable: whether the base model could be trained with a prompt.

    Attributes:
        rewrites: prompts that the language model wrote and that were tried.
        screened_out: prompts that it wrote and that do not fit the task, or repeat one.
    """

    def __init__(
        self,
        evaluator: PromptEvaluator,
        client: CachedClient,
        meaning: Meaning,
        is_trainable: Callable[[Prompt], bool],
        settings: BatPrompt,
        *,
        seed: int,
        console: Console,
    ):
        self.evaluator, self.client, self.settings = evaluator, client, settings
        self.meaning, self.is_trainable = meaning, is_trainable
        self.rewrites = self.screened_out = 0
        self.task: Task = evaluator.task
        self.seed, self.console = seed, console
        self.field = self.task.fields[-1]
        """The field that is perturbed: the last one, which is the question where there is also a text."""

    def search(self, prompt: Prompt, examples: Sequence[Example]) -> tuple[Prompt, float]:
        """Return the prompt that withstands best, and its accuracy on the perturbed examples."""
        drawn = random.Random(f"batprompt:{self.seed}").sample(
            examples, min(self.settings.examples, len(examples))
        )
        with self.console.progress("batprompt: attacking", len(PERTURBATIONS)) as tick:
            pairs = []
            for perturbation in PERTURBATIONS:
                pairs += self.attack(prompt, perturbation, drawn)
                tick(1, perturbation.name)
        scores = {prompt: self.score(prompt, pairs)}
        best = prompt
        with self.console.progress("batprompt: rewriting", self.settings.rounds) as tick:
            for number in range(self.settings.rounds):
                for candidate in self.candidates(best, pairs, list(scores), number):
                    scores[candidate] = self.score(candidate, pairs)
                best = max(scores, key=scores.__getitem__)  # the first of equals
                tick(1, f"best {scores[best]:.0%}")
        return best, scores[best]

    def attack(self, prompt: Prompt, perturbation: Perturbation, examples: Sequence[Example]) -> list[Pair]:
        """Perturb each example for a few rounds, keeping of the close variants the one that hurts most."""
        current = {example.id: example for example in examples}
        for number in range(self.settings.attacks):
            for example, texts in zip(
                examples, self._variants(perturbation, list(current.values()), number), strict=True
            ):
                close = self._close(perturbation, example.fields[self.field], texts)
                variants = [_with(example, self.field, text) for text in close]
                if current[example.id] is not example:
                    variants.append(current[example.id])
                if variants:
                    right = self.evaluator.evaluate(prompt, variants).right
                    current[example.id] = variants[right.index(min(right))]
        return [Pair(perturbation, example, current[example.id]) for example in examples]

    def score(self, prompt: Prompt, pairs: Sequence[Pair]) -> float:
        """Return the accuracy on the perturbed examples."""
        return self.evaluator.evaluate(prompt, [pair.perturbed for pair in pairs]).accuracy

    def candidates(
        self, prompt: Prompt, pairs: Sequence[Pair], known: Sequence[Prompt], number: int
    ) -> list[Prompt]:
        """Rewrite a prompt by the differences, their one cause, and what withstands it; then paraphrase."""
        [differences] = self._texts(_differences(self._shown(pairs), prompt), number)
        [cause] = self._texts(_cause(differences), number)
        rewrites = self.settings.rewrites
        versions = [f"This is version {i + 1} of {rewrites}." for i in range(rewrites)]
        written = self._prompts([_rewrite(self.task, prompt, cause, version) for version in versions], number)
        written += self._prompts([_paraphrase(self.task, prompt) for prompt in written], number)
        kept, _ = screen(
            written, self.task, [pair.clean for pair in pairs], known=known, off=(), near_duplicate=1.0
        )
        kept = [candidate for candidate in kept if self.is_trainable(candidate)]
        self.rewrites += len(kept)
        self.screened_out += len(written) - len(kept)
        return kept

    def _variants(self, perturbation: Perturbation, examples: Sequence[Example], number: int) -> list[list[str]]:
        """Return for each example a few variants of its text."""
        texts = [example.fields[self.field] for example in examples]
        if rule := perturbation.rule:
            return [
                [
                    rule(text, random.Random(f"{self.seed}:{perturbation.code}:{number}:{i}:{text}"))
                    for i in range(self.settings.variants)
                ]
                for text in texts
            ]
        questions = [_perturb(perturbation, self.task, text, self.settings.variants) for text in texts]
        answers = self.client.ask(questions, VARIANTS, again=number)
        return [texts_in(answer, most=self.settings.variants) for answer in answers]

    def _close(self, perturbation: Perturbation, clean: str, texts: Sequence[str]) -> list[str]:
        """Return the variants that still mean what the clean text means."""
        texts = [text for text in texts if text and text != clean]
        if perturbation.characters:
            similarity = [Levenshtein.normalized_similarity(clean, text) for text in texts]
            return [text for text, value in zip(texts, similarity, strict=True) if value > SAME_LETTERS]
        similarity = self.meaning(clean, texts) if texts else []
        return [text for text, value in zip(texts, similarity, strict=True) if value > SAME_MEANING]

    def _shown(self, pairs: Sequence[Pair]) -> str:
        lines = []
        for perturbation in PERTURBATIONS:
            of_type = [
                pair for pair in pairs if pair.perturbation is perturbation and pair.perturbed is not pair.clean
            ]
            lines += [
                f"- before: {pair.clean.fields[self.field][:300]!r}\n"
                f"  after: {pair.perturbed.fields[self.field][:300]!r}"
                for pair in of_type[: self.settings.pairs]
            ]
        return "\n".join(lines) or "- (none)"

    def _texts(self, question: str, number: int) -> list[str]:
        [answer] = self.client.ask([question], TEXT, again=number)
        return [" ".join(texts_in(answer, most=50))[:2000]]

    def _prompts(self, questions: Sequence[str], number: int) -> list[Prompt]:
        answers = self.client.ask(questions, PROMPTS, again=number)
        parsed = [prompts_in(answer, most=1) for answer in answers]
        return [
            replace(prompt, source="batprompt", model=self.client.client.name, strategy=f"round {number + 1}")
            for prompts in parsed
            for prompt in prompts
        ]


def _with(example: Example, field: str, text: str) -> Example:
    return replace(example, fields={**example.fields, field: text})


def _perturb(perturbation: Perturbation, task: Task, text: str, count: int) -> str:
    return "\n\n".join(
        (
            f"Here is an input of a task ({task.description or task.name}):\n\n{text}",
            f"Write {count} variants of it. {perturbation.instruction} A person must still read the same in "
            "it, but choose the changes that are most likely to make a language model answer wrongly.",
            'Answer with JSON alone: {"variants": ["...", "..."]}.',
        )
    )


def _differences(shown: str, prompt: Prompt) -> str:
    return "\n\n".join(
        (
            f"A language model is given inputs by this prompt:\n\n{whole(prompt)}",
            f"It does worse when an input is perturbed. Inputs before and after:\n\n{shown}",
            "Describe in a few sentences how the perturbed inputs differ from the clean ones.",
            'Answer with JSON alone: {"text": "..."}.',
        )
    )


def _cause(differences: str) -> str:
    return "\n\n".join(
        (
            f"Perturbed inputs differ from clean ones like this:\n\n{differences}",
            "Say in one sentence the one cause by which this makes a language model fail.",
            'Answer with JSON alone: {"text": "..."}.',
        )
    )


def _rewrite(task: Task, prompt: Prompt, cause: str, version: str) -> str:
    return "\n\n".join(
        (
            f"This prompt template asks a language model to do a task:\n\n{whole(prompt)}",
            f"It fails on some inputs because of this: {cause}",
            f"Improve the template, so that the model answers such inputs rightly too. {version}",
            *requirements(task),
            json_form(task),
        )
    )


def _paraphrase(task: Task, prompt: Prompt) -> str:
    return "\n\n".join(
        (
            f"Say this prompt template in other words, without changing what it asks:\n\n{whole(prompt)}",
            *requirements(task),
            json_form(task),
        )
    )
