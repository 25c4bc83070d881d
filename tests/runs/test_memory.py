"""What doctor says of a run's memory: near what the run takes, and with the settings that lower it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from command import paft, paft_here
from conftest import ROOT
from paft.utils.live_memory import LiveMemory


def test_live_memory_counts_what_is_alive_and_the_gradients_but_no_view_twice():
    with torch.device("meta"):
        weights = torch.nn.Parameter(torch.empty(100, 50))
        with LiveMemory([weights]) as memory:
            assert memory.bytes == 4 * 5_000
            inputs = torch.empty(10, 50)
            outputs = (inputs @ weights.T).view(20, 50)
            assert memory.bytes == 4 * (5_000 + 500 + 1_000)
            loss = outputs.exp().sum()
            assert memory.bytes == 4 * (5_000 + 500 + 1_000 + 1_000 + 1)  # exp keeps its result
            del inputs, outputs
            loss.backward()
            del loss
    assert memory.bytes == 4 * 2 * 5_000
    assert memory.peak == 4 * (2 * 5_000 + 500 + 1_000 + 2)  # inputs, gradients of outputs and loss, the loss


def estimates(config) -> dict[str, float]:
    """Return what doctor says of the config, in bytes."""
    said = paft("doctor", "--config", config).stdout
    return {part: float(size) * 1e9 for part, size in re.findall(r"memory, (\w+) +about ([\d.]+) of", said)}


MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""
"""A small process in between: a child's peak begins with the memory of the process that starts it."""


def peak(command: str, config, output) -> int:
    """Return the peak resident memory of a command in bytes."""
    arguments = [sys.executable, "-m", "paft", command, str(config), "-o", str(output), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    code, kilobytes = map(int, done.stdout.split())
    assert code == 0
    return kilobytes * 1024


@pytest.mark.medium
def test_doctor_names_the_settings_that_lower_the_memory_of_training_and_evaluation(tmp_path, embedded):
    demo = ROOT / "src/paft/tasks/demo"
    config = yaml.safe_load((demo / "config.yaml").read_text())
    config["task"] |= {name: str(demo / f"{name}.jsonl") for name in ("train", "test")}
    config["model"] |= {"path": embedded, "device": "cpu"}
    config["methods"] = ["paft"]
    config["training"]["examples"] = 8
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    said = paft_here("doctor", "--config", tmp_path / "c.yaml").stdout
    training, evaluation = (line for line in said.splitlines() if "memory," in line)
    assert "steps of up to" in training
    assert "training.gradient_checkpointing: true takes" in training
    assert "training.batch_size: 2 with gradient_accumulation_steps: 2 takes" in training
    assert "likelihood, batches of 1,024 tokens" in evaluation
    assert "evaluation.batch_tokens: 512 takes" in evaluation


@pytest.mark.medium
def test_a_tiny_run_is_said_to_take_what_its_report_takes_and_no_setting_lowers_it(project):
    said = paft_here("doctor", "--config", "config.yaml").stdout
    for line in (line for line in said.splitlines() if "memory," in line):
        assert float(re.search(r"about ([\d.]+) of", line)[1]) > 0.7
        assert "takes" not in line


@pytest.mark.medium
@pytest.mark.parametrize("others", [[], ["paft"]])
def test_a_training_on_sampled_answers_is_not_estimated_as_one_on_right_answers(project, others):
    config = yaml.safe_load((project / "config.yaml").read_text())
    config["methods"] = [*others, {"name": "rl", "method": "grpo", "num_generations": 64}]
    Path("c.yaml").write_text(yaml.safe_dump(config))
    said = paft_here("doctor", "--config", "c.yaml").stdout
    assert re.findall(r"memory, training about [\d.]+ of .*\((\w+), steps", said) == others
    assert "memory, training not estimated for rl: only training on right answers is" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak memory of a process is read as Linux counts it")
@pytest.mark.parametrize("model", ["tiny", "embedded", "embedded in 4 bits"])
def test_the_memory_that_doctor_predicts_is_within_a_quarter_of_what_is_taken(
    project, embedded, tiny_model, shared, model
):
    if "4 bits" in model:
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed; make setup installs it")
    config = yaml.safe_load((project / "config.yaml").read_text())
    if model != "tiny":
        config = yaml.safe_load((ROOT / "examples/trec.yaml").read_text())
        config["task"] |= {name: str(shared / f"trec/{name}.jsonl") for name in ("train", "test")}
        config["prompts"]["test"]["size"] = 2
        config["training"] |= {"examples": 40, "epochs": 1}
        config["evaluation"]["examples"] = 60
    config["model"] = {"path": tiny_model if model == "tiny" else embedded, "dtype": "bfloat16", "device": "cpu"}
    if "4 bits" in model:
        config["model"]["quantization"] = "4bit"
    config["methods"] = ["paft"]
    Path("c.yaml").write_text(yaml.safe_dump(config))
    predicted = estimates("c.yaml")
    assert max(predicted.values()) == pytest.approx(peak("run", "c.yaml", "run"), rel=0.25)
    assert predicted["evaluation"] == pytest.approx(peak("evaluate", "c.yaml", "evaluation"), rel=0.25)
