"""Screen prompts for a task; each prompt that is left out has the rule it breaks and the reason in words."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from paft.prompts.rules import WORDING, defect, normalised, words
from paft.prompts.similarity import Wordings, most_similar
from paft.prompts.template import identity, literal
from paft.tasks.task import Task
from paft.types import Example, Prompt


@dataclass(frozen=True)
class Screened:
    """A prompt that was left out, the name of the rule and the reason."""

    prompt: Prompt
    rule: str
    reason: str


def screen(
    prompts: Iterable[Prompt],
    task: Task,
    examples: Iterable[Example] = (),
    *,
    off: Iterable[str] = WORDING,
    near_duplicate: float = 0.9,
    known: Iterable[Prompt] = (),
) -> tuple[list[Prompt], list[Screened]]:
    """Split prompts into those that fit the task and those that do not, both in their order.

    Args:
        examples: a prompt that holds the right option of an example word for word leaks an answer; one that holds
            a field of an example always asks about that example.
        off: rules that are not checked; by default those on wording, which do not apply to a user's own file.
        near_duplicate: the similarity (:class:`paft.prompts.similarity.Wordings`) from which on a prompt counts as
            a near-duplicate.
        known: prompts that none may repeat, not even up to case, spacing and punctuation, or nearly repeat.

    Among ``prompts``, only equal text is a repeat: what differs in format alone is another prompt to a model, and
    no near-duplicate either.
    """
    off = frozenset(off)
    passages = _passages(task, list(examples), off)
    earlier = _Earlier(task, known, None if "near-duplicate" in off else near_duplicate)
    kept: list[Prompt] = []
    out: list[Screened] = []
    for prompt in prompts:
        fault = defect(prompt, task, off)
        fault = fault or next(filter(None, (passage.fault(prompt) for passage in passages)), None)
        fault = fault or earlier.fault(prompt)
        if fault is not None:
            out.append(Screened(prompt, *fault))
        else:
            kept.append(prompt)
            earlier.add(prompt)
    return kept, out


class _Earlier:
    """The prompts that another one must not repeat.

    Args:
        known: prompts that none may repeat, up to case, spacing and punctuation.
        near: the similarity from which on a prompt is a near-duplicate; None where that is not checked.
    """

    def __init__(self, task: Task, known: Iterable[Prompt], near: float | None):
        self.aliases, self.near = task.aliases, near
        self.wordings = Wordings(task.aliases)
        self.prompts = list(known)
        self.encoded = [self.wordings.encode(prompt) for prompt in self.prompts]
        self.known = {normalised(prompt, task.aliases): prompt for prompt in self.prompts}
        self.texts: dict[tuple[str, str], Prompt] = {}

    def add(self, prompt: Prompt) -> None:
        self.texts[identity(prompt, self.aliases)] = prompt
        self.prompts.append(prompt)
        self.encoded.append(self.wordings.encode(prompt))

    def fault(self, prompt: Prompt) -> tuple[str, str] | None:
        """Return rule and reason if the prompt repeats one."""
        if same := self.texts.get(identity(prompt, self.aliases)):
            return "repeat", f"is the text of prompt {same.id}"
        if same := self.known.get(normalised(prompt, self.aliases)):
            return "repeat", f"repeats prompt {same.id} up to case, spacing and punctuation"
        if self.near is None:
            return None
        code = self.wordings.encode(prompt)
        if not (near := most_similar(code, self.encoded, self.near)):
            return None
        if code == self.encoded[near[0]]:
            return None  # the same words in another format; what else that prompt is like was looked at then
        other = self.prompts[near[0]].id
        return "near-duplicate", f"shares {near[1]:.0%} of its words, in order, with prompt {other}"


def _right_answers(task: Task, example: Example) -> tuple[str, ...]:
    """Return the texts that are right: the option itself, also where its letter is the answer."""
    return task.targets(example) if example.target is None else (example.options[example.target],)


def overlap(train: Iterable[Prompt], test: Iterable[Prompt], task: Task) -> list[tuple[Prompt, Prompt]]:
    """Return the pairs ``(training prompt, test prompt)`` equal up to case, spacing and punctuation."""
    known = {normalised(prompt, task.aliases): prompt for prompt in train}
    return [(known[key], prompt) for prompt in test if (key := normalised(prompt, task.aliases)) in known]


def _passages(task: Task, examples: list[Example], off: frozenset[str]) -> "list[_Passages]":
    """Return the texts of the examples that a prompt must not hold."""
    passages = []
    if task.labels is None and "answer-leak" not in off:
        answers = ((text, e.id) for e in examples for text in _right_answers(task, e))
        passages.append(_Passages("answer-leak", "answer", answers))
    if "copied-example" not in off:
        fields = ((text, e.id) for e in examples for text in e.fields.values())
        passages.append(_Passages("copied-example", "text", fields))
    return passages


class _Passages:
    """Texts of examples that are too long to be in a prompt by chance, found by their first words."""

    WORDS = 6

    def __init__(self, rule: str, what: str, texts: Iterable[tuple[str, str]]) -> None:
        self.rule, self.what = rule, what
        self.by_start: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for text, example in texts:
            plain = words(text)
            if plain.count(" ") >= self.WORDS - 1:
                self.by_start.setdefault(tuple(plain.split()[: self.WORDS]), []).append((plain, example))

    def fault(self, prompt: Prompt) -> tuple[str, str] | None:
        """Return rule and reason if the prompt holds one of the texts."""
        held = words(literal(prompt))
        start = held.split()
        for i in range(len(start) - self.WORDS + 1):
            for text, example in self.by_start.get(tuple(start[i : i + self.WORDS]), ()):
                if f" {text} " in f" {held} ":
                    return self.rule, f"holds the {self.what} of example {example}"
        return None


def counts(screened: Iterable[Screened]) -> str:
    """Return ``3 answer-leak, 1 repeat``."""
    return ", ".join(f"{n} {rule}" for rule, n in Counter(s.rule for s in screened).most_common())
