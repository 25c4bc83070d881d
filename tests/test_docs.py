"""What the documents show works: the README is walked through, and no command or snippet names what is not there."""

import json
import random
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest
import torch
import typer
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT, WORDS, make_model, make_tokenizer, things, write_rows
from endpoints import Server, answer
from paft.cli import app as cli
from paft.config.load import load_config

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEPARTMENTS = ["billing", "delivery", "returns"]


@cache
def blocks(document: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def commands(document: Path) -> list[list[str]]:
    """The words of each command; the loops of docs/results.md once, with the variable's name as its value."""
    lines = "".join(blocks(document, "bash")).splitlines()
    lines = [re.sub(r"^for .*?; do (.*); done$", r"\1", line) for line in lines]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


SHOWN = [(document, words) for document in DOCUMENTS for words in commands(document)]
LABELS = [f"{document.name}: {' '.join(words)[:60]}" for document, words in SHOWN]


@pytest.mark.parametrize(("document", "words"), SHOWN, ids=LABELS)
def test_every_command_shown_is_one(document, words):
    program, *arguments = words
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "python":
        shared = (ROOT / "benchmarks/side_by_side.py").read_text()
        script, options = (ROOT / arguments[0]).read_text(), [w[2:] for w in arguments if w.startswith("--")]
        assert all(re.search(rf"\b{option}=", script) or f'"--{option}"' in shared + script for option in options)
    elif program == "paft":
        group = typer.main.get_command(cli.app)
        while isinstance(group, click.Group):
            name, command, rest = group.resolve_command(click.Context(group), arguments)
            assert command is not None, name
            group, arguments = command, rest
        assert group.make_context(" ".join(words[:2]), list(arguments))
        for word in words:
            if word.startswith("examples/") and "$" not in word and "*" not in word:
                assert (ROOT / word).is_file()
    elif program == "torchrun":
        assert words[words.index("-m") + 1] == "paft"
    else:
        assert program in ("transformers", "vllm", "pip", "accelerate")  # other people's


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_every_link_to_a_file_or_heading_leads_there(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = document.parent / path if path else document
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


SECTIONS = [
    (document, text)
    for document in DOCUMENTS
    for text in blocks(document, "yaml")
    if document.name != "README.md" or "tickets_train" not in text
]


@pytest.mark.parametrize(("document", "text"), SECTIONS, ids=[f"{d.name}: {t[:20]}" for d, t in SECTIONS])
def test_every_config_shown_is_read(tmp_path, document, text):
    """A part of a config, laid over a whole one."""
    whole = yaml.safe_load((ROOT / "examples/trec.yaml").read_text())
    part = yaml.safe_load(text.replace("\n  ...\n", "\n"))
    if "model" in part:
        whole |= {"methods": ["base"], "model": {}}
    for key, value in part.items():
        whole[key] = whole.get(key, {}) | value if isinstance(value, dict) else value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
    config = load_config(tmp_path / "config.yaml", [])
    assert config.model_dump(include=set(part))


class Tickets:
    """A folder as the README's reader has it: the config of the README, data, prompts, a pool from elsewhere."""

    def __init__(self, folder: Path, model: str, endpoint: str):
        self.folder, self.endpoint = folder, endpoint
        [config] = [text for text in blocks(ROOT / "README.md", "yaml") if "tickets_train" in text]
        path = "HuggingFaceTB/SmolLM2-1.7B-Instruct"
        assert path in config
        (folder / "tickets.yaml").write_text(config.replace(path, model).replace("epochs: 3", "epochs: 1"))
        for split, count, first in (("train", 12, 0), ("test", 6, 100)):
            rows = [f"thing {i},{DEPARTMENTS[i % 3]}" for i in range(first, first + count)]
            (folder / f"tickets_{split}.csv").write_text("\n".join(["message,department", *rows]) + "\n")
        train = ["Where does this go? {message} One of: {choices}", "{message}\nDepartment:", "To whom: {message}"]
        test = ["{message} -> {choices}?", "Read this and say who is to answer it, please. {message}"]
        write_rows(folder / "prompts_train.jsonl", [{"text": text} for text in train])
        write_rows(folder / "prompts_test.jsonl", [{"text": text} for text in test])
        (folder / "pool.csv").write_text('text\n"Sort it: {message}"\n"Which desk takes {message}?"\n')
        (folder / "examples").symlink_to(ROOT / "examples")

    def arguments(self, words: list[str]) -> list[str]:
        """The command, small enough for a test where the README's own is not."""
        if words[1:3] == ["evaluate", "examples/served.yaml"]:
            rows = [{"question": f"What is {i}?", "label": "entity"} for i in range(3)]
            data = write_rows(self.folder / "questions.jsonl", rows)
            return [*words[1:], f"model.base_url={self.endpoint}", f"task.test={data}", "prompts.test.size=2"]
        if words[1] == "gate":  # the tiny model falls short of any figure that a reader would ask for
            return [*words[1:-1], "mean>=0"]
        return words[1:]


def reply(body):
    """What a language model says: to a request for prompts some prompts, else a label."""
    text = json.dumps(body["messages"])
    if "prompts" not in text:
        return 200, answer("entity"), {}
    draw = random.Random(text + str(body.get("seed")))
    texts = [" ".join(draw.sample(WORDS, 7)) + " {message}" for _ in range(6)]
    return 200, answer(json.dumps({"prompts": [{"system": "", "text": text} for text in texts]})), {}


def test_the_readme_can_be_walked_through(tmp_path, tiny_model, monkeypatch):
    """Every ``paft`` command of the README, in order, and its snippet to load and merge."""
    server = Server(reply)
    tickets = Tickets(tmp_path, tiny_model, server.url)
    monkeypatch.chdir(tmp_path)
    done = []
    for words in commands(ROOT / "README.md"):
        if words[0] != "paft":
            continue
        monkeypatch.setattr("sys.argv", ["paft", *tickets.arguments(words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, words
        done.append(" ".join(words[1:3]))
    assert {"run tickets.yaml", "report runs/tickets", "evaluate examples/served.yaml"} <= set(done)
    for run in ("runs/tickets", "runs/second", "runs/fixed", "runs/tickets-evaluate", "runs/served-evaluate"):
        assert (tmp_path / run / "report.html").is_file(), run
    monkeypatch.setattr("sys.argv", ["paft", "report", "runs/tickets", "runs/second"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    [snippet] = [text for text in blocks(ROOT / "README.md", "python") if "merge_and_unload" in text]
    exec(snippet.replace("HuggingFaceTB/SmolLM2-1.7B-Instruct", tiny_model), {})
    merged, tuned = (
        AutoModelForCausalLM.from_pretrained("merged"),
        AutoPeftModelForCausalLM.from_pretrained("runs/tickets/methods/paft/adapter"),
    )
    ids = AutoTokenizer.from_pretrained("merged")("thing 1", return_tensors="pt").input_ids
    assert torch.allclose(merged(ids).logits, tuned(ids).logits, atol=1e-4)
    assert not torch.allclose(merged(ids).logits, tuned.unload()(ids).logits, atol=1e-4)


SMALL = ["training.examples=8", "training.max_length=2000", "training.epochs=1", "training.save_steps=500",
         "evaluation.examples=3", "evaluation.max_new_tokens=4"]  # fmt: skip
FEW_CALLS = ["baselines.top_accuracy.examples=2", "baselines.zopo={budget: 3, initial: 2, examples: 2}"]
LONG = [
    pytest.param(words, id=label, marks=pytest.mark.slow)
    for label, (document, words) in zip(LABELS, SHOWN, strict=True)
    if document.name in ("README.md", "results.md", "reproduce.md") and words[0] == "paft"
    and (words[1] == "reproduce" or words[2].startswith("examples/")) and words[1] in ("run", "reproduce")
    and "paper" not in words  # a size for a cluster of GPUs
    and not any("method: grpo" in word for word in words)  # refuses a network whose answers are never rewarded
]  # fmt: skip


@pytest.mark.parametrize("words", LONG)
def test_long_commands_run_on_a_tiny_network(tmp_path, tiny_model, shared, monkeypatch, words):
    """The same command with a few examples and a network of two layers; the data are the real ones."""
    text = " ".join(shlex.quote(word) for word in words[1:])
    for shown, meant in (("$t", "piqa"), ("$s", "0"), ("size: N", "size: 3"), ("examples/", f"{ROOT}/examples/")):
        text = text.replace(shown, meant)
    path = f"model={{path: {tiny_model}}}"
    arguments = [*shlex.split(text), path, *SMALL, *(FEW_CALLS if words[1] == "reproduce" else [])]
    if "race" in text:  # whose articles have more bytes, each a token here, than the tiny network takes
        make_model(max_position_embeddings=8192).save_pretrained(tmp_path / "long")
        make_tokenizer().save_pretrained(tmp_path / "long")
        arguments += [f"model.path={tmp_path / 'long'}", "training.max_length=8192"]
    if "bookings" not in text:  # which is free text, and has no options to compare
        arguments.append("evaluation.mode=likelihood")
    if "batprompt" in text:
        server = Server(reply)
        arguments.append(
            f"baselines.batprompt={{llm: {{model: m, base_url: '{server.url}'}}, pairs: 1, rounds: 1}}"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["paft", *arguments, "--quiet"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, arguments


def test_the_commands_on_prompts_run(tmp_path, tiny_model, monkeypatch):
    """Those of docs/prompts.md, in order, with a server of the tests for the ensemble."""
    tickets = Tickets(tmp_path, tiny_model, Server(reply).url)
    config = (
        (tmp_path / "tickets.yaml")
        .read_text()
        .replace("name: tickets", "name: tickets\n  description: Sort mail.")
    )
    asked = f"{{generate: {{models: [{{model: m, base_url: '{tickets.endpoint}'}}], zero_shot: 6, few_shot: 3}}}}"
    config = config.replace("train: prompts_train.jsonl", f"train: {asked}  #").replace(
        "  test: prompts_test", "  # "
    )
    (tmp_path / "trec.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    for words in commands(ROOT / "docs/prompts.md"):
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, words
    assert (tmp_path / "prompts/trec/train.jsonl").is_file()
    assert (tmp_path / "runs/trec/report.html").is_file()
    assert (tmp_path / "pool.jsonl").is_file()


@pytest.mark.parametrize(
    ("document", "mixin", "trainer"),
    [
        ("README.md", "DynamicPrompts,", 'SFTConfig("out"'),
        ("docs/beyond.md", "DynamicPromptGroups,", 'GRPOConfig("out", max_completion_length=4, max_steps=2'),
    ],
)
def test_the_snippet_for_trls_trainer_trains(tmp_path, monkeypatch, document, mixin, trainer):
    from peft import LoraConfig

    monkeypatch.chdir(tmp_path)
    [snippet] = [text for text in blocks(ROOT / document, "python") if mixin in text]
    settings = f'{trainer}, use_cpu=True, bf16=False, report_to="none")'
    snippet = snippet.replace(f"{trainer.split(',')[0]})", settings)
    assert settings in snippet
    torch.manual_seed(0)
    names = {
        "model": make_model(),
        "tokenizer": make_tokenizer(),
        "rows": [{"message": row["thing"], "department": DEPARTMENTS[i % 2]} for i, row in enumerate(things(6))],
        "prompts": ["Where to? {message}", "{message} =>"],
        "lora_config": LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        "reward": lambda completion_ids, **columns: [float(ids[0] % 2) for ids in completion_ids],
    }
    before = {name: value.clone() for name, value in names["model"].state_dict().items()}
    exec(snippet, names)
    after = {
        name.replace("base_layer.", ""): v for name, v in names["model"].state_dict().items() if "lora" not in name
    }
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert any(value.abs().sum() > 0 for name, value in names["model"].state_dict().items() if "lora_B" in name)


def test_the_page_of_config_keys_is_what_the_code_says():
    done = subprocess.run(
        [sys.executable, "-c", "import make_config; print(make_config.page(), end='')"],
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (ROOT / "docs/config.md").read_text(encoding="utf-8"), "run python docs/make_config.py"
    keys = set(re.findall(r"^\| `(\w+)` \|", done.stdout, re.MULTILINE))
    assert {"path", "base_url", "fields", "K", "target_modules", "cells", "budget", "epsilon_high"} <= keys
