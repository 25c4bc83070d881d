"""Quantised base models: exact where packed, trained and resumed as any other, refused where nothing is gained."""

import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
import torch
import yaml
from peft import get_peft_model
from safetensors.torch import load_file
from test_mixin import LORA, SETTINGS, Plain, data
from test_training import adapter, fit, losses, stopped_at
from transformers import AutoModelForCausalLM, TrainingArguments

from command import assert_refused, paft_here
from conftest import make_tokenizer
from paft.config.model import ModelConfig
from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.engine.pack import Row, answer_loss
from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.models.load import load_model
from paft.models.quantization import check_quantization, quantization_of, quantized_loading
from paft.training.lora import add_adapter
from paft.types import Conversation

needs_bitsandbytes = pytest.mark.skipif(
    util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed; make setup installs it",
)
BITS = ["4bit", "8bit"]
ROWS = [
    Row([5, 9, 9, 30, 41, 0], 2),
    Row([5, 9, 9, 31, 0], 1),
    Row([5, 9, 9, 31, 60, 70, 80, 90, 0], 3),
    Row([6, 9, 0], 2),
]


def quantized(folder: str, bits: str, **changes):
    config = ModelConfig(path=folder, quantization=bits, **{"dtype": "float32", "device": "cpu"} | changes)
    return load_model(config, lambda line: None)[0]


def engine_of(model, say=lambda line: None) -> Engine:
    return Engine(model, ChatFormat(make_tokenizer()), say=say)


def with_random_adapter(model):
    torch.manual_seed(1)
    return add_adapter(model, LoraSection(init_lora_weights=False))


def loss_and_gradients(engine):
    engine.model.zero_grad()
    inputs = engine.inputs(ROWS)
    labels = inputs.pop("labels")
    loss = answer_loss(engine.forward(inputs), labels, None)
    loss.backward()
    return loss, {name: p.grad.clone() for name, p in engine.model.named_parameters() if p.grad is not None}


@needs_bitsandbytes
@pytest.mark.parametrize("bits", BITS)
def test_packed_and_padded_rows_of_a_quantised_model_give_the_same_losses_gradients_scores_and_tokens(
    tiny_model, bits
):
    base = quantized(tiny_model, bits)
    assert quantization_of(base) == bits
    engine = engine_of(base, say=pytest.fail)
    conversations = [Conversation(None, text) for text in ("What is red?", "What is green, or blue?")]
    options = [("red", "green"), ("blue", "red")]
    engine.choose_batch_format(ROWS)  # forwards without gradients come first, as in a run
    assert engine.batch_format == "tree"
    results = []
    for engine.batch_format in ("tree", "padded"):
        engine.model = base
        scores = [value for batch in engine.score(conversations, options) for row in batch for value in row]
        tokens = [generation.text for batch in engine.generate(conversations, 6) for generation in batch]
        engine.model = with_random_adapter(base).train()
        results.append((*loss_and_gradients(engine), scores, tokens))
        base = engine.model.unload()
    (loss, gradients, scores, tokens), (loss2, gradients2, scores2, tokens2) = results
    assert loss.item() == pytest.approx(loss2.item(), abs=1e-5)
    assert gradients.keys() == gradients2.keys()
    assert len(gradients) == 8  # A and B of two projections in two layers: the first layer has some too
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, gradients2[name], rtol=1e-3, atol=1e-5)
    assert scores == pytest.approx(scores2, abs=1e-4)
    assert tokens == tokens2


@needs_bitsandbytes
@pytest.mark.parametrize("bits", BITS)
def test_a_quantised_layer_multiplies_with_its_dequantised_weights_before_and_after_an_evaluation(
    tiny_model, bits
):
    from peft.utils.integrations import dequantize_bnb_weight

    layer = quantized(tiny_model, bits).model.layers[0].mlp.up_proj
    inputs = torch.randn(3, 32, generator=torch.manual_seed(0))
    with torch.no_grad():
        layer.eval()(inputs)
    weights = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
    for mode in (False, True):
        torch.testing.assert_close(layer.train(mode)(inputs), inputs @ weights.float().T, rtol=1e-5, atol=1e-5)
    leaf = inputs.clone().requires_grad_()
    layer(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, weights.float().sum(0).expand(3, -1), rtol=1e-5, atol=1e-5)


@needs_bitsandbytes
def test_only_the_linear_layers_are_quantised_and_the_rest_keeps_its_dtype(tiny_model):
    model = quantized(tiny_model, "4bit", dtype="bfloat16")
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    assert kinds["model.layers.1.mlp.down_proj"] == "Linear4bit"
    assert kinds["lm_head"] == "Linear"
    assert {p.dtype for p in model.parameters()} == {torch.uint8, torch.bfloat16}
    settings = model.config.quantization_config
    assert settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant
    assert settings.bnb_4bit_compute_dtype == torch.bfloat16


@pytest.fixture
def config(project) -> Path:
    path = project / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["model"] |= {"quantization": "4bit", "device": "cpu"}
    tree["methods"] = ["base", "paft"]
    path.write_text(yaml.safe_dump(tree))
    return path


@needs_bitsandbytes
@pytest.mark.medium
def test_a_run_on_a_quantised_model_learns_is_saved_and_evaluated_again(config):
    done = paft_here("run", config, "-o", "run")
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in Path("run/methods/paft/train.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < 0.98 * log[0]["loss"]
    report = json.loads(Path("run/report.json").read_text())
    folder = Path("run/methods/paft/adapter")
    saved = json.loads((folder / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == yaml.safe_load(config.read_text())["model"]["path"]
    assert {tensor.dtype for tensor in load_file(folder / "adapter_model.safetensors").values()} == {torch.float32}
    again = paft_here("evaluate", config, f"model.adapter={folder}", "-o", "again")
    assert again.returncode == 0, again.stderr
    means = [r["methods"] for r in (report, json.loads(Path("again/report.json").read_text()))]
    assert means[0]["paft"]["mean"] == means[1]["base"]["mean"]
    for bits in ("8bit", "none"):
        refused = paft_here("run", config, f"model.quantization={bits}", "-o", "run")
        now = "not set" if bits == "none" else bits
        assert_refused(refused, f"model.quantization (was 4bit, now {now})")


@needs_bitsandbytes
def test_a_resumed_training_on_a_quantised_model_is_the_uninterrupted_one(tiny_model, tmp_path, monkeypatch):
    whole = fit(tmp_path / "whole", model=engine_of(quantized(tiny_model, "4bit")), save_steps=3)
    with stopped_at(5, monkeypatch):
        fit(tmp_path / "part", model=engine_of(quantized(tiny_model, "4bit")), save_steps=3)
    resumed = fit(
        tmp_path / "part",
        gradient_checkpointing=True,
        model=engine_of(quantized(tiny_model, "4bit")),
        save_steps=3,
    )
    assert losses(resumed) == losses(whole)
    expected = adapter(tmp_path / "whole")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in adapter(tmp_path / "part").items())


@needs_bitsandbytes
def test_a_4_bit_model_of_the_users_own_is_trained_exactly_or_refused_where_it_was_repacked(tiny_model, tmp_path):
    arguments = quantized_loading("4bit", torch.device("cpu"), torch.float32)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32, **arguments), LORA
    )
    trainer = Plain(TrainingArguments(output_dir=str(tmp_path), **SETTINGS), data(model))
    trainer.train()  # its first forward has no gradients
    first = [weights for name, weights in model.named_parameters() if "layers.0" in name and "lora_B" in name]
    assert all(weights.abs().max() > 0 for weights in first)  # zero before
    model.get_base_model().model.layers[0].mlp.up_proj.weight.quant_state.packing_format_for_cpu = True
    with pytest.raises(
        UserError, match=r"layers\.0\.mlp\.up_proj was repacked for this CPU .* load the model again"
    ):
        Plain(TrainingArguments(output_dir=str(tmp_path), **SETTINGS), data(model))


@needs_bitsandbytes
@pytest.mark.parametrize("bits", BITS)
def test_an_adapter_is_not_merged_into_a_quantised_model_where_it_would_be_lost(tiny_model, tmp_path, bits):
    with_random_adapter(quantized(tiny_model, bits)).save_pretrained(tmp_path / "adapter")
    config = ModelConfig(path=tiny_model, adapter=str(tmp_path / "adapter"), quantization=bits, device="cpu")
    with pytest.raises(UserError, match=r"model\.adapter: .*lost to rounding.*merge it into the model without"):
        load_model(config, lambda line: None)
    model, _ = load_model(config, lambda line: None, merge=False)
    assert quantization_of(model.get_base_model()) == bits


@needs_bitsandbytes
def test_weights_saved_in_4_bits_are_used_as_they_are_and_refused_as_8_bits(tiny_model, tmp_path):
    quantized(tiny_model, "4bit").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    said = []
    for bits in ("none", "4bit"):
        model, _ = load_model(ModelConfig(path=str(tmp_path), quantization=bits, device="cpu"), said.append)
        assert quantization_of(model) == "4bit"
    assert said == [f"{tmp_path}: its weights were saved quantised and are used as they are"] * 2
    with pytest.raises(UserError, match=r"model\.quantization: 8bit, but the weights of .* leave the key out"):
        quantized(str(tmp_path), "8bit")


@needs_bitsandbytes
def test_a_device_that_bitsandbytes_lacks_is_refused_in_one_line():
    with pytest.raises(
        UserError, match=r"does not support model\.device 'meta', only .*cpu.*; choose one of them"
    ):
        quantized_loading("4bit", torch.device("meta"), torch.float32)


def test_without_bitsandbytes_the_fix_is_one_line(tiny_model, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as refused:
        check_quantization(ModelConfig(path=tiny_model, quantization="4bit"), trains=True)
    assert str(refused.value) == (
        "config key model.quantization: 4bit needs the package bitsandbytes; pip install 'paft[quantization]'"
    )
    check_quantization(ModelConfig(path=tiny_model), trains=True)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["model.quantization=4"], ["model.quantization", "'none', '4bit' or '8bit'"]),
        (
            ["model={path: m, base_url: 'http://localhost:1/v1', quantization: 4bit}"],
            ["used as it is; leave the key"],
        ),
    ],
)
def test_a_quantization_that_cannot_be_is_refused_with_its_key(project, changes, words):
    assert_refused(paft_here("evaluate", "config.yaml", *changes, "-o", "run"), *words)


def test_the_check_of_a_config_loads_neither_torch_nor_bitsandbytes():
    code = (
        "import sys; from paft.config.model import ModelConfig; from paft.models.open import check_model; "
        "check_model(ModelConfig(path='.', quantization='none'), trains=True, processes=1); "
        "assert not {'torch', 'bitsandbytes'} & sys.modules.keys()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
