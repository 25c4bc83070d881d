"""Objectives: cross-entropy is plain fine-tuning's, one of your own sees tagged rows, and failures are one line."""

import pytest
import torch
from test_training import EXAMPLES, PROMPTS, TASK, fit, losses

from conftest import make_model, make_tokenizer
from paft.engine.engine import Engine
from paft.engine.pack import answer_loss
from paft.errors import UserError, WorkError
from paft.models.chat import ChatFormat
from paft.training.data import BatchBuilder, EpochDataset, Item
from paft.training.objectives import CrossEntropy, Objective, make_objective
from paft.training.samplers import UniformSampler


def batch(batch_format, is_padding=False):
    """Return a model, the inputs of one forward, its labels and its rows' tags."""
    engine = Engine(make_model(), ChatFormat(make_tokenizer()))
    engine.batch_format = batch_format
    data = EpochDataset(EXAMPLES, 4, seed=0)
    sampler = UniformSampler(PROMPTS, K=1, steps_per_epoch=data.steps_per_epoch, seed=0)
    if batch_format == "tree":
        from paft.engine.attention import NAME

        engine.model.set_attn_implementation(NAME)
    items = [Item(*data[i][:3], is_padding=is_padding) for i in range(3)]
    [inputs] = BatchBuilder(engine, TASK, PROMPTS, sampler, data)([items])
    labels, tags = inputs.pop("labels"), inputs.pop("rows")
    return engine.model, inputs, labels, tags


@pytest.mark.parametrize("batch_format", ["tree", "padded"])
@pytest.mark.parametrize("count", [None, 40, torch.tensor(40)])
def test_cross_entropy_is_the_answer_loss_with_its_gradient(batch_format, count):
    model, inputs, labels, tags = batch(batch_format)
    logits = model(**inputs).logits.detach()
    left, right = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = CrossEntropy().loss(tags.with_logits(left, labels, count))
    reference = answer_loss(right, labels, count)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference, atol=0, rtol=1e-6)
    assert torch.equal(left.grad, right.grad)


def test_packed_logits_are_not_copied():
    model, inputs, labels, tags = batch("tree")
    logits = model(**inputs).logits
    assert tags.with_logits(logits, labels, None).logits.data_ptr() == logits.data_ptr()


@pytest.mark.parametrize("batch_format", ["tree", "padded"])
def test_the_losses_of_tokens_and_rows_are_those_of_each_row_alone(batch_format):
    model, inputs, labels, tags = batch(batch_format)
    rows = tags.with_logits(model(**inputs).logits, labels, None)
    assert rows.token_losses.shape == rows.labels.shape == rows.row_of.shape
    assert rows.row_of.tolist() == [i for i, n in enumerate(tags.answer_lengths) for _ in range(n)]
    for i, (example, prompt) in enumerate(zip(rows.examples, rows.prompts, strict=True)):
        from paft.training.data import rows as rows_of

        single = Engine(make_model(), ChatFormat(make_tokenizer()))
        scores = single.log_probs(rows_of(_padded(single), TASK, [prompt], [example]))
        assert rows.row_losses[i].item() == pytest.approx(-scores[0].mean().item(), abs=1e-4)


def _padded(engine):
    engine.batch_format = "padded"
    return engine


@pytest.mark.parametrize("batch_format", ["tree", "padded"])
def test_a_batch_of_padding_has_no_rows_and_a_loss_of_zero_with_gradients(batch_format):
    model, inputs, labels, tags = batch(batch_format, is_padding=True)
    assert tags.is_padding
    assert (labels == -100).all()
    model.requires_grad_(True)
    loss = CrossEntropy().loss(tags.with_logits(model(**inputs).logits, labels, 7))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


class ByExample(Objective):
    """The mean over examples of each one's mean token loss, weighted."""

    def __init__(self, weight=1.0):
        self.weight = weight

    def loss(self, rows):
        assert len(rows.examples) == len(rows.prompts) == len(rows.row_losses)
        return self.weight * rows.row_losses.sum() / rows.examples_in_step


def test_an_objective_of_ones_own_trains_and_accumulation_is_a_larger_batch(tmp_path):
    setting = {"name": "test_objectives:ByExample", "weight": 2.0}
    whole = fit(tmp_path / "a", objective=setting)
    parts = fit(tmp_path / "b", objective=ByExample, batch_size=2, gradient_accumulation_steps=2)
    plain = fit(tmp_path / "c")
    assert losses(whole)[-1] < losses(whole)[0]
    assert losses(parts)[0] == pytest.approx(losses(whole)[0] / 2, abs=1e-4)
    assert losses(parts)[0] == pytest.approx(losses(plain)[0], rel=0.2)
    assert losses(parts)[0] != losses(plain)[0]


class Rows(Objective):
    def loss(self, rows):
        return rows.row_losses


class NotFinite(Objective):
    def loss(self, rows):
        return rows.row_losses.sum() * float("nan")


class Broken(Objective):
    def loss(self, rows):
        return rows.nothing


@pytest.mark.parametrize(
    ("objective", "line"),
    [
        (Rows, r"the objective Rows returned a Tensor of shape \(4,\); loss\(\) returns a scalar"),
        (
            NotFinite,
            r"the training loss is nan at step 1, so training cannot go on; lower training\.learning_rate",
        ),
        (Broken, r"the objective Broken failed: AttributeError: .*nothing.*test_objectives\.py:\d+"),
    ],
)
def test_an_objective_that_fails_is_one_clear_line(tmp_path, objective, line):
    with pytest.raises(WorkError, match=line):
        fit(tmp_path, objective=objective)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            "cross-entropi",
            "config key training.objective: no objective 'cross-entropi'; did you mean 'cross-entropy'",
        ),
        ({"name": "cross-entropy", "weight": 3}, "config key training.objective.weight is unknown"),
        (dict, "config key training.objective: .*derive it from Objective"),
    ],
)
def test_a_wrong_objective_setting_names_its_key(setting, line):
    with pytest.raises(UserError, match=line):
        make_objective(setting)
