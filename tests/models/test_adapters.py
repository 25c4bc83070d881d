"""Adapters: every tensor is applied or the adapter is refused, and one made for another model is mentioned."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import make_model, make_tokenizer
from paft.config.model import ModelConfig
from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.errors import UserError
from paft.models.adapters import load_adapter, unload_adapter, with_adapter
from paft.models.chat import ChatFormat
from paft.models.load import load_model
from paft.models.local import LocalModel
from paft.training.lora import add_adapter
from paft.types import Conversation

IDS = torch.arange(5, 25)[None]


def trained(model, config):
    """Return the model with an adapter whose weights are not those of its start."""
    from peft import get_peft_model

    adapted = get_peft_model(model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in adapted.parameters():
            if weights.requires_grad:
                weights.add_(torch.randn_like(weights) / 10)
    return adapted.eval()


@pytest.fixture
def adapter(tmp_path):
    from peft import LoraConfig

    folder = tmp_path / "adapter"
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trained(make_model(), lora).save_pretrained(folder)
    return folder


def rename(folder, new_name):
    file = folder / "adapter_model.safetensors"
    save_file({new_name(name): tensor for name, tensor in load_file(file).items()}, file)


def change(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def loaded(tiny_model, adapter, merge=True, **changes):
    said = []
    config = ModelConfig(path=tiny_model, adapter=str(adapter), dtype="float32", **changes)
    model, _ = load_model(config, said.append, merge=merge)
    return model, said


def refused(load, line):
    with pytest.raises(UserError, match=line) as error:
        load()
    assert "\n" not in str(error.value)


def every_way_in(tiny_model, adapter):
    """Yield each way in which an adapter reaches a model: merged, kept apart, used for a block of a run."""
    yield lambda: loaded(tiny_model, adapter)
    yield lambda: loaded(tiny_model, adapter, merge=False)
    yield lambda: with_adapter(Engine(make_model(), ChatFormat(make_tokenizer())), adapter).__enter__()
    yield lambda: LocalModel(make_model(), ChatFormat(make_tokenizer())).use_adapter(adapter).__enter__()


def test_an_adapter_whose_tensors_fit_no_module_is_refused_however_it_is_loaded(tiny_model, adapter):
    rename(adapter, lambda name: name.replace(".model.layers.", ".transformer.layers."))
    for load in every_way_in(tiny_model, adapter):
        refused(load, r"8 of 8 tensors fit no module of the model, the first .*\.transformer\.layers\.0")


def test_an_adapter_of_which_half_fits_is_refused_however_it_is_loaded(tiny_model, adapter):
    rename(adapter, lambda name: name.replace("v_proj", "value"))
    for load in every_way_in(tiny_model, adapter):
        refused(load, r"4 of 8 tensors fit no module of the model")


def test_an_adapter_that_lacks_tensors_is_refused(tiny_model, adapter):
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "v_proj" not in name}, file)
    for load in every_way_in(tiny_model, adapter):
        refused(load, r"4 tensors of the modules that adapter_config\.json names are missing")


def test_an_adapter_for_a_larger_model_is_refused_with_the_shapes_and_its_model(tiny_model, adapter):
    from peft import LoraConfig

    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trained(make_model(hidden_size=64), lora).save_pretrained(adapter)
    change(adapter, base_model_name_or_path="maker/large-model")
    refused(lambda: loaded(tiny_model, adapter), r"size mismatch .*\(it was made for maker/large-model\)")
    trained(make_model(num_hidden_layers=3), lora).save_pretrained(adapter)
    refused(lambda: loaded(tiny_model, adapter), r"4 of 12 tensors fit no module")


@pytest.mark.parametrize("rename_to", ["transformer.lm_head", None])
def test_a_module_to_save_that_is_missing_is_refused_with_the_count(tiny_model, adapter, rename_to):
    from peft import LoraConfig

    lora = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    trained(make_model(), lora).save_pretrained(adapter)
    if rename_to:
        rename(adapter, lambda name: name.replace("lm_head", rename_to))
        refused(lambda: loaded(tiny_model, adapter), r"1 of 5 tensors fit no module of the model, .*lm_head")
        return
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "lm_head" not in name}, file)
    refused(lambda: loaded(tiny_model, adapter), r"1 tensors of the modules .* are missing .*lm_head")


def test_a_base_model_is_unchanged_after_an_adapter_was_refused(adapter):
    model = make_model()
    names, before = list(model.state_dict()), model(IDS).logits
    rename(adapter, lambda name: name.replace("v_proj", "value"))
    refused(lambda: load_adapter(model, adapter), "4 of 8 tensors")
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(IDS).logits, before, atol=0, rtol=0)


def test_the_number_of_tensors_that_were_applied_is_said(tiny_model, adapter):
    assert loaded(tiny_model, adapter)[1][0] == f"{adapter}: all of its 8 tensors applied"


def test_names_that_peft_maps_to_those_of_the_model_still_fit(tiny_model, adapter, monkeypatch):
    """Models that transformers has renamed tell PEFT the names that older adapters have."""
    expected = load_adapter(make_model(), adapter)[0](IDS).logits
    rename(adapter, lambda name: name.replace("base_model.model.model.", "base_model.model.old_decoder."))
    refused(lambda: load_adapter(make_model(), adapter), "8 of 8 tensors")
    monkeypatch.setattr(
        type(make_model()), "_checkpoint_conversion_mapping", {"^old_decoder": "model"}, raising=False
    )
    torch.testing.assert_close(load_adapter(make_model(), adapter)[0](IDS).logits, expected, atol=0, rtol=0)


def test_kinds_of_adapters_that_change_layers_load_with_the_same_logits_and_come_off_again(tmp_path):
    from peft import IA3Config, LoHaConfig, LoKrConfig, OFTConfig, VBLoRAConfig, VeraConfig

    layers = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    kinds = [
        IA3Config(**layers, feedforward_modules=[]),
        LoHaConfig(r=2, **layers),
        LoKrConfig(r=2, **layers),
        OFTConfig(r=0, oft_block_size=4, **layers),
        VBLoRAConfig(r=2, num_vectors=8, vector_length=8, topk=2, **layers),
        VeraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    ]
    for kind in kinds:
        model = trained(make_model(), kind)
        model.save_pretrained(tmp_path / "adapter")
        base = make_model()
        before = base(IDS).logits
        again, count = load_adapter(base, tmp_path / "adapter")
        assert count == len(load_file(tmp_path / "adapter/adapter_model.safetensors"))
        torch.testing.assert_close(again(IDS).logits, model(IDS).logits, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(unload_adapter(again)(IDS).logits, before, atol=0, rtol=0)


def test_adapters_of_virtual_tokens_are_refused_with_their_file_and_kind(tiny_model, tmp_path):
    from peft import AdaptionPromptConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig

    kinds = {
        "PROMPT_TUNING": PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
        "PREFIX_TUNING": PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
        "P_TUNING": PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=8, task_type="CAUSAL_LM"),
        "ADAPTION_PROMPT": AdaptionPromptConfig(adapter_len=2, adapter_layers=1, task_type="CAUSAL_LM"),
    }
    for name, config in kinds.items():
        trained(make_model(), config).save_pretrained(tmp_path / name)
        for load in every_way_in(tiny_model, tmp_path / name):
            refused(load, rf"/{name}: adapter_config\.json: an adapter of the kind {name} puts learned tokens")


def test_an_activated_lora_is_refused(tiny_model, adapter):
    change(adapter, alora_invocation_tokens=[5, 6])
    refused(lambda: loaded(tiny_model, adapter), "of the kind activated LoRA works only after certain tokens")


def test_an_adapter_of_a_kind_that_peft_does_not_know_is_one_line(tiny_model, adapter):
    change(adapter, peft_type="NEXT_YEARS_KIND")
    refused(lambda: loaded(tiny_model, adapter), r"model\.adapter: cannot load .*NEXT_YEARS_KIND")


@pytest.mark.parametrize(
    ("made_for", "is_mentioned"),
    [
        ("maker/another-model", True),
        ("/models/another-model/", True),
        ("tiny", True),
        ("/elsewhere/{name}", False),
        ("/elsewhere/{name}/", False),
        ("C:\\models\\{name}", False),
        ("maker/{NAME}", False),
        ("/cache/hub/models--maker--{name}/snapshots/0123abcd", False),
        ("/cache/paft/{name}-0123456789ab", False),
        (None, False),
        ("", False),
    ],
)
def test_an_adapter_made_for_another_base_model_is_noted_with_both_names(
    tmp_path, tiny_model, adapter, made_for, is_mentioned
):
    model = shutil.copytree(tiny_model, tmp_path / "Base-Model-1B")
    base = made_for and made_for.format(name="Base-Model-1B", NAME="BASE-MODEL-1B")
    change(adapter, base_model_name_or_path=base)
    notes = loaded(str(model), adapter)[1][1:]
    assert notes == (
        [f"note: config key model.adapter: {adapter} was made for {base}, and is used on {model}"]
        if is_mentioned
        else []
    )


def test_a_saved_adapter_names_the_revision_of_its_base_model(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr("paft.models.load.model_folder", lambda path, say, revision: path)  # as if from the hub
    config = ModelConfig(path=tiny_model, revision="v1.0", dtype="float32")
    model, _ = load_model(config, lambda line: None)
    add_adapter(model, LoraSection()).save_pretrained(tmp_path / "new")
    assert json.loads((tmp_path / "new/adapter_config.json").read_text())["revision"] == "v1.0"
    said = loaded(tiny_model, tmp_path / "new", revision="v2.0")[1]
    assert said[1].endswith(f"was made for {tiny_model} at revision v1.0, and is used on revision v2.0")
    for same in ({"revision": "v1.0"}, {}):
        assert len(loaded(tiny_model, tmp_path / "new", **same)[1]) == 1


def test_an_adapter_trained_on_a_merged_one_names_both_and_is_not_loaded_on_the_first_model_alone(
    tmp_path, tiny_model, adapter
):
    from peft import AutoPeftModelForCausalLM

    model, _ = loaded(tiny_model, adapter)
    add_adapter(model, LoraSection()).save_pretrained(tmp_path / "new")
    name = f"{tiny_model} with {adapter} merged"
    assert json.loads((tmp_path / "new/adapter_config.json").read_text())["base_model_name_or_path"] == name
    with pytest.raises(OSError, match="merged"):
        AutoPeftModelForCausalLM.from_pretrained(tmp_path / "new")
    assert loaded(tiny_model, tmp_path / "new")[1][1].endswith(f"was made for {name}, and is used on {tiny_model}")


def test_a_model_with_an_adapter_scores_alike_merged_and_apart(tiny_model, adapter):
    scores = []
    for merge in (True, False):
        engine = Engine(loaded(tiny_model, adapter, merge)[0], ChatFormat(make_tokenizer()))
        [[row]] = engine.score([Conversation("Why?")], [["yes", "no"]])
        scores.append(row)
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
