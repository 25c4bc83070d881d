"""Where a model runs: the config's device, what each kind of device computes in, and clear refusals."""

from types import SimpleNamespace

import pytest
import torch

from conftest import make_model, make_tokenizer
from paft.config.model import ModelConfig
from paft.config.schema import Config
from paft.engine.engine import Engine
from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.models.load import load_model
from paft.utils import device as devices
from paft.utils.device import available_devices, compute_dtype, default_batch_tokens, pick_device
from paft.utils.distributed import Processes
from paft.utils.hf_internals import train_on_device


@pytest.fixture
def machine(monkeypatch):
    """A machine with accelerators, as torch reports them; returns the indices that were made current."""
    current: list[int] = []

    def install(kind: str | None, count: int = 1) -> list[int]:
        accelerator = SimpleNamespace(
            is_available=lambda: kind is not None,
            current_accelerator=lambda: torch.device(kind) if kind else None,
            device_count=lambda: count if kind else 0,
            set_device_index=current.append,
        )
        monkeypatch.setattr(torch, "accelerator", accelerator)
        return current

    return install


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps", None])
def test_auto_is_the_accelerator_of_the_machine_else_the_cpu(machine, kind):
    machine(kind)
    assert pick_device().type == (kind or "cpu")
    assert pick_device("cpu").type == "cpu"
    assert available_devices() == ["cpu", *([f"{kind}:0"] if kind else [])]


def test_a_device_that_the_config_names_becomes_the_current_one(machine):
    current = machine("cuda", 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    assert current == [1]  # where transformers and accelerate put what they make


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (None, "cuda", r"model\.device: 'cuda' is not available on this machine; use auto, cpu$"),
        (None, "mps", r"'mps' is not available"),
        ("cuda", "cuda:1", r"'cuda:1' is not available on this machine; use auto, cpu, cuda:0$"),
        ("mps", "cuda:0", r"'cuda:0' is not available on this machine; use auto, cpu, mps:0$"),
        ("cuda", "gpu", r"model\.device: 'gpu' is not a device; use auto, cpu, cuda, cuda:1, xpu or mps"),
        ("cuda", "", r"model\.device: '' is not a device"),
    ],
)
def test_an_unknown_or_absent_device_is_one_line(machine, kind, setting, message):
    machine(kind)
    with pytest.raises(UserError, match=message):
        pick_device(setting)


def test_the_launcher_assigns_the_devices_of_several_processes(machine, monkeypatch):
    machine("cuda", 2)
    assert pick_device("auto", processes=2).type == pick_device("cuda", processes=2).type == "cuda"
    with pytest.raises(UserError, match=r"with several processes the launcher assigns the devices"):
        pick_device("cuda:1", processes=2)
    machine("mps")
    assert pick_device("auto", processes=2).type == "cpu"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"model\.device"):
        Processes.joined("mps")


def test_a_device_computes_in_bfloat16_only_if_it_multiplies_in_it(monkeypatch):
    asked = {}

    def supported(including_emulation=True):
        asked["emulation"] = including_emulation
        return including_emulation  # as on a GPU before Ampere

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert compute_dtype(torch.device("cuda")) == torch.float32
    assert asked == {"emulation": False}
    assert compute_dtype(torch.device("mps")) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert compute_dtype(torch.device("cpu")) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert compute_dtype(torch.device("cpu")) == torch.float32


def test_every_accelerator_takes_the_batches_of_a_gpu():
    sizes = {kind: default_batch_tokens(torch.device(kind)) for kind in ("cpu", "cuda", "xpu", "mps")}
    assert sizes == {"cpu": 1_024, "cuda": 16_384, "xpu": 16_384, "mps": 16_384}
    assert Engine(make_model(), ChatFormat(make_tokenizer())).batch_tokens == 1_024


def test_the_configs_device_is_the_models(tiny_model, machine, monkeypatch):
    tree = {"task": {"name": "piqa"}, "model": {"path": tiny_model, "device": "cpu"}}
    config = Config.model_validate(tree).model
    machine("cuda")
    model, _ = load_model(config, lambda line: None)
    assert model.device.type == "cpu"
    machine(None)
    with pytest.raises(UserError, match=r"config key model\.device: 'cuda:1' is not available"):
        load_model(ModelConfig(path=tiny_model, device="cuda:1"), lambda line: None)


def test_a_trainer_uses_the_models_accelerator_and_no_other(machine):
    current = machine("cuda", 2)

    def settings(**changes):
        usual = {"world_size": 1, "device": torch.device("cuda:0"), "n_gpu": 2, "_n_gpu": 2}
        return SimpleNamespace(**usual | changes)

    train_on_device(args := settings(), torch.device("cuda:1"))
    assert (args._setup_devices, args._n_gpu, current) == (torch.device("cuda:1"), 1, [1])
    for args, model in [
        (settings(n_gpu=1), torch.device("cpu")),  # the Trainer moves it
        (settings(n_gpu=1, world_size=2), torch.device("cuda:1")),
        (settings(n_gpu=0, device=torch.device("cpu")), torch.device("cpu")),
    ]:
        train_on_device(args, model)
        assert not hasattr(args, "_setup_devices")
    assert current == [1]


def test_the_random_state_of_an_accelerator_is_restored_where_torch_can(machine, monkeypatch):
    forked = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda **settings: forked.append(settings))
    for name in ("cpu", "mps", "cuda:1"):
        devices.forked_rng(torch.device(name), enabled=True)
    assert [f["devices"] for f in forked] == [[], [], [1]]
