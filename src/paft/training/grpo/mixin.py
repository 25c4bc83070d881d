"""Dynamic prompts for TRL's GRPOTrainer: all answers of a group are to the same rendered prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset

from paft.errors import UserError
from paft.prompts.template import render
from paft.scoring import Scorer
from paft.scoring.registry import make_scorers
from paft.scoring.run_on import judged_part
from paft.training.data import PromptData
from paft.training.grpo.parts import group_sampler
from paft.training.samplers import draw_prompts
from paft.types import Conversation, Example, Prompt

ROW = "paft_row"
"""The column with the place of each row's example."""

PROMPT = "paft_prompt"
"""The column with the id of the prompt that was drawn for a row."""

OWN_COLUMNS = (ROW, PROMPT, "prompt", "prompts", "completions", "completion_ids", "target", "targets", "options")
"""What a reward function gets beside the example's fields."""


class DynamicPromptGroups:
    """Mixin: ``class PaftGRPOTrainer(DynamicPromptGroups, GRPOTrainer): ...``.

    The sampler draws the prompt of each example once for each generation. TRL forms its groups by place, over
    gradient accumulation and processes, and with vLLM's server asks once for each group; so every row of a group
    gets its prompt before TRL generates. Prompts are tokenised as the evaluation does. Everything else is TRL's.

    Args:
        args: TRL's ``GRPOConfig``.
        data: the model, examples, prompts and sampler (:func:`~paft.training.trainer.prompt_data`).
        reward_funcs: as TRL takes them; the task's own scorer when left out. A function gets the example's fields,
            ``target``, ``targets`` and ``options`` as columns, and completions as lists of messages.
        kwargs: anything else that the trainer takes, except a model and a data set. There is no evaluation during
            training (measure with ``paft evaluate``).

    Attributes:
        drawn: the examples of the last generation's groups with their prompts, over all processes.

    Raises:
        UserError: a setting does not fit.
    """

    args: Any
    state: Any

    def __init__(self, args: Any, data: PromptData, reward_funcs: Any = None, **kwargs: Any) -> None:
        if data.group_by is not None:
            raise UserError("group_by: TRL's GRPOTrainer has an order of its own; leave it out")
        if data.objective != "cross-entropy" or data.prompt_noise is not None:
            name = "prompt_noise" if data.prompt_noise is not None else "objective"
            raise UserError(f"{name}: GRPO has a loss of its own; leave it out")
        if args.steps_per_generation % args.gradient_accumulation_steps:
            raise UserError(
                f"steps_per_generation: {args.steps_per_generation} is no multiple of gradient_accumulation_steps "
                f"({args.gradient_accumulation_steps}); the prompts of a step are drawn once"
            )
        groups = args.generation_batch_size // args.num_generations
        if len(data.examples) < groups:
            raise UserError(
                f"a generation holds {groups} groups (generation_batch_size / num_generations), but there are "
                f"{len(data.examples)} examples"
            )
        if clash := [field for field in data.task.fields if field in OWN_COLUMNS]:
            raise UserError(f"the field {clash[0]!r} is what a reward function gets as {clash[0]}; rename it")
        self.prompt_data = data
        self.steps_per_draw = args.steps_per_generation // args.gradient_accumulation_steps * args.num_iterations
        self.prompt_sampler = group_sampler(
            data,
            steps_per_epoch=len(data.examples) // groups,  # TRL leaves an incomplete generation out
            examples_per_step=groups,
        )
        self.prompt_sampler.bind(_no_losses)
        self._known_prompts = frozenset((*data.prompts, *self.prompt_sampler.extra_prompts))
        self.drawn: list[tuple[Example, Prompt]] = []
        args.remove_unused_columns = False
        if reward_funcs is None:
            scorer = make_scorers(data.task.scorer, data.task)[0]
            reward_funcs = scorer_reward(scorer, data, {prompt.id: prompt for prompt in self._known_prompts})
        own = {"model": data.engine.model, "train_dataset": _rows(data), "reward_funcs": reward_funcs}
        super().__init__(args=args, **own, **kwargs)  # type: ignore[call-arg]

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Give each row of a generation the prompt of its group, then train as TRL does."""
        return super().training_step(model, self._with_prompts(inputs), *args, **kwargs)  # type: ignore[misc]

    def _with_prompts(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of this process with their prompts as messages.

        Rows of a group may be on several processes, so all of them draw for all groups.
        """
        data, size = self.prompt_data, self.args.num_generations
        own = [row[ROW] for row in rows]
        places = gather_object(own)
        groups = [places[start : start + size] for start in range(0, len(places), size)]
        assert all(len(set(group)) == 1 for group in groups), "TRL's groups are no longer formed by place"
        examples = [data.examples[group[0]] for group in groups]
        step = self.state.global_step // self.steps_per_draw
        prompts = draw_prompts(self.prompt_sampler, step, examples, self._known_prompts)
        self.drawn = list(zip(examples, prompts, strict=True))
        columns = {
            group[0]: {"prompt": _messages(render(prompt, data.task, example)), PROMPT: prompt.id}
            for group, (example, prompt) in zip(groups, self.drawn, strict=True)
        }
        return [{**row, **columns[place]} for row, place in zip(rows, own, strict=True)]

    def _tokenize_prompts(self, prompts: Sequence[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Return token ids as the evaluation has them, in place of those of TRL's own template."""
        return self.prompt_data.engine.format.prompts([_conversation(prompt) for prompt in prompts]), None, {}


def scorer_reward(scorer: Scorer, data: PromptData, prompts: Mapping[str, Prompt]) -> Any:
    """Return a scorer as a reward function of TRL, for rows that :class:`DynamicPromptGroups` makes.

    It judges what the evaluation would: not what a model writes after its answer, such as a next question.

    Args:
        prompts: those that may be drawn, by their ids.
    """

    def reward(completions: Sequence[Any], **columns: Any) -> list[float]:
        rewards = []
        for completion, row, drawn in zip(completions, columns[ROW], columns[PROMPT], strict=True):
            example = data.examples[row]
            text = judged_part(completion[0]["content"], prompts[drawn], data.task, example)
            rewards.append(scorer.score(text, example).value)
        return rewards

    reward.__name__ = scorer.name
    return reward


def _rows(data: PromptData) -> Dataset:
    """Return the examples as TRL's data set; the prompt is filled in when a generation begins."""
    columns: dict[str, list[Any]] = {
        name: [example.fields[name] for example in data.examples] for name in data.task.fields
    }
    targets = [list(data.task.targets(example)) for example in data.examples]
    columns |= {
        ROW: list(range(len(data.examples))),
        "prompt": [_messages(Conversation(""))] * len(data.examples),
        "target": [accepted[0] for accepted in targets],
        "targets": targets,
        "options": [list(example.options) for example in data.examples],
    }
    return Dataset.from_dict(columns)


def _messages(conversation: Conversation) -> list[dict[str, str]]:
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return [*system, {"role": "user", "content": conversation.user}]


def _conversation(messages: Sequence[Mapping[str, str]]) -> Conversation:
    contents = {message["role"]: message["content"] for message in messages}
    return Conversation(contents["user"], contents.get("system"))


def _no_losses(prompts: Sequence[Prompt], examples: Sequence[Example]) -> list[list[float]]:
    raise UserError(
        "the sampler asks for losses of the right answers, which TRL's GRPOTrainer does not compute; use another, "
        "such as uniform, mixed or dropout"
    )
