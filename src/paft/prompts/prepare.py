"""Load and screen the prompt sets of a run, and check that they are disjoint."""

from dataclasses import dataclass

from paft.config.schema import PromptsConfig
from paft.errors import UserError
from paft.prompts.files import load_prompts
from paft.prompts.rules import WORDING, check_rules, defect
from paft.prompts.screen import Screened, counts, overlap, screen
from paft.tasks.task import Task
from paft.types import Example, Prompt

_USERS = frozenset(("user", "batprompt"))
"""Methods that begin with the user's prompt; the others, but for the base model, with the training prompts."""


def _drawing(methods: list[str]) -> bool:
    return any(method not in _USERS and method != "base" for method in methods)


@dataclass(frozen=True)
class PromptSets:
    """The prompts of a run, and what was screened out of them as ``(split, screened)``."""

    train: list[Prompt]
    test: list[Prompt]
    user: Prompt | None
    screened: list[tuple[str, Screened]]

    def trained_on(self, method: str) -> list[Prompt]:
        """Return the prompts that a method is trained on, or chooses the one from; the base model has none."""
        if method in _USERS:
            return [self.user] if self.user else []
        return [] if method == "base" else self.train

    def notes(self) -> list[str]:
        """Return one line for each split that lost prompts."""
        lines = []
        for split in ("train", "test"):
            left_out = [s for where, s in self.screened if where == split]
            if left_out:
                first = left_out[0]
                lines.append(
                    f"{len(left_out)} {split} prompt(s) screened out ({counts(left_out)}); "
                    f"the first, {first.prompt.id}: {first.reason}"
                )
        return lines


def prepare_prompts(
    config: PromptsConfig, task: Task, examples: list[Example], methods: list[str], seed: int
) -> PromptSets:
    """Load the prompts that the methods need, leave out the defective ones, refuse leakage.

    Args:
        examples: a prompt that holds the answer of one of them is left out.

    Raises:
        UserError: prompts are missing, none is left, or a test prompt is a training prompt or the user's.
    """
    check_rules(config.screen.off)
    train, train_out = fit_prompts(config, "train", task, examples, seed) if _drawing(methods) else ([], [])
    test, test_out = fit_prompts(config, "test", task, examples, seed)
    user = check_user_prompt(config, task, methods)
    for name, known in (
        ("training prompt", _seen(config, seed)),
        ("prompt of the method user", user_prompts(config)),
    ):
        if shared := overlap(known, test, task):
            raise UserError(
                f"config key prompts.test: {len(shared)} test prompt(s) repeat a {name} up to case, spacing and "
                f"punctuation (first: test prompt {shared[0][1].id}); test prompts must be unseen, remove them"
            )
    screened = [("train", s) for s in train_out] + [("test", s) for s in test_out]
    return PromptSets(train, test, user, screened)


def _seen(config: PromptsConfig, seed: int) -> list[Prompt]:
    """Return the training prompts that the config names, also where no method of this run trains on them."""
    return load_prompts(config.train, "train", seed) if config.train else []


def user_prompts(config: PromptsConfig) -> list[Prompt]:
    """Return the prompt that the user wrote, if there is one."""
    return [Prompt(config.user.text, config.user.system or None, source="user")] if config.user else []


def fit_prompts(
    config: PromptsConfig, split: str, task: Task, examples: list[Example], seed: int
) -> tuple[list[Prompt], list[Screened]]:
    """Return the prompts of ``train`` or ``test`` that fit the task, and those that are left out.

    Raises:
        UserError: the key is missing, or none fits.
    """
    source = getattr(config, split)
    if source is None:
        raise UserError(f"config key prompts.{split} is missing")
    off = WORDING | set(config.screen.off)
    kept, out = screen(load_prompts(source, split, seed), task, examples, off=off)
    if not kept:
        raise UserError(
            f"config key prompts.{split}: none of the {len(out)} prompts fits the task {task.name!r} "
            f"({counts(out)}); the first: {out[0].reason}; fix them, or see prompts.screen.off"
        )
    return kept, out


def check_user_prompt(config: PromptsConfig, task: Task, methods: list[str]) -> Prompt | None:
    """Return the prompt that the user wrote where a method begins with it, else None.

    Raises:
        UserError: it is missing or does not fit the task.
    """
    if not _USERS.intersection(methods):
        return None
    if config.user is None:
        raise UserError(
            "config key prompts.user is missing: the method 'user' trains on it, 'batprompt' begins with it"
        )
    [prompt] = user_prompts(config)
    if fault := defect(prompt, task, WORDING | set(config.screen.off)):
        raise UserError(f"config key prompts.user: {fault[1]}; fix it, or see prompts.screen.off")
    return prompt
