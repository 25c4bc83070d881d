"""What answers are worth: by the task's scorer, or by a reward function of the user's own."""

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paft.errors import UserError, WorkError
from paft.scoring import PaidScorer, Scorer
from paft.scoring.run_on import judged_part
from paft.tasks.task import Task
from paft.training.grpo.rollout import SampledOutput
from paft.types import Conversation, Example, Prompt
from paft.utils.plugins import describe, keywords, load_object, place, required, source_file


@dataclass(frozen=True)
class RenderedExample:
    """An example under a prompt: the question that an output answers."""

    example: Example
    prompt: Prompt
    conversation: Conversation


@dataclass(frozen=True)
class Reward:
    """What an answer is worth.

    Attributes:
        is_parsed: an answer could be read from the output; True where a function gives the reward.
    """

    value: float
    is_parsed: bool = True


class RewardFunction(Protocol):
    """Judges answers."""

    def __call__(self, answers: Sequence[SampledOutput], questions: Sequence[RenderedExample]) -> list[Reward]:
        """Return the reward of each answer."""
        ...


class ScorerReward:
    """A scorer as the reward: what the evaluation would give the output."""

    def __init__(self, scorer: Scorer, task: Task):
        self.scorer, self.task = scorer, task

    def __call__(self, answers: Sequence[SampledOutput], questions: Sequence[RenderedExample]) -> list[Reward]:
        """Return the score of each answer."""
        rewards = []
        for answer, question in zip(answers, questions, strict=True):
            text = judged_part(answer.text, question.prompt, self.task, question.example)
            score = self.scorer.score(text, question.example)
            rewards.append(Reward(score.value, score.answer is not None))
        return rewards


class FunctionReward:
    """A function of TRL's form: ``f(completions, **columns) -> list[float]``.

    It is called with all answers of a step: the texts as ``completions``, their tokens as ``completion_ids``, what
    was asked as ``prompts``, each field of the example under its own name, the right answer as ``target``, every
    accepted answer as ``targets`` and the options as ``options``. A function without ``**kwargs`` gets only those
    that it takes.
    """

    COLUMNS = ("completions", "completion_ids", "prompts", "target", "targets", "options")

    def __init__(self, function: Callable[..., Any], name: str, task: Task, key: str):
        self.function, self.name, self.task = function, name, task
        self._takes = keywords(function)
        if clash := [field for field in task.fields if field in self.COLUMNS]:
            raise UserError(
                f"config key task.fields: {clash[0]!r} is what a reward function gets as {clash[0]}; rename the "
                "slot"
            )
        known = (*self.COLUMNS, *task.fields)
        if lacking := [name for name in required(function) if name not in known]:
            raise UserError(
                f"config key {key}: {name!r} needs the argument {lacking[0]!r}; paft passes {', '.join(known)}"
            )

    def __call__(self, answers: Sequence[SampledOutput], questions: Sequence[RenderedExample]) -> list[Reward]:
        """Return the function's values.

        Raises:
            WorkError: the function raised, or returned something else than a finite number for each answer.
        """
        examples = [question.example for question in questions]
        targets = [list(self.task.targets(example)) for example in examples]
        columns: dict[str, list[Any]] = {
            name: [example.fields[name] for example in examples] for name in self.task.fields
        }
        columns |= {
            "completions": [answer.text for answer in answers],
            "completion_ids": [answer.ids for answer in answers],
            "prompts": [question.conversation.user for question in questions],
            "target": [accepted[0] for accepted in targets],
            "targets": targets,
            "options": [list(example.options) for example in examples],
        }
        again = "fix it and run the same command again to resume"
        try:
            values = self.function(**{k: v for k, v in columns.items() if self._takes is None or k in self._takes})
            values = list(values)
        except Exception as error:  # a user's function raises whatever it raises
            raise WorkError(f"reward {self.name!r} failed: {describe(error)}{place(error)}; {again}") from error
        where = f"reward {self.name!r} ({source_file(self.function)})"
        if len(values) != len(answers):
            raise WorkError(f"{where} returned {len(values)} values for {len(answers)} completions; {again}")
        for value, answer in zip(values, answers, strict=True):
            if not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise WorkError(
                    f"{where} returned {value!r} for the completion {answer.text[:80]!r}, expected a finite "
                    f"number; {again}"
                )
        return [Reward(float(value)) for value in values]


def make_reward(setting: str | None, scorer: Scorer, task: Task, key: str) -> RewardFunction:
    """Return the reward of a setting.

    Args:
        setting: ``module:name`` of a function; None for the scorer.
        key: the config key of the setting, for messages.

    Raises:
        UserError: there is no such function, or it needs an argument that it does not get.
    """
    if setting is None:
        if isinstance(scorer, PaidScorer):
            raise UserError(
                f"config key {key}: the scorer {scorer.name!r} would ask a language model about every sampled "
                "answer; name a function (module:name) as the reward, or put another scorer first in task.scorer"
            )
        return ScorerReward(scorer, task)
    function = load_object(setting, key)
    if not callable(function) or isinstance(function, type):
        raise UserError(
            f"config key {key}: {setting!r} is {type(function).__name__}, expected a function f(completions, "
            "**columns) -> list[float]"
        )
    return FunctionReward(function, setting, task, key)
