"""The checks of `gpu.py`, one per call, each in a process of its own: a GPU that fails takes its process with it.

    python benchmarks/gpu_checks.py --check qwen2 --result qwen2.json

`kernels` compares the compiled FlexAttention of a packed tree with attention in float64, at the head sizes of real
models, and counts its compilations. Each other check compares the same rows of a model packed and right-padded:
losses, LoRA gradients, option scores and generated tokens, the tokens also with `model.generate` of transformers.
`llama`, `qwen2` and `gemma3` are tiny random models, `smollm2` is the embedded one and `4bit` the same in 4 bits.

In float32 the results must be equal within rounding. In bfloat16 both ways round, so each is compared with
right-padded rows in float32: the error of packed rows may be twice that of padded ones. A model that is not run by
the attention for GPUs fails its check, whatever its results. On a CPU that attention runs uncompiled.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import transformers
from architectures import characters, tiny_model
from peft import LoraConfig, get_peft_model
from side_by_side import Job, write
from torch._dynamo.utils import counters
from torch.nn.attention import flex_attention as flex

from paft.engine import block_sparse
from paft.engine.attention import visible
from paft.engine.engine import Engine
from paft.engine.pack import Row, TokenTree, answer_loss
from paft.models.chat import ChatFormat
from paft.models.quantization import quantization_of
from paft.prompts.template import render
from paft.training.data import rows as training_rows
from paft.types import Conversation, Generation
from paft.utils.device import pick_device
from paft.utils.hf_internals import attention_implementation

WINDOW = 256
TINY = {"hidden_size": 64, "head_dim": 16, "max_position_embeddings": 1024}
"""Changes of the tiny models: FlexAttention's kernels need heads of at least 16 numbers."""
FAMILIES = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "gemma3": ("Gemma 3", {"sliding_window": WINDOW, "query_pre_attn_scalar": 16}),
}
THINGS = ("bears", "whales", "elephants", "trees", "houses", "ships", "planets", "ants")
NEW_TOKENS = 12
HEADS = ((9, 3, 64), (12, 2, 128), (4, 1, 256))
"""Query heads, key-value heads and head size of SmolLM2-135M, Qwen2.5-1.5B and Gemma 3 270M."""
LENGTHS = (1500, 1100, 2300, 700)


@dataclass
class Subject:
    """A model with rows to train on and questions to score and to generate answers to."""

    model: Any
    format: ChatFormat
    rows: list[Row]
    questions: list[Conversation]
    options: list[Sequence[str]]


class Recording(Engine):
    """An engine that keeps the messages about its batch format and the tokens that it generates."""

    def __init__(self, model: Any, format: ChatFormat, batch_format: Any = None) -> None:
        self.messages: list[str] = []
        self.written: list[list[int]] = []
        super().__init__(model, format, say=self.messages.append)
        self.batch_format = batch_format

    def _generation(self, ids: list[int], stops: set[int], stop: Sequence[str]) -> Generation:
        self.written.append(ids)
        return super()._generation(ids, stops, stop)

    def _generation_batches(self, prompts: list[list[int]], cached: int) -> Iterator[list[int]]:
        """Yield one batch, so that the tokens are kept in the order of the questions."""
        yield list(range(len(prompts)))


@dataclass
class Results:
    """What one batch format computes."""

    loss: float
    gradients: torch.Tensor
    scores: torch.Tensor
    tokens: list[list[int]]


class Report:
    """The rows of a check's table."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, dtype: str, difference: float, allowed: float, **more: Any) -> None:
        """Add a row; it passes if the difference is a number and at most what is allowed."""
        row = {"what": what, "dtype": dtype, "difference": difference, "allowed": allowed, **more}
        self.rows.append(row | {"passed": difference <= allowed})
        print(json.dumps(self.rows[-1]), file=sys.stderr, flush=True)


def tiny(family: str, few: bool) -> Subject:
    """Return a tiny random model in bfloat16, with rows shorter than its window in a tree that is longer."""
    name, changes = FAMILIES[family]
    format = characters()
    start = "Every question is about one thing, and the answer is a word. " * 2
    questions = [
        Conversation(f"{start}Here {thing} are {'very ' * (2 + i)}large; what are they?")
        for i, thing in enumerate(THINGS[: 3 if few else None])
    ]
    options = ("yes", "no", "perhaps")
    rows = [
        Row(prompt + answer, len(answer))
        for prompt in format.prompts(questions)
        for answer in (format.answer(option) + format.end for option in options[:2])
    ]
    model = tiny_model(name, **TINY, **changes).bfloat16()
    return Subject(model, format, rows, questions, [options] * len(questions))


def real(overrides: Sequence[str], prompts: int, examples: int) -> Subject:
    """Return a model with rows and questions of the demo's task."""
    job = Job("smollm2", list(overrides))
    few = job.test[:examples]
    asked = job.prompts.test[:prompts]
    rows = training_rows(job.engine, job.task, [asked[i % prompts] for i in range(examples)], few)
    questions = [render(prompt, job.task, example) for prompt in asked for example in few]
    options = [job.task.candidates(example) for example in few] * prompts
    return Subject(job.model, job.engine.format, rows, questions, options)


def with_adapter(model: Any, dtype: torch.dtype) -> Any:
    """Return the model in a number format, with an adapter in float32 that is the same for every format."""
    if quantization_of(model) == "none":
        model = copy.deepcopy(model).to(pick_device(), dtype)
    lora = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(model, lora).eval()
    draw = torch.Generator().manual_seed(0)
    for weight in (p for p in model.parameters() if p.requires_grad):
        weight.data = (torch.randn(weight.shape, generator=draw) / 30).to(weight.device)
    return model


def measure(engine: Recording, subject: Subject) -> Results:
    """Compute everything with an engine; its batch format is chosen first if it has none."""
    if engine.batch_format is None:
        engine.choose_batch_format(subject.rows, gradients=True)
    engine.model.zero_grad()
    inputs = {name: tensor.to(engine.model.device) for name, tensor in engine.inputs(subject.rows).items()}
    loss = answer_loss(engine.forward(inputs), inputs.pop("labels"), None)
    loss.backward()
    gradients = [p.grad.flatten() for p in engine.model.parameters() if p.grad is not None]
    scores = [s for batch in engine.score(subject.questions, subject.options) for row in batch for s in row]
    engine.written = []
    for _ in engine.generate(subject.questions, NEW_TOKENS):
        pass
    return Results(loss.item(), torch.cat(gradients).cpu(), torch.tensor(scores), engine.written)


def compare(subject: Subject, report: Report, formats: Sequence[torch.dtype]) -> None:
    """Compare packed with right-padded rows, and add the rows of the table."""
    exact, reference = None, None
    for dtype in formats:
        model, name = with_adapter(subject.model, dtype), str(dtype).removeprefix("torch.")
        padded, packed = Recording(model, subject.format, "padded"), Recording(model, subject.format)
        beside, mine = measure(padded, subject), measure(packed, subject)
        own = attention_implementation(model.get_base_model(), ()) == block_sparse.NAME
        report.add("not run by the attention for GPUs", name, float(packed.batch_format != "tree" or not own), 0,
                   messages=packed.messages)  # fmt: skip
        if exact is None or reference is None:
            exact, reference = padded, beside
            report.add("loss", name, abs(mine.loss - beside.loss), 1e-4)
            largest = beside.gradients.abs().max()
            report.add("gradients", name, float((mine.gradients - beside.gradients).abs().max() / largest), 1e-3)
            report.add("scores", name, float((mine.scores - beside.scores).abs().max()), 1e-3)
            report.add("tokens", name, _differing(mine.tokens, beside.tokens), 0)
            report.add("tokens of model.generate", name, _differing(mine.tokens, alone(packed, subject)), 0)
            if packed.window is not None:
                report.add("scores, rows longer than the window", name, _beyond_the_window(packed, padded), 1e-3)
            continue
        errors = [_errors(found, reference, exact, subject) for found in (mine, beside)]
        for what, floor in {"loss": 0.02, "gradients": 0.02, "scores": 0.02, "tokens": 0.02}.items():
            report.add(what, name, errors[0][what], 2 * errors[1][what] + floor, padded=errors[1][what])


def _differing(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> float:
    """Return how many answers differ."""
    return sum(list(a) != list(b) for a, b in zip(left, right, strict=True))


def alone(engine: Engine, subject: Subject) -> list[list[int]]:
    """Return the tokens that `model.generate` of transformers writes for each question alone."""
    base = engine.model.get_base_model()
    mine = attention_implementation(base, ())
    base.set_attn_implementation("sdpa")
    answers = []
    for prompt in subject.format.prompts(subject.questions):
        ids = torch.tensor([prompt], device=base.device)
        output = engine.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, repetition_penalty=1.0,
            max_new_tokens=NEW_TOKENS, eos_token_id=sorted(engine.stops),
        )  # fmt: skip
        answers.append(output[0, len(prompt) :].tolist())
    base.set_attn_implementation(mine)
    return answers


def _beyond_the_window(packed: Engine, padded: Engine) -> float:
    """Return the largest difference of scores where every other question exceeds the window."""
    questions = [Conversation("Is it large? " * count) for count in (4, WINDOW // 8, 5, WINDOW // 6)]
    found = [
        torch.tensor([row for batch in each.score(questions, [("yes", "no")] * len(questions)) for row in batch])
        for each in (packed, padded)
    ]
    return float((found[0] - found[1]).abs().max())


def _errors(found: Results, reference: Results, exact: Engine, subject: Subject) -> dict[str, float]:
    """Return how far results are from those in float32.

    ``loss`` is relative, ``gradients`` the norm of the error over that of the gradients, ``scores`` a mean;
    ``tokens`` the mean of how much less likely each token is, in float32, than the likeliest one, in nats.
    """
    rows = [
        Row(prompt + ids, len(ids))
        for prompt, ids in zip(subject.format.prompts(subject.questions), found.tokens, strict=True)
    ]
    inputs = {name: tensor.to(exact.model.device) for name, tensor in exact.inputs(rows).items()}
    labels = inputs.pop("labels")
    with torch.no_grad():
        logits = exact.forward(inputs).float()
    behind = logits.max(-1).values - logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return {
        "loss": abs(found.loss / reference.loss - 1),
        "gradients": float((found.gradients - reference.gradients).norm() / reference.gradients.norm()),
        "scores": float((found.scores - reference.scores).abs().mean()),
        "tokens": float(behind[labels != -100].mean()),
    }


def kernels(report: Report) -> None:
    """Compare the compiled kernels with attention in float64, forward and backward, and time them."""
    device = pick_device()
    for heads, shared, size in HEADS:
        counters.clear()
        compiled = []
        for length in LENGTHS:
            draw = torch.Generator().manual_seed(length)
            ids = torch.randint(0, 9, (8, length // 8), generator=draw).tolist()
            tree = TokenTree([[1] * (length // 8) + row for row in ids])
            ends, nodes = torch.tensor(tree.ends, device=device), len(tree.ids)
            inputs = [
                torch.randn(1, count, nodes, size, generator=draw).to(device, torch.bfloat16)
                for count in (heads, shared, shared)
            ]
            shown = visible(ends, nodes)

            def tree_attention(*qkv: torch.Tensor, ends: torch.Tensor = ends) -> torch.Tensor:
                return block_sparse.block_sparse_attention(torch.nn.Module(), *qkv, ends[None, None, None])[0]

            def dense(*qkv: torch.Tensor, shown: torch.Tensor = shown) -> torch.Tensor:
                return torch.nn.functional.scaled_dot_product_attention(
                    *qkv, attn_mask=shown, enable_gqa=True
                ).transpose(1, 2)

            started = time.perf_counter()
            found = _with_gradients(tree_attention, inputs)
            seconds = time.perf_counter() - started
            compiled.append(counters["stats"]["unique_graphs"])
            exact = _with_gradients(dense, [x.double() for x in inputs])
            beside = _with_gradients(dense, inputs)
            error, dense_error = (
                max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(each, exact, strict=True))
                for each in (found, beside)
            )
            times = {"first_seconds": seconds}
            if length == LENGTHS[-2]:
                times["tree_ms"] = _milliseconds(tree_attention, inputs)
                times["dense_ms"] = _milliseconds(dense, inputs)
            what = f"{heads} and {shared} heads of {size}, {nodes} tokens"
            report.add(what, "bfloat16", error, 2 * dense_error + 2**-8, padded=dense_error, **times)
        again = compiled[-1] - compiled[1]
        what = f"heads of {size}, compiled anew after the second length"
        report.add(what, "bfloat16", again, 0, graphs=compiled)


def _with_gradients(function: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    output = function(*leaves)
    draw = torch.Generator().manual_seed(1)
    output.backward(torch.randn(output.shape, generator=draw).to(output.device, output.dtype))
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def _milliseconds(function: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], times: int = 20) -> float:
    """Return the time of a forward and backward pass."""
    _with_gradients(function, inputs)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(times):
        _with_gradients(function, inputs)
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / times * 1e3


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run the attention for GPUs on a CPU, in plain PyTorch, which has gradients once it may run there."""
    with (
        patch.object(block_sparse, "_kernel", lambda: flex.flex_attention),
        patch.object(flex, "_validate_device", lambda *tensors: None),
        patch("paft.engine.engine.TREE_ATTENTION", {"cpu": block_sparse}),
    ):
        yield


def run(check: str, report: Report, few: bool) -> None:
    """Run one check."""
    size = (1, 2) if few else (2, 6)
    if check == "kernels":
        kernels(report)
    elif check in FAMILIES:
        compare(tiny(check, few), report, (torch.float32, torch.bfloat16))
    elif check == "smollm2":
        compare(real(["model.dtype=bfloat16"], *size), report, (torch.float32, torch.bfloat16))
    else:
        subject = real(["model.dtype=float32", "model.quantization=4bit"], *size)
        report.add("not in 4 bits", "float32", float(quantization_of(subject.model) != "4bit"), 0)
        compare(subject, report, (torch.float32,))


def main() -> None:
    """Run the check that is named; the exit code is 1 if one of its rows fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", choices=["kernels", *FAMILIES, "smollm2", "4bit"], required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--few", action="store_true", help="fewer questions")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    report = Report()
    try:
        if pick_device().type == "cuda":
            run(options.check, report, options.few)
        else:
            with uncompiled():
                run(options.check, report, options.few)
    finally:
        write(options.result, {"check": options.check, "rows": report.rows})
    failed = [row for row in report.rows if not row["passed"]]
    if failed:
        first = failed[0]
        print(
            f"{first['dtype']}, {first['what']}: {first['difference']:.3g}, allowed {first['allowed']:.3g}",
            file=sys.stderr,
        )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
