"""GRPO by invariants: TRL's loss and gradients, equal answers teach nothing, a bandit is learned, resumed = whole."""

import json
from pathlib import Path

import pytest
import torch

from conftest import COLOURS, make_model, make_tokenizer
from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.errors import UserError, WorkError
from paft.models.chat import ChatFormat
from paft.tasks.task import Task
from paft.training.data import PromptData
from paft.training.finetune import AdapterTraining, StepLog, trainer_settings
from paft.training.grpo.finetune import finetune_groups
from paft.training.grpo.rewards import FunctionReward
from paft.training.grpo.settings import GroupSettings
from paft.training.grpo.trainer import GroupData, GroupTrainer
from paft.training.grpo.validation import hold_back
from paft.training.lora import add_adapter
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import read_log

TASK = Task("colours", ("thing",), tuple(COLOURS), "label", 0.85, 3)
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, tuple(COLOURS), i % 3) for i in range(11)]
PROMPTS = [Prompt(f"form {i}: {{thing}} {'?' * i}") for i in range(7)]
QUIET = Console(quiet=True)
ARGUMENTS = {
    "num_train_epochs": 2,
    "learning_rate": 1e-2,
    "report_to": "none",
    "logging_steps": 1,
    "lr_scheduler_type": "constant",
}


def odd(completion_ids, **columns):
    """The share of tokens with an odd number."""
    return [sum(token % 2 for token in ids) / len(ids) for ids in completion_ids]


def engine(sharpness: float = 1) -> Engine:
    """A random model whose answers are of different length: many tokens end one."""
    model = make_model()
    model.lm_head.weight.data *= sharpness
    model.generation_config.eos_token_id = list(range(60))
    return Engine(model, ChatFormat(make_tokenizer()))


def groups(reward=odd, longest=4, **settings) -> GroupData:
    settings = GroupSettings(**{"num_generations": 4} | settings)
    return GroupData(settings, FunctionReward(reward, "odd", TASK, "reward"), longest)


def fit(folder: Path, made=None, *, prompts=PROMPTS, examples=EXAMPLES, sampler="mixed", K=2, batch_size=4, init=None,
        lora=None, console=QUIET, model=None, **arguments):  # fmt: skip
    made = made or groups()
    validation = hold_back(prompts, examples, made.settings, 0)
    if validation:
        prompts, examples = validation.train_prompts, validation.train_examples
    data = PromptData(model or engine(), TASK, examples, prompts, K=K, seed=0, sampler=sampler)
    training = AdapterTraining(folder, lora or LoraSection(), batch_size, ARGUMENTS | arguments, console, init)
    finetune_groups(data, made, training, validation)
    return read_log(folder / "train.jsonl")


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter/adapter_model.safetensors")


def columns(log: list[dict], *names: str) -> list[tuple]:
    return [tuple(row[name] for name in names) for row in log]


RESULTS = ("step", "prompt_ids", "loss", "reward", "reward_std", "flat_groups", "length", "cut", "clipped")


def trained(model) -> list[torch.Tensor]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def move(models, seed: int) -> None:
    """Move the adapters of both models alike."""
    for weights in zip(*map(trained, models), strict=True):
        noise = torch.randn(weights[0].shape, generator=torch.Generator().manual_seed(seed)) * 0.2
        with torch.no_grad():
            for weight in weights:
                weight.add_(noise)


def ours(folder: Path, made: GroupData) -> GroupTrainer:
    model = engine()
    model.model = add_adapter(model.model, LoraSection())
    settings = trainer_settings("cpu", folder, 4, 0, ARGUMENTS)
    return GroupTrainer(settings, PromptData(model, TASK, EXAMPLES, PROMPTS, seed=0, sampler="mixed"), made)


def one_step(trainer: GroupTrainer):
    """Return the inputs of the first step's forward and its answer tokens."""
    items = [trainer.epoch_data[place] for place in range(4)]
    [inputs], count = trainer.get_batch_samples(iter([items]), 1, torch.device("cpu"))
    return inputs, count


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale_rewards": "batch", "loss_type": "grpo"},
        {"scale_rewards": "none", "loss_type": "dr_grpo", "temperature": 0.7},
        {"beta": 0.3, "epsilon": 0.05, "epsilon_high": 0.1},
    ],
)
def test_the_loss_and_the_gradients_on_the_same_answers_are_trls(tmp_path, settings):
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from peft import LoraConfig

    mine = ours(tmp_path / "a", groups(**settings))
    made = [None]

    def answers(prompts, trainer):
        return {
            "prompt_ids": [group.prompt_ids for group in made[0] for _ in group.answers],
            "completion_ids": [answer.ids for group in made[0] for answer in group.answers],
            "logprobs": [answer.log_probs.tolist() for group in made[0] for answer in group.answers],
        }

    config = trl.GRPOConfig(
        output_dir=str(tmp_path / "b"), per_device_train_batch_size=16, num_generations=4, max_completion_length=4,
        use_cpu=True, bf16=False, report_to="none", gradient_checkpointing=False, **settings,
    )  # fmt: skip
    theirs = trl.GRPOTrainer(
        make_model(),
        odd,
        config,
        Dataset.from_dict({"prompt": ["?"] * 16}),
        processing_class=make_tokenizer(),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        rollout_func=answers,
    )
    for source, copy in zip(trained(mine.model), trained(theirs.model), strict=True):
        copy.data.copy_(source.data)
    move([mine.model, theirs.model], 1)
    inputs, count = one_step(mine)
    made[0] = mine.batches.groups(0, tuple(range(4)))
    assert len({len(answer.ids) for group in made[0] for answer in group.answers}) > 1
    theirs.model.train()
    batch = theirs._generate_and_score_completions([{"prompt": "?"}] * 16)
    batch["old_per_token_logps"] = torch.nn.utils.rnn.pad_sequence(
        [answer.log_probs for group in made[0] for answer in group.answers], batch_first=True
    )
    theirs.current_gradient_accumulation_steps = 1
    wanted = [value for group in made[0] for value in group.advantages]
    assert batch["advantages"].tolist() == pytest.approx(wanted, abs=1e-4)
    move([mine.model, theirs.model], 2)  # as after a step on the same answers: some ratios are clipped
    loss = mine.compute_loss(mine.model, inputs, num_items_in_batch=count)
    reference = theirs.compute_loss(theirs.model, batch)
    assert mine.batches.stats[0].totals.clipped > 0
    assert loss.item() == pytest.approx(reference.item(), abs=2e-5)
    loss.backward()
    reference.backward()
    for left, right in zip(trained(mine.model), trained(theirs.model), strict=True):
        assert right.grad.abs().max() > 1e-5
        assert (left.grad - right.grad).abs().max() < 1e-5 * right.grad.abs().max()


def test_answers_have_the_probabilities_that_the_loss_gives_them(tmp_path):
    """Sampling over the tree and the packed forward of the loss agree, so the first ratio is 1."""
    from paft.training.grpo.loss import log_probs

    trainer = ours(tmp_path, groups(temperature=0.7))
    move([trainer.model], 1)
    inputs, _ = one_step(trainer)
    labels, tags = inputs.pop("labels"), inputs.pop("rows")
    scores = log_probs(trainer.model(**inputs).logits, labels, tags.place, 0.7)
    torch.testing.assert_close(scores, tags.old, atol=1e-5, rtol=1e-4)


def test_an_answer_depends_on_its_seed_and_not_on_the_rows_beside_it():
    from paft.training.grpo.rollout import sample_groups

    model = engine()
    prompts = model.format.prompts([render for render in map(_conversation, range(3))])
    model.choose_batch_format([model.row(prompt, "red") for prompt in prompts])
    how = {"size": 4, "max_new_tokens": 5, "temperature": 1.0}
    together = sample_groups(model, prompts, ["a", "b", "c"], **how)
    alone = sample_groups(model, prompts[1:2], ["b"], **how)
    assert [answer.ids for answer in together[1]] == [answer.ids for answer in alone[0]]
    other = sample_groups(model, prompts[1:2], ["d"], **how)
    assert [answer.ids for answer in other[0]] != [answer.ids for answer in alone[0]]


def _conversation(index):
    from paft.types import Conversation

    return Conversation(f"thing {index}")


def test_tokens_are_drawn_with_their_probability():
    from paft.training.grpo.rollout import SeededPick

    logits = torch.tensor([0.5, 0.25, 0.25, 0.0]).log()
    rows = 4000
    pick = SeededPick(torch.rand(rows, 1, generator=torch.Generator().manual_seed(0)), 1.0)
    drawn = pick(logits.expand(rows, 4), torch.arange(rows))
    shares = torch.bincount(drawn, minlength=4) / rows
    assert shares.tolist() == pytest.approx([0.5, 0.25, 0.25, 0.0], abs=0.03)
    assert shares[3] == 0
    assert [score for [score] in pick.log_probs] == pytest.approx(logits[drawn].tolist(), abs=1e-5)


def test_groups_of_equal_reward_give_no_gradient(tmp_path):
    trainer = ours(tmp_path, groups(lambda completions: [0.7] * len(completions)))
    move([trainer.model], 1)
    inputs, count = one_step(trainer)
    trainer.compute_loss(trainer.model, inputs, num_items_in_batch=count).backward()
    assert all(weight.grad.abs().max() == 0 for weight in trained(trainer.model))


@pytest.mark.medium
def test_a_bandit_of_three_arms_is_learned(tmp_path):
    """One token, rewarded 0, 0.5 or 1; the model begins with the arm of reward 0."""

    def arm(completion_ids):
        return [(1, 0.5, 0)[ids[0] % 3] for ids in completion_ids]

    log = fit(
        tmp_path, groups(arm, longest=1, num_generations=8), prompts=PROMPTS[:1], num_train_epochs=12,
        model=engine(sharpness=20),
    )  # fmt: skip
    assert log[0]["reward"] < 0.3
    assert sum(row["reward"] for row in log[-3:]) / 3 > 0.95


@pytest.mark.medium
def test_one_prompt_is_the_same_under_every_sampler(tmp_path):
    one = fit(tmp_path / "a", prompts=PROMPTS[:1], sampler="uniform", K=1)
    other = fit(tmp_path / "b", prompts=PROMPTS[:1], sampler="uniform", K=1000)
    mixed = fit(tmp_path / "c", prompts=PROMPTS[:1], sampler="mixed")
    assert columns(one, *RESULTS) == columns(other, *RESULTS) == columns(mixed, *RESULTS)
    assert {row["prompt_ids"][0] for row in one} == {PROMPTS[0].id}


@pytest.mark.medium
def test_accumulation_is_a_larger_batch(tmp_path):
    whole = fit(tmp_path / "a", batch_size=4)
    parts = fit(tmp_path / "b", batch_size=2, gradient_accumulation_steps=2)
    assert columns(parts, "prompt_ids", "reward", "length") == columns(whole, "prompt_ids", "reward", "length")
    for name, tensor in adapter(tmp_path / "a").items():
        torch.testing.assert_close(tensor, adapter(tmp_path / "b")[name], atol=1e-4, rtol=1e-3)


class StoppedError(Exception):
    pass


@pytest.mark.medium
@pytest.mark.parametrize("iterations", [1, 2])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, monkeypatch, iterations):
    made = groups(num_iterations=iterations, beta=0.1)
    whole = fit(tmp_path / "a", made, save_steps=2)
    assert len(whole) == 6 * iterations
    on_log = StepLog.on_log

    def dying(self, args, state, control, **kwargs):
        on_log(self, args, state, control, **kwargs)
        if state.global_step == 3:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(StepLog, "on_log", dying)
        with pytest.raises(StoppedError):
            fit(tmp_path / "b", made, save_steps=2)
    resumed = fit(tmp_path / "b", made, save_steps=2)
    assert columns(resumed, *RESULTS) == columns(whole, *RESULTS)
    for name, tensor in adapter(tmp_path / "a").items():
        assert torch.equal(tensor, adapter(tmp_path / "b")[name])


def test_iterations_reuse_the_answers_of_a_step(tmp_path):
    log = fit(tmp_path, groups(num_iterations=2), learning_rate=0.1)
    pairs = list(zip(log[::2], log[1::2], strict=True))
    assert all(columns([a], "prompt_ids", "reward", "length") == columns([b], "prompt_ids", "reward", "length")
               for a, b in pairs)  # fmt: skip
    assert all(first["clipped"] == 0 for first, _ in pairs)
    assert any(second["clipped"] > 0 for _, second in pairs)
    assert all(second["rollout_seconds"] == 0 for _, second in pairs)


@pytest.mark.medium
def test_training_goes_on_from_an_adapter(tmp_path):
    fit(tmp_path / "a")
    start = tmp_path / "a/adapter"
    log = fit(tmp_path / "b", init=start, learning_rate=1e-9, num_train_epochs=1)
    for name, tensor in adapter(tmp_path / "a").items():
        torch.testing.assert_close(tensor, adapter(tmp_path / "b")[name], atol=1e-6, rtol=0)
    assert columns(log, "reward") != columns(fit(tmp_path / "c", learning_rate=1e-9, num_train_epochs=1), "reward")


def test_a_training_that_learns_nothing_any_more_stops_and_says_so(tmp_path, capsys):
    calls = []

    def tiring(completion_ids):
        calls.append(1)
        return odd(completion_ids) if len(calls) < 3 else [0.25] * len(completion_ids)

    log = fit(tmp_path, groups(tiring, max_flat_steps=2), num_train_epochs=20, console=Console())
    assert log[-1]["step"] == len(log) == 4
    assert columns(log, "flat_groups") == [(0,), (0,), (1,), (1,)]
    said = " ".join(capsys.readouterr().err.split())
    assert "stopped after step 4: in 2 steps in a row no group's answers differed in reward" in said
    assert (tmp_path / "adapter").is_dir()


def failing(completions):
    raise KeyError("price")


@pytest.mark.parametrize(
    ("reward", "error", "problem"),
    [
        (lambda completions: [0.0] * len(completions), UserError,
         r"nothing can be learned: no group of the 44 sampled answers to 11 examples has answers of different reward "
         r"\(all have the reward 0, \d+ were cut off\); start from PAFT with init: paft, or check the reward"),
        (lambda completions: [float("nan")] * len(completions), WorkError, "returned nan for the completion"),
        (lambda completions: [None] * len(completions), WorkError, "returned None for the completion"),
        (lambda completions: [1.0], WorkError, "returned 1 values for 16 completions"),
        (failing, WorkError, r"reward 'odd' failed: KeyError: 'price' \(.*test_grpo.py:\d+\)"),
    ],
)  # fmt: skip
def test_a_reward_that_teaches_nothing_or_fails_is_one_line(tmp_path, reward, error, problem):
    with pytest.raises(error, match=problem) as raised:
        fit(tmp_path, groups(reward))
    assert "\n" not in str(raised.value)


def test_a_slow_reward_is_reported_before_the_training_starts(tmp_path, capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("paft.training.grpo.batches.time.perf_counter", lambda: clock[0])

    def slow(completion_ids):
        clock[0] += 60
        return odd(completion_ids)

    log = fit(tmp_path, groups(slow), num_train_epochs=1, console=Console())
    assert "the reward takes 60 s of each step" in capsys.readouterr().err
    assert [row["reward_seconds"] for row in log[1:]] == [60, 60]


def test_a_model_that_cannot_be_packed_is_refused(tmp_path):
    model = Engine(make_model("bloom"), ChatFormat(make_tokenizer()), say=lambda line: None)
    with pytest.raises(UserError, match="right-padded batches, which its sampling does not support"):
        fit(tmp_path, model=model, lora=LoraSection(target_modules=["query_key_value"]))


def test_an_answer_that_may_exceed_the_window_of_a_model_is_refused(tmp_path):
    model = Engine(make_model("mistral", sliding_window=16), ChatFormat(make_tokenizer()), say=lambda line: None)
    with pytest.raises(UserError, match="exceed this model's attention window of 16 tokens; lower max_completion"):
        fit(tmp_path, model=model)


def test_a_model_sharded_over_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="answers cannot be sampled from a model that FSDP or DeepSpeed shards"):
        fit(tmp_path)


def test_the_log_holds_what_the_answers_were(tmp_path):
    log = fit(tmp_path)
    assert {"reward", "reward_std", "flat_groups", "length", "cut", "unparsed", "clipped"} <= log[0].keys()
    assert all(0 < row["reward"] < 1 and 0 < row["length"] <= 4 and 0 <= row["cut"] <= 1 for row in log)
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["r"] == 8
