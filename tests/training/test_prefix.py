"""What all forwards of a step begin with is computed once: same losses, same gradients, fewer tokens."""

import copy
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from peft import LoraConfig, get_peft_model
from test_training import adapter, engine, fit, losses, stopped_at

from conftest import COLOURS, make_model, make_tokenizer
from paft.engine import attention
from paft.engine.engine import Engine
from paft.engine.pack import Row, answer_loss
from paft.models.chat import ChatFormat
from paft.training.prefix import WORTH, can_share_prefix, shared_prefix
from paft.types import Example, Prompt

BEGINNING = [5 + 37 * i % 250 for i in range(100)]
FORWARDS = [
    [Row([*BEGINNING, 20 + 5 * part, *range(30, 32 + 3 * row), 7, 0], 2) for row in range(2 + part)]
    for part in range(4)
]
ONE = [row for rows in FORWARDS for row in rows]
LONG = [Prompt(f"{'A rule of many words. ' * (4 + i)}{{thing}} {'?' * i}") for i in range(7)]
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, tuple(COLOURS), i % 3) for i in range(21)]


def adapted(kind="llama", batch_format="tree", dtype=torch.float32, dropout=0.0, **changes) -> Engine:
    config = LoraConfig(
        r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False, lora_dropout=dropout
    )
    torch.manual_seed(0)
    model = get_peft_model(make_model(kind, **changes).to(torch.bfloat16).to(dtype), config)
    model.set_attn_implementation(attention.NAME if batch_format == "tree" else "sdpa")
    one = Engine(model.train(), ChatFormat(make_tokenizer()))
    one.batch_format = batch_format
    return one


class Tokens:
    """Counts the tokens that go through the embedding of a model while it is trained."""

    def __init__(self, model):
        self.count = 0
        model.get_input_embeddings().register_forward_hook(self._add)

    def _add(self, module, inputs, output):
        self.count += inputs[0].numel() if module.training else 0


def step(one: Engine, forwards, shares: bool) -> tuple[list[float], torch.Tensor]:
    """Return the loss of each forward, and the gradients of the step."""
    prefix = shared_prefix(one, forwards) if shares else None
    assert (prefix is not None) == shares
    one.model.zero_grad()
    values = []
    for rows in forwards:
        inputs = one.packed(rows, len(prefix.ids) if prefix else 0)
        labels = inputs.pop("labels")
        value = answer_loss(one.forward(inputs, prefix.cache() if prefix else None), labels, 28)
        value.backward()
        values.append(value.item())
    return values, gradients(one)


def gradients(one: Engine) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in one.model.parameters() if p.requires_grad])


@pytest.mark.parametrize("batch_format", ["tree", "dense"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma", "mistral"])
def test_losses_and_gradients_are_those_of_the_step_without_it(kind, batch_format):
    changes = {"sliding_window": 150} if kind == "mistral" else {}
    one = adapted(kind, batch_format, **changes)
    tokens = Tokens(one.model)
    apart, shared, whole = (
        (*step(one, forwards, shares), tokens.count)
        for forwards, shares in ((FORWARDS, False), (FORWARDS, True), ([ONE], False))
    )
    assert shared[0] == pytest.approx(apart[0], abs=1e-6)
    for other in (apart, whole):
        assert sum(shared[0]) == pytest.approx(sum(other[0]), abs=1e-6)
        torch.testing.assert_close(shared[1], other[1], atol=1e-6, rtol=1e-4)
    assert shared[2] - apart[2] == apart[2] - 3 * len(BEGINNING) == whole[2] - shared[2]


def test_in_bfloat16_the_gradients_are_as_near_those_in_float32_as_one_packs_are():
    exact = step(adapted(), FORWARDS, False)[1]
    one = adapted(dtype=torch.bfloat16)
    shared, whole = step(one, FORWARDS, True)[1], step(one, [ONE], False)[1]
    assert (shared - exact).norm() < 1.5 * (whole - exact).norm()


def test_with_dropout_the_gradients_are_those_of_the_drawn_masks():
    """The same forwards as one graph, with one backward pass."""
    one = adapted(dropout=0.3)
    torch.manual_seed(1)
    values, found = step(one, FORWARDS, True)
    torch.manual_seed(1)
    one.model.zero_grad()
    computed = one.cache(BEGINNING, gradients=True)
    total = torch.zeros(())
    for rows in FORWARDS:
        cache = copy.copy(computed)
        cache.layers = [copy.copy(layer) for layer in computed.layers]
        inputs = one.packed(rows, len(BEGINNING))
        labels = inputs.pop("labels")
        total = total + answer_loss(one.forward(inputs, cache), labels, 28)
    total.backward()
    assert sum(values) == pytest.approx(total.item(), abs=1e-6)
    torch.testing.assert_close(found, gradients(one), atol=1e-6, rtol=1e-4)
    assert sum(values) != pytest.approx(sum(step(one, FORWARDS, True)[0]), abs=1e-4)  # other masks


@pytest.mark.parametrize("noise", [None, 5.0])
def test_a_training_in_parts_is_that_with_a_larger_batch_and_resumes(tmp_path, monkeypatch, noise):
    how = {"prompts": LONG, "examples": EXAMPLES, "max_grad_norm": 0.05, "prompt_noise": noise}
    parts_of = {"batch_size": 2, "gradient_accumulation_steps": 4, "save_steps": 2, "num_train_epochs": 2}
    whole = fit(tmp_path / "whole", batch_size=8, num_train_epochs=2, **how)
    one = engine()
    tokens = Tokens(one.model)
    parts = fit(tmp_path / "parts", model=one, **parts_of, **how)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    for name, tensor in adapter(tmp_path / "whole").items():
        torch.testing.assert_close(tensor, adapter(tmp_path / "parts")[name], atol=1e-5, rtol=1e-3)
    more = sum(row["tokens"] for row in parts) / sum(row["tokens"] for row in whole)
    assert 1 <= more < 1.5
    assert sum(row["tokens"] for row in parts) == tokens.count
    with stopped_at(3, monkeypatch):
        fit(tmp_path / "resumed", **parts_of, **how)
    resumed = fit(tmp_path / "resumed", **parts_of, **how)
    assert [row["tokens"] for row in resumed] == [row["tokens"] for row in parts]
    assert losses(resumed) == losses(parts)


def test_checkpointed_layers_compute_it_in_every_forward(tmp_path):
    """They drop the cache."""
    how = {"prompts": LONG, "examples": EXAMPLES, "num_train_epochs": 1, "batch_size": 2}
    shared = fit(tmp_path / "shared", gradient_accumulation_steps=4, **how)
    apart = fit(tmp_path / "apart", gradient_accumulation_steps=4, gradient_checkpointing=True, **how)
    assert losses(shared) == pytest.approx(losses(apart), abs=1e-5)
    assert sum(row["tokens"] for row in shared) < 0.6 * sum(row["tokens"] for row in apart)


def test_it_is_computed_in_every_forward_where_a_part_cannot_run_alone_or_nothing_is_gained():
    one = adapted()
    args, accelerator = SimpleNamespace(torch_compile=False), SimpleNamespace(distributed_type=DistributedType.NO)
    assert can_share_prefix(one.model, args, accelerator)
    args.activation_offloading = True
    assert not can_share_prefix(one.model, args, accelerator)
    args.activation_offloading, accelerator.distributed_type = False, DistributedType.FSDP
    assert not can_share_prefix(one.model, args, accelerator)
    for length, pays in ((WORTH // 3, False), (WORTH // 3 + 1, True)):
        forwards = [[Row([*range(5, 5 + length), 90 + part, 7, 0], 2)] for part in range(4)]
        assert (shared_prefix(one, forwards) is not None) == pays
    assert shared_prefix(one, [ONE]) is None
    one.window = len(BEGINNING)
    assert shared_prefix(one, FORWARDS) is None
    one.window, one.batch_format = None, "padded"
    assert shared_prefix(one, FORWARDS) is None
