"""``examples/paft_from_scratch.py`` and the package do the same: the same losses and accuracies from the same seed."""

import importlib.util

import pytest
import torch

from conftest import ROOT, make_model, make_tokenizer
from paft.config.load import load_config
from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.models.adapters import with_adapter
from paft.models.chat import ChatFormat
from paft.prompts.files import load_prompts
from paft.prompts.template import render
from paft.tasks.load import load_task, subset
from paft.training.data import PromptData
from paft.training.finetune import AdapterTraining, finetune
from paft.utils.console import Console
from paft.utils.io import read_log

DEMO = ROOT / "src/paft/tasks/demo"


def from_scratch():
    spec = importlib.util.spec_from_file_location("paft_from_scratch", ROOT / "examples/paft_from_scratch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_gives_the_losses_and_accuracies_of_the_package(tmp_path, capsys):
    script = from_scratch()
    settings = {"K": 2, "batch_size": 4, "seed": 3}
    size = {"max_position_embeddings": 4096}

    rows = script.subset(script.read(DEMO / "train.jsonl"), 18, 3)
    test_rows = script.subset(script.read(DEMO / "test.jsonl"), 6, 3)
    bank = ROOT / "src/paft/prompts/bank/trec"
    prompts = script.read(bank / "train.jsonl")
    test_prompts = script.read(bank / "test.jsonl")[:3]
    tokenizer = make_tokenizer()
    model, losses = script.train(
        make_model(**size), tokenizer, rows, prompts, epochs=2, learning_rate=1e-2, **settings
    )
    accuracies = script.evaluate(model, tokenizer, test_rows, test_prompts)

    config = load_config(DEMO / "config.yaml")
    task, train, test = load_task(config.task)
    train, test = subset(train, 18, 3), subset(test, 6, 3)
    assert [e.fields["question"] for e in train] == [row["question"] for row in rows]
    engine = Engine(make_model(**size), ChatFormat(tokenizer))
    arguments = {
        "num_train_epochs": 2,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "report_to": "none",
    }
    prompts = load_prompts(config.prompts.train, "train", 0)
    lora = LoraSection(target_modules="all-linear")
    finetune(
        PromptData(engine, task, train, prompts, settings["K"], settings["seed"]),
        AdapterTraining(tmp_path, lora, settings["batch_size"], arguments, Console(quiet=True)),
    )
    assert engine.batch_format == "tree"
    log = read_log(tmp_path / "train.jsonl")
    assert len(log) == len(losses) == 10
    assert [row["loss"] for row in log] == pytest.approx(losses, abs=1e-4)
    with with_adapter(engine, tmp_path / "adapter"):
        for prompt, accuracy in zip(
            load_prompts(str(bank / "test.jsonl"), "test", 0)[:3], accuracies, strict=True
        ):
            questions = [render(prompt, task, example) for example in test]
            options = [task.candidates(example) for example in test]
            scores = [question for batch in engine.score(questions, options) for question in batch]
            best = [int(torch.tensor(question).argmax()) for question in scores]
            assert accuracy == pytest.approx(sum(b == e.target for b, e in zip(best, test, strict=True)) / 6)
    script.report("after", accuracies)
    assert "after: mean" in capsys.readouterr().out


def test_the_script_is_short_and_imports_nothing_of_the_package():
    source = (ROOT / "examples/paft_from_scratch.py").read_text()
    assert "import paft" not in source
    assert "from paft" not in source
    assert len(source.splitlines()) < 200
