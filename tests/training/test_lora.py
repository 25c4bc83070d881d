"""LoRA settings: each trains, is saved and loaded with the same scores, merges, and leaves the model unchanged."""

import pytest
import torch
from test_training import EXAMPLES, PROMPTS, TASK, fit, losses

from conftest import COLOURS, make_model, make_tokenizer
from paft.config.load import load_config
from paft.config.model import ModelConfig
from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.errors import UserError
from paft.models.adapters import with_adapter
from paft.models.chat import ChatFormat
from paft.models.load import load_model
from paft.prompts.template import render
from paft.training.lora import add_adapter, check_lora

SETTINGS = [
    {"use_dora": True},
    {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 4}},
    {"target_modules": "all-linear", "exclude_modules": ["down_proj"]},
    {"modules_to_save": ["embed_tokens", "lm_head"]},
]
FURTHER = [
    {"target_modules": "all-linear"},
    {"use_rslora": True},
    {"layers_to_transform": [1]},
    {"init_lora_weights": "orthogonal"},
    {"trainable_token_indices": [5, 6]},
    {"modules_to_save": ["norm"]},
]


def scores(engine):
    conversations = [render(PROMPTS[0], TASK, example) for example in EXAMPLES[:4]]
    options = [list(COLOURS)] * 4
    return torch.tensor([row for batch in engine.score(conversations, options) for row in batch])


@pytest.mark.parametrize(
    "settings",
    [*SETTINGS, *(pytest.param(settings, marks=pytest.mark.medium) for settings in FURTHER)],
    ids=lambda s: ",".join(s),
)
def test_an_adapter_trains_reloads_and_merges_with_the_same_scores(tmp_path, settings, monkeypatch):
    lora = LoraSection(r=4, **settings)
    make_model().save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    base = Engine(make_model(), ChatFormat(make_tokenizer()))
    check_lora(base.model, lora)
    before, weights = scores(base), {name: t.clone() for name, t in base.model.state_dict().items()}
    tuned = []

    def unload(model, unload_adapter=fit.__globals__["finetune"].__globals__["unload_adapter"]):
        base.model.eval()
        tuned.append(scores(base))
        return unload_adapter(model)

    monkeypatch.setattr("paft.training.finetune.unload_adapter", unload)
    log = fit(tmp_path / "run", model=base, lora=lora)
    assert losses(log)[-1] < losses(log)[0]
    assert base.model.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in base.model.state_dict().items())
    [expected] = tuned
    assert not torch.allclose(expected, before, atol=1e-2)
    with with_adapter(base, tmp_path / "run/adapter"):
        torch.testing.assert_close(scores(base), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores(base), before, atol=0, rtol=0)
    config = ModelConfig(path=str(tmp_path / "base"), adapter=str(tmp_path / "run/adapter"), dtype="float32")
    model, tokenizer = load_model(config)
    merged = scores(Engine(model, ChatFormat(tokenizer)))
    torch.testing.assert_close(merged.to(expected.device), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"use_dorra": True}, r"training\.lora\.use_dorra is unknown; did you mean 'use_dora'"),
        ({"use_dora": "maybe"}, r"training\.lora\.use_dora: Input should be a valid boolean, found 'maybe'"),
        ({"rank_pattern": [1]}, r"training\.lora\.rank_pattern: Input should be a valid dictionary"),
        ({"lora_alpha": 3}, r"training\.lora\.lora_alpha cannot be set: use training\.lora\.alpha"),
        ({"task_type": "SEQ_CLS"}, r"training\.lora\.task_type cannot be set"),
        ({"bias": "all"}, r"training\.lora\.bias cannot be set: the model's own biases would stay changed"),
        ({"layer_replication": [[0, 1]]}, r"training\.lora\.layer_replication cannot be set"),
        ({"init_lora_weights": "pissa"}, r"training\.lora\.init_lora_weights: 'pissa' changes the base model's"),
        ({"target_modules": "q_proj"}, r"training\.lora\.target_modules takes a list .* found 'q_proj'"),
        ({"target_modules": []}, r"training\.lora\.target_modules takes a list .* found \[\]"),
    ],
)
def test_a_lora_key_that_cannot_be_honoured_is_refused_when_the_config_is_read(settings, line):
    with pytest.raises(UserError, match=line):
        LoraSection(**settings)


@pytest.mark.parametrize(
    ("model", "settings", "line"),
    [
        (
            {},
            {"modules_to_save": ["nrm"]},
            r"modules_to_save: the model has no module 'nrm'; its modules are .*norm",
        ),
        (
            {"tie_word_embeddings": True},
            {"modules_to_save": ["embed_tokens"]},
            r"modules_to_save: 'embed_tokens' shares",
        ),
        ({"tie_word_embeddings": True}, {"modules_to_save": ["lm_head"]}, r"modules_to_save: 'lm_head' shares"),
        ({"tie_word_embeddings": True}, {"modules_to_save": ["model"]}, r"modules_to_save: 'model' shares"),
        ({}, {"rank_pattern": {"q_proj": 2, "v_proj": 3}}, r"lora\.r: no layer has the rank 8.*highest rank, 3"),
        ({}, {"rank_pattern": {"q_proj": -2}}, r"config section training\.lora: .*-2"),
        ({}, {"layers_to_transform": [9]}, r"config section training\.lora: "),
    ],
)
def test_a_lora_setting_that_does_not_fit_the_model_is_refused_and_leaves_it_unchanged(model, settings, line):
    network = make_model(**model)
    names = list(network.state_dict())
    with pytest.raises(UserError, match=line):
        check_lora(network, LoraSection(**settings))
    assert list(network.state_dict()) == names


def test_the_paper_s_lora_is_the_default_and_checks_add_nothing():
    network = make_model()
    check_lora(network, LoraSection())
    config = add_adapter(network, LoraSection()).peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (8, 16, 0)
    assert config.target_modules == {"q_proj", "v_proj"}


def test_a_config_without_unusual_keys_loads_no_torch(project):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from paft.config.load import load_config; "
        "load_config(Path('config.yaml'), ['training.lora.target_modules=all-linear', 'training.sampler=uniform']); "
        "assert 'torch' not in sys.modules and 'peft' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True)
    config = load_config(
        project / "config.yaml", ["training.lora.use_dora=true", "training.sampler={name: x, y: 1}"]
    )
    assert config.training.lora.model_extra == {"use_dora": True}
    assert config.training.sampler == {"name": "x", "y": 1}


def test_a_checkpoint_whose_adapter_does_not_fit_is_not_resumed_from(tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file
    from transformers import Trainer

    def stop(trainer, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("paft.training.finetune.save_adapter", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, save_steps=2)
    checkpoints = sorted((tmp_path / "checkpoints").glob("checkpoint-*"))
    assert checkpoints
    for folder in checkpoints:
        file = folder / "adapter_model.safetensors"
        save_file({name.replace("v_proj", "value"): tensor for name, tensor in load_file(file).items()}, file)
    monkeypatch.setattr(Trainer, "train", lambda *args, **kwargs: pytest.fail("trains"))
    with pytest.raises(UserError, match=r"checkpoint-\d+: 4 of 8 tensors fit no module of the model"):
        fit(tmp_path, save_steps=2)
