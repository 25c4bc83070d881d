"""Of a training by GRPO, the adapter with the highest reward on held-back training prompts and examples is kept."""

import pytest
import torch
from test_grpo import EXAMPLES, PROMPTS, RESULTS, TASK, StoppedError, adapter, columns, engine, fit, groups, odd

from paft.models.adapters import with_adapter
from paft.prompts.template import render
from paft.training.finetune import StepLog
from paft.training.grpo.validation import BestAdapter, hold_back
from paft.utils.io import read_log

VALIDATED = {"eval_steps": 1, "eval_prompts": 2, "eval_examples": 5}


def seen_by_step(monkeypatch) -> dict[int, dict[str, torch.Tensor]]:
    """The adapter after each step of the next training."""
    from peft import get_peft_model_state_dict

    seen = {}
    on_step_end = BestAdapter.on_step_end

    def watched(self, args, state, control, **kwargs):
        weights = get_peft_model_state_dict(self.batches.engine.model)
        seen[state.global_step] = {name: weight.clone() for name, weight in weights.items()}
        on_step_end(self, args, state, control, **kwargs)

    monkeypatch.setattr(BestAdapter, "on_step_end", watched)
    return seen


@pytest.mark.parametrize("best", [2, 6])
def test_the_adapter_is_that_of_the_step_with_the_highest_reward_on_validation_prompts(
    tmp_path, monkeypatch, best
):
    held = hold_back(PROMPTS, EXAMPLES, groups(**VALIDATED).settings, 0)
    measured = []

    def scripted(completion_ids, thing, prompts):
        if thing[0] not in [example.fields["thing"] for example in held.examples]:
            return odd(completion_ids)
        assert len(prompts) == len(set(prompts)) == 10, "each held-back example once under each held-back prompt"
        measured.append(1)
        return [0.9 if len(measured) in (best, best + 1) else 0.1] * 10

    seen = seen_by_step(monkeypatch)
    log = fit(tmp_path, groups(scripted, **VALIDATED), num_train_epochs=3, batch_size=3)
    assert [row["eval_reward"] for row in log] == [0.9 if row["step"] in (best, best + 1) else 0.1 for row in log]
    assert [row["best_step"] for row in log] == [1 if row["step"] < best else best for row in log]
    trained_on = {prompt for row in log for prompt in row["prompt_ids"]}
    assert trained_on.isdisjoint(prompt.id for prompt in held.prompts)
    assert sum(row["examples"] for row in log) == 3 * (len(EXAMPLES) - 5)
    assert not all(torch.equal(weight, seen[best][name]) for name, weight in seen[best - 1].items())
    kept = adapter(tmp_path)
    assert all(torch.equal(weight, kept[name]) for name, weight in seen[best].items())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["adapter"]


def test_the_reward_on_validation_prompts_is_that_of_greedy_answers(tmp_path):
    """As the evaluation gives them: the same engine, the likeliest token each time."""
    made, model = groups(**VALIDATED | {"eval_steps": 100}), engine()
    fit(tmp_path, made, num_train_epochs=1, model=model)
    [row] = [row for row in read_log(tmp_path / "train.jsonl") if "eval_reward" in row]
    held = hold_back(PROMPTS, EXAMPLES, made.settings, 0)
    asked = [render(prompt, TASK, example) for prompt in held.prompts for example in held.examples]
    with with_adapter(model, tmp_path / "adapter"):
        answers = [answer for batch in model.generate(asked, 4) for answer in batch]
    assert row["eval_length"] == sum(answer.tokens for answer in answers) / len(answers)


@pytest.mark.medium
def test_the_best_adapter_survives_an_interruption(tmp_path, monkeypatch):
    made = groups(**VALIDATED)
    whole = fit(tmp_path / "a", made, num_train_epochs=4, save_steps=1)
    best = whole[-1]["best_step"]
    assert best < whole[-1]["step"] - 1
    on_log = StepLog.on_log

    def dying(self, args, state, control, **kwargs):
        on_log(self, args, state, control, **kwargs)
        if state.global_step == best + 2:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(StepLog, "on_log", dying)
        with pytest.raises(StoppedError):
            fit(tmp_path / "b", made, num_train_epochs=4, save_steps=1)
    assert [path.name for path in (tmp_path / "b/checkpoints").glob("best-*")] == [f"best-{best}"]
    resumed = fit(tmp_path / "b", made, num_train_epochs=4, save_steps=1)
    keys = (*RESULTS, "eval_reward", "eval_length", "best_step")
    assert columns(resumed, *keys) == columns(whole, *keys)
    for name, tensor in adapter(tmp_path / "a").items():
        assert torch.equal(tensor, adapter(tmp_path / "b")[name])
