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

    Among ``prompts``, only equal text is a repeat: what differs in format is another prompt to a model.
    """
    off = frozenset(off)
    examples = list(examples)
    passages = []
    if task.labels is None and "answer-leak" not in off:
        answers = ((text, e.id) for e in examples for text in _right_answers(task, e))
        passages.append(_Passages("answer-leak", "answer", answers))
    if "copied-example" not in off:
        fields = ((text, e.id) for e in examples for text in e.fields.values())
        passages.append(_Passages("copied-example", "text", fields))
    wordings = Wordings(task.aliases)
    kept: list[Prompt] = []
    others = list(known)
    encoded = [wordings.encode(prompt) for prompt in others]
    out: list[Screened] = []
    known_words = {normalised(prompt, task.aliases): prompt for prompt in others}
    seen: dict[tuple[str, str], Prompt] = {}
    for prompt in prompts:
        key, code = identity(prompt, task.aliases), wordings.encode(prompt)
        fault = defect(prompt, task, off)
        fault = fault or next(filter(None, (passage.fault(prompt) for passage in passages)), None)
        if fault is None and key in seen:
            fault = ("repeat", f"is the text of prompt {seen[key].id}")
        if fault is None and (same := known_words.get(normalised(prompt, task.aliases))):
            fault = ("repeat", f"repeats prompt {same.id} up to case, spacing and punctuation")
        if fault is None and "near-duplicate" not in off and (near := most_similar(code, encoded, near_duplicate)):
            fault = ("near-duplicate", _nearness(near[1], code == encoded[near[0]], others[near[0]]))
        if fault is not None:
            out.append(Screened(prompt, *fault))
        else:
            seen[key] = prompt
            kept.append(prompt)
            others.append(prompt)
            encoded.append(code)
    return kept, out


def _nearness(similarity: float, has_same_words: bool, other: Prompt) -> str:
    if has_same_words:
        return (
            f"has the words of prompt {other.id} in another format; prompts.screen.off: [near-duplicate] keeps it"
        )
    return f"shares {similarity:.0%} of its words, in order, with prompt {other.id}"


def _right_answers(task: Task, example: Example) -> tuple[str, ...]:
    """Return the texts that are right: the option itself, also where its letter is the answer."""
    return task.targets(example) if example.target is None else (example.options[example.target],)


def overlap(train: Iterable[Prompt], test: Iterable[Prompt], task: Task) -> list[tuple[Prompt, Prompt]]:
    """Return the pairs ``(training prompt, test prompt)`` equal up to case, spacing and punctuation."""
    known = {normalised(prompt, task.aliases): prompt for prompt in train}
    return [(known[key], prompt) for prompt in test if (key := normalised(prompt, task.aliases)) in known]


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
