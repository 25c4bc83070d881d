"""Several processes are one: the same losses as one process with so many times the batch, the same predictions."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from pyarrow import parquet

from conftest import ROOT, things, write_rows
from paft.config.load import load_config
from paft.errors import UserError
from paft.utils.console import Console
from paft.utils.distributed import Processes
from reported_runs import run as run_and_report

LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc-per-node=2"],
    "accelerate launch": [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes=2",
        "--num_machines=1",
        "-m",
    ],
}


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def command(launcher, *arguments):
    if launcher is None:
        return [sys.executable, "-m", "paft", *arguments]
    port = free_port()
    name, *options = LAUNCHERS[launcher]
    address = f"--master-port={port}" if launcher == "torchrun" else f"--main_process_port={port}"
    return [
        sys.executable,
        "-m",
        name,
        address,
        *options,
        *(["-m"] * (launcher == "torchrun")),
        "paft",
        *arguments,
    ]


def start(project, launcher, output, *overrides):
    return subprocess.Popen(
        command(launcher, "run", "config.yaml", *overrides, "-o", output),
        cwd=project,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(project, launcher, output, *overrides):
    process = start(project, launcher, output, *overrides)
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return printed


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def log(folder, method="paft"):
    return lines(folder / "methods" / method / "train.jsonl")


def predictions(folder, method):
    return parquet.read_table(folder / "methods" / method / "predictions.parquet").to_pylist()


def same_run(one, two, rel=1e-4):
    for method in ("user", "paft"):
        assert [(r["step"], r["prompt_ids"], r["examples"]) for r in log(two, method)] == [
            (r["step"], r["prompt_ids"], r["examples"]) for r in log(one, method)
        ]
        assert [r["loss"] for r in log(two, method)] == pytest.approx(
            [r["loss"] for r in log(one, method)], rel=rel
        )
    for method in ("base", "user", "paft"):
        for row, other in zip(predictions(two, method), predictions(one, method), strict=True):
            assert row.pop("scores") == pytest.approx(other.pop("scores"), rel=1e-3)
            assert row == other


ODD = """
import os, time
from paft.training.grpo import validation

def later(model, folder, own=validation.apply_adapter):
    time.sleep(2)
    own(model, folder)

if os.environ.get("RANK") == "1":  # it takes the best adapter when the first process is done
    validation.apply_adapter = later

def share(completion_ids):
    return [sum(t % 2 for t in ids) / len(ids) for ids in completion_ids]
"""


def test_two_processes_sample_and_compare_the_groups_of_one(project):
    write_rows(
        project / "train.jsonl", things(18)
    )  # without the one held back, the last step has one example, so none for the second process
    (project / "odd.py").write_text(ODD)
    settings = (
        "num_generations: 4, max_completion_length: 6, reward: 'odd:share', scale_rewards: batch, eval_steps: 2"
    )
    options = [
        f"methods=[{{name: groups, method: grpo, {settings}}}]",
        "training.sampler=mixed",
        "training.gradient_accumulation_steps=2",
    ]
    alone(project, "one", *options, "training.batch_size=4")
    run(project, "torchrun", "two", *options, "training.batch_size=2")
    keys = ("step", "prompt_ids", "examples", "reward", "reward_std", "flat_groups", "length", "cut")
    one, two = (log(project / output, "groups") for output in ("one", "two"))
    assert [[row[key] for key in keys] for row in two] == [[row[key] for key in keys] for row in one]
    for row, other in zip(two, one, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-5)
    measured = [[row.get(key) for key in ("eval_reward", "eval_length", "best_step")] for row in one]
    assert [[row.get(key) for key in ("eval_reward", "eval_length", "best_step")] for row in two] == measured
    assert measured[1] != [None] * 3
    assert measured[-1][-1] < one[-1]["step"]  # so the best adapter is read again at the end


def alone(project, output, *overrides):
    run_and_report(load_config(project / "config.yaml", list(overrides)), project / output, Console(quiet=True))


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("accelerate launch", marks=pytest.mark.slow)])
def test_two_processes_are_one_with_the_doubled_batch_step_for_step(project, launcher):
    write_rows(
        project / "train.jsonl", things(17)
    )  # the last batch has one example, so none for the second process
    accumulation = "training.gradient_accumulation_steps=2"
    alone(project, "one", "training.batch_size=4", accumulation)
    printed = run(project, launcher, "two", "training.batch_size=2", accumulation)
    assert printed.count("Report:") == 1
    assert "torchrun --nproc-per-node 2 -m paft run config.yaml" in (project / "two/report.md").read_text()
    assert "torchrun" not in (project / "one/report.md").read_text()
    same_run(project / "one", project / "two")
    assert sum(row["examples"] for row in log(project / "two")) == 2 * 17
    with pytest.raises(UserError, match=r"processes \(was 2, now 1\)"):
        alone(project, "two", "training.batch_size=2", accumulation)


OBSERVER = """
import json, os, random
from paft.training.samplers import PromptSampler

class Worst(PromptSampler):
    observes = True

    def __init__(self, prompts, *, log, **given):
        super().__init__(prompts, **given)
        self.log, self.mean = log, {p.id: 3.0 for p in prompts}

    def draw(self, step, examples):
        weights = [round(self.mean[p.id], 2) for p in self.prompts]
        return random.Random(f"{self.seed}:{step}").choices(self.prompts, weights, k=len(examples))

    def observe(self, step, prompts, losses):
        for prompt, loss in zip(prompts, losses):
            self.mean[prompt.id] += 0.5 * (loss - self.mean[prompt.id])
        with open(f"{self.log}-{os.environ.get('RANK', 0)}.jsonl", "a") as file:
            file.write(json.dumps([step, [p.id for p in prompts], losses]) + chr(10))

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = dict(state["mean"])
"""


BUILT_IN = {
    "mixed": "sampler: mixed, prompts_per_step: 3",
    "dropout": "sampler: {name: dropout, p: 0.4}",
    "curriculum": "sampler: {name: curriculum, prompts_per_step: 2}",
    "importance": "sampler: {name: importance, by: trait, power: 4}",
    "group-dro": "sampler: {name: group-dro, eta: 1.0}",
    "hardest": "sampler: hardest, prompts_per_step: 3",
    "consistency": "sampler: mixed, objective: consistency",
    "noise": "sampler: mixed, prompt_noise: 5",
    "group-by": "group_by: thing",
    "worst": "sampler: {name: 'observer:Worst', log: seen}",
}


def test_two_processes_are_one_with_every_sampler_and_objective(project, monkeypatch):
    """They draw the same prompts, have the same losses, and show a sampler the losses of all examples of a step."""
    (project / "observer.py").write_text(OBSERVER)
    monkeypatch.syspath_prepend(project)
    write_rows(project / "train.jsonl", things(17))
    text = (project / "config.yaml").read_text()
    variants = "".join(f"  - {{name: {n}, method: paft, training: {{{t}}}}}\n" for n, t in BUILT_IN.items())
    text = text.replace("batch_size: 4", "batch_size: 4, gradient_accumulation_steps: 2")
    (project / "config.yaml").write_text(f"{text}methods:\n{variants}")
    quick = ("evaluation.examples=1", "training.epochs=2")
    alone(project, "one", *quick)
    single = lines((project / "seen-0.jsonl").rename(project / "single.jsonl"))
    run(project, "torchrun", "two", "training.batch_size=2", *quick)
    first, second = (lines(project / f"seen-{rank}.jsonl") for rank in (0, 1))
    assert first == second
    assert [len(losses) for _, _, losses in single] == [8, 8, 1] * 2
    assert [row[:2] for row in first] == [row[:2] for row in single]
    for left, right in zip(first, single, strict=True):
        assert left[2] == pytest.approx(right[2], abs=1e-4)
    for method in BUILT_IN:
        one, two = log(project / "one", method), log(project / "two", method)
        assert [(r["step"], r["prompt_ids"], r["examples"]) for r in two] == [
            (r["step"], r["prompt_ids"], r["examples"]) for r in one
        ], method
        assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], rel=1e-3), method
        assert sum(row["examples"] for row in one) == 34
    with pytest.raises(UserError, match=r"Calibration needs all rows of a step in one forward, but there are 2"):
        alone(project, "three", "methods=[paft]", "training.objective=calibration", *quick)


def test_each_of_two_processes_computes_what_its_forwards_begin_with_once(project):
    rule = " ".join(f"Rule {i} is as good as rule {i + 1}." for i in range(20))
    write_rows(project / "prompts/train.jsonl", [{"text": f"{rule} {{thing}} {'?' * i}"} for i in range(4)])
    write_rows(project / "train.jsonl", things(17))  # the last forward of the second process is padding
    options = ["methods=[paft]", "training.gradient_accumulation_steps=2", "training.max_grad_norm=0.1"]
    alone(project, "one", *options, "training.batch_size=4")
    run(project, "torchrun", "two", *options, "training.batch_size=2")
    one, two = log(project / "one"), log(project / "two")
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-4)
    assert [row["prompt_ids"] for row in two] == [row["prompt_ids"] for row in one]
    whole = [row for row in two if row["examples"] == 8]
    assert whole
    assert all(2 * len(rule) < row["tokens"] < 4 * len(rule) for row in whole)  # a byte is a token


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_spread_over_two_processes_by_fsdp_is_trained_as_one(project, dtype):
    """The config of examples/, on a CPU: the launcher and FSDP are real, only accelerate's refusal is set aside."""
    write_rows(project / "train.jsonl", things(17))
    more = (f"model.dtype={dtype}", "training.save_steps=2", "training.gradient_accumulation_steps=2")
    alone(project, "one", "training.batch_size=4", *more)
    configured = ["--config_file", str(ROOT / "examples/accelerate/fsdp.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *configured, f"--main_process_port={free_port()}",
         str(ROOT / "tests/fsdp_on_cpu.py"), "run", "config.yaml", "training.batch_size=2", *more, "-o", "two"],
        cwd=project, env=ENVIRONMENT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "spread in 10 units" in done.stdout  # two methods: two layers, embeddings, head and the rest
    same_run(project / "one", project / "two", rel=1e-4 if dtype == "float32" else 0.01)


@pytest.mark.parametrize("name", ["fsdp", "deepspeed"])
def test_the_launchers_configs_are_read_by_the_launcher(name):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(ROOT / f"examples/accelerate/{name}.yaml"))
    assert config.distributed_type.value.lower() == name
    assert config.num_processes == 2


@pytest.mark.slow
def test_two_killed_processes_go_on_where_they_were(project):
    run(project, "torchrun", "whole", "training.batch_size=2", "training.save_steps=1")
    process = start(project, "torchrun", "killed", "training.batch_size=2", "training.save_steps=1")
    checkpoints = project / "killed/methods/paft/checkpoints"
    while process.poll() is None and not list(checkpoints.glob("checkpoint-*/trainer_state.json")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    run(project, "torchrun", "killed", "training.batch_size=2", "training.save_steps=1")
    same_run(project / "whole", project / "killed")


def test_a_mistake_is_said_once_and_ends_every_process(project):
    process = start(project, "torchrun", "out", "prompts.test=nowhere.jsonl")
    _, said = process.communicate(timeout=120)
    assert process.returncode
    assert said.count("nowhere.jsonl") == 1
    assert not (project / "out").exists()


def test_the_shares_of_the_processes_are_each_item_once():
    for size in (1, 2, 3, 7):
        shares = [Processes(rank, size).shard(range(5)) for rank in range(size)]
        assert sorted(item for share in shares for item in share) == list(range(5))


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_of_one_process_is_one_line_and_the_others_finish_their_prompts(project, failing):
    (project / "own.py").write_text(
        "import os\n"
        "def score(completions, **columns):\n"
        f"    if os.environ['RANK'] == '{failing}': raise ValueError('no such word')\n"
        "    return [1.0]\n"
    )
    write_rows(project / "prompts/free.jsonl", [{"text": f"Paint {{thing}} {i} times"} for i in range(5)])
    process = start(
        project, "torchrun", "out", "methods=[base]", "evaluation={mode: generate, max_new_tokens: 3}",
        "task.choices=null", "task.scorer=own:score", "prompts.test=prompts/free.jsonl",
    )  # fmt: skip
    said = process.communicate(timeout=300)[1]
    assert process.returncode != 0
    assert "no such word" in said
    assert "Connection closed" not in said
    parts = list((project / "out/methods/base/predictions").glob("*.parquet"))
    assert len(parts) == (2 if failing == 0 else 3)
