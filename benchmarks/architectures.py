"""Which architectures are packed, padded or refused: what a tiny random model of each did.

    python benchmarks/architectures.py

Each model is trained, scored and asked to generate in float32, and compared with every row alone, run by
transformers without paft. The table tells how the rows ran; a result that differs by more than rounding is shown
as such, and the exit code is 1.
"""

import string
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from side_by_side import arguments, machine, write
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from paft.engine.engine import Engine
from paft.engine.pack import Row, answer_loss
from paft.models.chat import ChatFormat
from paft.types import Conversation

WINDOW = 48
SIZE = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": 0,
    "pad_token_id": 1,
    "bos_token_id": 2,
}
SLIDING = {"sliding_window": WINDOW}
MIXED = SLIDING | {"layer_types": ["sliding_attention"] * 3 + ["full_attention"]}
SHARED_KEYS = SLIDING | {
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "head_dim": 8,
    "vocab_size_per_layer_input": 128,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 2,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "head_dim": 8,
    "shared_expert_intermediate_size": 16,
}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_inner": 64}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("Llama", {}),
    "Llama 4": ("Llama4Text", {"head_dim": 8, "attention_chunk_size": WINDOW, "num_local_experts": 2}),
    "Llama 4, attn_temperature_tuning off": (
        "Llama4Text",
        {"head_dim": 8, "attention_chunk_size": WINDOW, "num_local_experts": 2, "attn_temperature_tuning": False},
    ),
    "Mistral 0.1": ("Mistral", SLIDING),
    "Ministral": ("Ministral", MIXED | {"head_dim": 8}),
    "Mixtral": ("Mixtral", EXPERTS),
    "Qwen2": ("Qwen2", {}),
    "Qwen2 with use_sliding_window": ("Qwen2", SLIDING | {"use_sliding_window": True, "max_window_layers": 2}),
    "Qwen3": ("Qwen3", {"head_dim": 8}),
    "Qwen3 MoE": ("Qwen3Moe", EXPERTS | {"head_dim": 8}),
    "Qwen3-Next": ("Qwen3Next", EXPERTS | LINEAR),
    "Qwen3.5": ("Qwen3_5Text", LINEAR),
    "Gemma": ("Gemma", {"head_dim": 8}),
    "Gemma 2": (
        "Gemma2",
        SLIDING | {"head_dim": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 1.0},
    ),
    "Gemma 3": ("Gemma3Text", MIXED | {"head_dim": 8, "query_pre_attn_scalar": 8}),
    "Gemma 3n": (
        "Gemma3nText",
        SHARED_KEYS | {"laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 4, "altup_num_inputs": 2},
    ),
    "Gemma 4": ("Gemma4Text", SHARED_KEYS | {"global_head_dim": 8}),
    "Phi-2": ("Phi", {}),
    "Phi-3": ("Phi3", SLIDING),
    "gpt-oss": ("GptOss", SLIDING | EXPERTS | {"head_dim": 8}),
    "OLMo": ("Olmo", {}),
    "OLMo 2": ("Olmo2", {}),
    "OLMo 3": ("Olmo3", SLIDING),
    "OLMoE": ("Olmoe", EXPERTS),
    "SmolLM3": ("SmolLM3", {}),
    "Cohere 2": ("Cohere2", SLIDING),
    "EXAONE 4": ("Exaone4", MIXED),
    "GLM 4": ("Glm4", {"head_dim": 8}),
    "DeepSeek V3": (
        "DeepseekV3",
        {
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "n_group": 2,
            "topk_group": 1,
            "kv_lora_rank": 8,
            "q_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "first_k_dense_replace": 1,
        },
    ),
    "StarCoder2": ("Starcoder2", SLIDING),
    "Granite": ("Granite", {}),
    "Granite 4 hybrid": (
        "GraniteMoeHybrid",
        MAMBA
        | {
            "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention"],
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 32,
        },
    ),
    "Jamba": (
        "Jamba",
        {
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "Bamba": ("Bamba", MAMBA | {"attn_layer_indices": [1]}),
    "Falcon-H1": ("FalconH1", MAMBA | {"mamba_d_ssm": 64}),
    "LFM2": (
        "Lfm2",
        {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "block_multiple_of": 8},
    ),
    "RecurrentGemma": ("RecurrentGemma", {"attention_window_size": WINDOW}),
    "Mamba": ("Mamba", {"state_size": 4}),
    "Mamba 2": ("Mamba2", {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1}),
    "GPT-2": ("GPT2", GPT),
    "GPT-J": ("GPTJ", GPT | {"rotary_dim": 8}),
    "GPT-Neo": (
        "GPTNeo",
        {"num_heads": 4, "attention_types": [[["global", "local"], 2]], "window_size": WINDOW},
    ),
    "GPT-NeoX, Pythia": ("GPTNeoX", {}),
    "Falcon": ("Falcon", {}),
    "OPT": ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "StableLM": ("StableLm", {}),
    "BLOOM": ("Bloom", {"n_layer": 2, "n_head": 4}),
    "MPT": ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2}),
    "RWKV": ("Rwkv", {"attention_hidden_size": 32}),
    "T5": ("T5", {}),
}
"""The class of transformers' config without ``Config``, and what it changes in :data:`SIZE`."""

QUESTIONS = [Conversation(text) for text in ("Is fire hot?", "Is fire hot, or is it not?", "Is it? " * 6)]
LONG = [*QUESTIONS, Conversation("Is it? " * 12), Conversation("Is " * 30)]
OPTIONS = ("yes", "no", "perhaps")
NEW_TOKENS = 7  # with them, or the longest option, the longest question fills the window
KINDS = ("training", "scoring", "generation")
HEADER = "| rows | architectures |\n|---|---|"
SEPARATOR = "; "


def tiny_model(family: str, **changes: Any) -> Any:
    """Return a random model, float32; its weights are large enough for attention to differ between keys."""
    torch.manual_seed(0)
    name, own = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**(SIZE | own | changes))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data *= 3
    return model


def characters() -> ChatFormat:
    """Return a format in which every character is a token."""
    vocabulary = {token: place for place, token in enumerate(["<end>", "<pad>", "<start>", *string.printable])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return ChatFormat(
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>"),
        "none",
    )


class Alone:
    """What transformers computes for each row by itself."""

    def __init__(self, model: Any, format: ChatFormat):
        self.model, self.format = model, format

    def log_probs(self, row: Row) -> torch.Tensor:
        """Return the log-probability of each answer token."""
        logits = self.model(torch.tensor([list(row.ids[:-1])]), use_cache=False).logits[0, -row.answer :]
        return logits.log_softmax(-1)[range(row.answer), list(row.ids[-row.answer :])]

    def scores(self, questions: Sequence[Conversation]) -> torch.Tensor:
        """Return the score of each question's options."""
        answers = [self.format.answer(option) for option in OPTIONS]
        rows = [Row(p + a, len(a)) for p in self.format.prompts(questions) for a in answers]
        with torch.no_grad():
            return torch.stack([self.log_probs(row).sum() for row in rows]).view(-1, len(OPTIONS))

    def gradients(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the loss, and the gradients of all weights, in one vector."""
        scores = torch.cat([self.log_probs(row) for row in rows])
        return _gradients(self.model, -scores.mean())

    def texts(self, questions: Sequence[Conversation]) -> list[str]:
        """Return what the model writes."""
        found = []
        for prompt in self.format.prompts(questions):
            ids = torch.tensor([prompt])
            output = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=NEW_TOKENS,
                eos_token_id=self.format.end[0],
            )
            found.append(
                self.format.decode([i for i in output[0, len(prompt) :].tolist() if i != self.format.end[0]])
            )
        return found


def training_rows(engine: Engine, questions: Sequence[Conversation]) -> list[Row]:
    """Return each question with two answers."""
    prompts = engine.format.prompts(questions)
    return [engine.row(prompt, answer) for prompt in prompts for answer in OPTIONS[:2]]


def check(family: str) -> dict[str, str]:
    """Return how each kind of work ran, of rows within the window and of longer ones."""
    try:
        model, format = tiny_model(family), characters()
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        refused = {f"{prefix}{kind}": "refused" for prefix in ("", "longer ") for kind in KINDS}
        return refused | {"window": "", "reason": "it is no causal language model"}
    messages: list[str] = []
    engine, alone = Engine(model, format, say=messages.append), Alone(model, format)
    jobs = {"": QUESTIONS, "longer ": LONG}
    expected = {
        prefix: (alone.gradients(training_rows(engine, qs)), alone.scores(qs), alone.texts(qs))
        for prefix, qs in jobs.items()
    }
    found = {}
    for prefix, questions in jobs.items():
        gradients, scores, texts = expected[prefix]
        rows = training_rows(engine, questions)
        engine.choose_batch_format(rows)
        with watched(model) as formats:
            found[f"{prefix}training"] = "refused"
            if engine.keeps_logits:
                inputs = engine.inputs(rows)
                labels = inputs.pop("labels")
                mine = _gradients(model, answer_loss(engine.forward(inputs), labels, None))
                found[f"{prefix}training"] = _outcome(
                    formats, (mine - gradients).abs().max() / gradients.abs().max()
                )
        with watched(model) as formats:
            mine = torch.tensor(
                [row for batch in engine.score(questions, [OPTIONS] * len(questions)) for row in batch]
            )
            found[f"{prefix}scoring"] = _outcome(formats, (mine - scores).abs().max())
        with watched(model) as formats:
            written = [g.text for batch in engine.generate(questions, NEW_TOKENS) for g in batch]
            found[f"{prefix}generation"] = _outcome(formats, torch.tensor(float(written != texts)))
    window = str(engine.window) if engine.window and engine.batch_format != "padded" else ""
    reason = messages[0].split("slower: ")[-1] if engine.batch_format == "padded" else ""
    return found | {"window": window, "reason": reason}


@contextmanager
def watched(model: Any) -> Iterator[set[str]]:
    """Yield a set that takes the formats of the batches that the model meets."""
    formats: set[str] = set()

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        if mask is not None:
            tree = "packed" if mask.dtype == torch.int64 else "packed, dense mask"
            formats.add("padded" if mask.dim() == 2 else tree)

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    yield formats
    hook.remove()


def _outcome(formats: set[str], difference: torch.Tensor) -> str:
    if "packed" in formats:
        formats -= {"packed, dense mask"}  # of a step of generation
    how = " and ".join(sorted(formats)) or "row by row"
    return how if difference < 1e-4 else f"{how}, differs by {float(difference):.2g}"


def _gradients(model: Any, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    gradients = [w.grad.flatten() if w.grad is not None else torch.zeros(w.numel()) for w in model.parameters()]
    return torch.cat([loss.detach()[None], *gradients])


def way(found: dict[str, str]) -> str:
    """Return how a family's rows ran, in words: one line of the table."""
    kinds = [found[kind] for kind in KINDS]
    text = kinds[0] if len(set(kinds)) == 1 else ", ".join(f"{found[kind]} in {kind}" for kind in KINDS)
    if found["window"]:
        longer = [found[f"longer {kind}"] for kind in KINDS]
        text += ", longer rows " + ("padded" if all("padded" in each for each in longer) else "; ".join(longer))
    return f"{text}: {found['reason']}" if found["reason"] else text


def table(found: dict[str, dict[str, str]]) -> str:
    """Return the table of ``docs/architectures.md``: the families by the way they ran."""
    ways: dict[str, list[str]] = {}
    for family, row in found.items():
        ways.setdefault(way(row), []).append(family)
    return "\n".join([HEADER, *(f"| {text} | {SEPARATOR.join(families)} |" for text, families in ways.items())])


def read_table(text: str) -> dict[str, str]:
    """Return the way of each family in a table."""
    lines = text[text.index(HEADER) :].split("\n\n")[0].splitlines()[2:]
    cells = [line.strip("|").split("|") for line in lines]
    return {family.strip(): way.strip() for way, families in cells for family in families.split(SEPARATOR)}


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__)
    transformers.logging.set_verbosity_error()
    found = {family: check(family) for family in FAMILIES}
    print(table(found))
    write(
        options.output / "architectures.json", {"benchmark": "architectures", "found": found, "machine": machine()}
    )
    sys.exit(any("differs" in value for row in found.values() for value in row.values()))


if __name__ == "__main__":
    main()
