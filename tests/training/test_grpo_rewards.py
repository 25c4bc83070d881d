"""The reward of an answer is the score that the evaluation gives the same output."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from paft.evaluation.grid import answer
from paft.models.fake import FakeModel
from paft.prompts.template import render
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.training.grpo.mixin import PROMPT, ROW, scorer_reward
from paft.training.grpo.rewards import RenderedExample, ScorerReward
from paft.training.grpo.rollout import SampledOutput
from paft.types import AnswerSettings, Example, Generation, Prompt

SHOTS = tuple(Example(str(i), {"message": f"shot {i}"}, targets=("blue",)) for i in range(2))
WITHOUT = Task("colours", ("message",), None, "text", 0.85, 0, scorer="exact")
TASKS = {0: WITHOUT, 1: replace(WITHOUT, shots=1, demonstrations=SHOTS)}
EXAMPLE = Example("9", {"message": "roses"}, targets=("red",))


class Writes(FakeModel):
    """Writes the same text to every question, line ends included."""

    def generate(self, conversations, max_new_tokens, stop=()):
        yield [Generation(self.answer(conversation), 9, "stop") for conversation in conversations]


@pytest.mark.parametrize(
    ("output", "shots", "score"),
    [
        ("red\n\nmessage: next", 1, 1.0),  # as the demonstrations of a prompt that cannot be repeated begin
        ("red\n\nmessage: next", 0, 0.0),
        ("red\nColour of: next", 0, 1.0),
        ("red\nNote: it is", 1, 0.0),
    ],
)
def test_a_run_on_is_left_out_of_the_reward_where_the_evaluation_leaves_it_out(output, shots, score):
    task, prompt = TASKS[shots], Prompt("Colour of: {message}")
    scorer = make_scorer("exact", task)
    [row] = answer(Writes(lambda c: output), task, [scorer], prompt, [EXAMPLE], AnswerSettings("generate", 9))
    question = RenderedExample(EXAMPLE, prompt, render(prompt, task, EXAMPLE))
    [reward] = ScorerReward(scorer, task)([SampledOutput([1], torch.zeros(1), output, False)], [question])
    assert reward.value == row["score"] == score
    of_mixin = scorer_reward(scorer, SimpleNamespace(task=task, examples=[EXAMPLE]), {prompt.id: prompt})
    columns = {ROW: [0], PROMPT: [prompt.id]}
    assert of_mixin(completions=[[{"role": "assistant", "content": output}]], **columns) == [score]
