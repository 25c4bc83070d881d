"""The prompt sets of a run: loaded, screened, and checked to be disjoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paft.config.schema import GenerateSource, PromptsConfig
from paft.errors import UserError
from paft.prompts.files import load_prompts
from paft.prompts.rules import WORDING, check_rules, defect
from paft.prompts.screen import Screened, counts, overlap, screen
from paft.prompts.template import with_line_ends
from paft.tasks.task import Task
from paft.types import Example, Prompt

Starts = Mapping[str, Sequence[str]]
"""What methods start from, ``prompts.train`` or ``prompts.user``, with the names of the methods that do."""


@dataclass(frozen=True)
class PromptSets:
    """The prompts of a run, and what was screened out of them as ``(split, screened)``."""

    train: list[Prompt]
    test: list[Prompt]
    user: Prompt | None
    screened: list[tuple[str, Screened]]

    @property
    def named(self) -> list[Prompt]:
        """All prompts that a method may be trained on."""
        return self.train + ([self.user] if self.user else [])

    def of_key(self, key: str | None) -> list[Prompt]:
        """Return the prompts of ``prompts.train`` or ``prompts.user``; none for None."""
        if key == "prompts.user":
            return [self.user] if self.user else []
        return self.train if key == "prompts.train" else []

    def notes(self) -> list[str]:
        """Return one line for each split that lost prompts, or has prompts with written line ends."""
        lines = []
        for split, prompts in (("train", self.train), ("test", self.test)):
            left_out = [s for where, s in self.screened if where == split]
            if left_out:
                first = left_out[0]
                lines.append(
                    f"{len(left_out)} {split} prompt(s) screened out ({counts(left_out)}); "
                    f"the first, {first.prompt.id}: {first.reason}"
                )
            if written := [prompt for prompt in prompts if with_line_ends(prompt.text) != prompt.text]:
                lines.append(
                    f"{len(written)} {split} prompt(s) hold a backslash and an n where a line end may be meant "
                    f"(the first, {written[0].id}), and the model sees both; `paft prompts import` makes line ends"
                )
        return lines


def prepare_prompts(
    config: PromptsConfig, task: Task, examples: list[Example], starts: Starts, seed: int
) -> PromptSets:
    """Load the prompts that the methods need, leave out the defective ones, refuse leakage.

    Training prompts that no method of this run starts from are loaded too where something is trained: an example
    that is too long under one of them is left out for all methods, so a method can be added later.

    Args:
        examples: a prompt that holds the answer to one of them is left out.
        starts: what the methods of the run start from; empty where nothing is trained.

    Raises:
        UserError: prompts are missing, none is left, or a test prompt is a training prompt or the user's.
    """
    check_rules(config.screen.off)
    train: list[Prompt] = []
    train_out: list[Screened] = []
    if "prompts.train" in starts:
        train, train_out = fit_prompts(config, "train", task, examples, seed)
    elif starts and config.train and not isinstance(config.train, GenerateSource):
        train, train_out = _screened(config, "train", task, examples, seed)
    test, test_out = fit_prompts(config, "test", task, examples, seed)
    user = check_user_prompt(config, task, starts)
    named = load_prompts(config.train, "train", seed) if config.train else []
    for name, known in (("training prompt", named), ("user's prompt (prompts.user)", user_prompts(config))):
        if shared := overlap(known, test, task):
            raise UserError(
                f"config key prompts.test: {len(shared)} test prompt(s) repeat a {name} up to case, spacing and "
                f"punctuation (first: test prompt {shared[0][1].id}); test prompts must be unseen, remove them"
            )
    screened = [("train", s) for s in train_out] + [("test", s) for s in test_out]
    return PromptSets(train, test, user, screened)


def user_prompts(config: PromptsConfig) -> list[Prompt]:
    """Return the prompt that the user wrote, if there is one."""
    return [Prompt(config.user.text, config.user.system or None, source="user")] if config.user else []


def fit_prompts(
    config: PromptsConfig, split: str, task: Task, examples: list[Example], seed: int
) -> tuple[list[Prompt], list[Screened]]:
    """Return the prompts of ``train`` or ``test`` that fit the task, and those that are left out.

    Raises:
        UserError: the key is missing, or no prompt fits.
    """
    if getattr(config, split) is None:
        raise UserError(f"config key prompts.{split} is missing")
    kept, out = _screened(config, split, task, examples, seed)
    if not kept:
        raise UserError(
            f"config key prompts.{split}: no prompt fits the task {task.name!r} ({counts(out)}); the first: "
            f"{out[0].reason}; fix it, or see prompts.screen.off"
        )
    return kept, out


def _screened(
    config: PromptsConfig, split: str, task: Task, examples: list[Example], seed: int
) -> tuple[list[Prompt], list[Screened]]:
    prompts = load_prompts(getattr(config, split), split, seed)
    return screen(prompts, task, examples, off=WORDING | set(config.screen.off))


def check_user_prompt(config: PromptsConfig, task: Task, starts: Starts) -> Prompt | None:
    """Return the prompt that the user wrote, if there is one.

    Raises:
        UserError: a method starts from it, and it is missing or does not fit the task.
    """
    if config.user is None:
        if methods := starts.get("prompts.user"):
            raise UserError(
                f"config key prompts.user is missing, and these methods start from it: {', '.join(methods)}; set "
                "it, or leave them out of methods"
            )
        return None
    [prompt] = user_prompts(config)
    if fault := defect(prompt, task, WORDING | set(config.screen.off)):
        if "prompts.user" in starts:
            raise UserError(f"config key prompts.user: {fault[1]}; fix it, or see prompts.screen.off")
        return None
    return prompt
