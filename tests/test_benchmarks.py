"""The benchmarks run: each script once, as small as it goes, against the real peers. Their figures say nothing here."""

import json
import os
import re
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest

from conftest import ROOT
from made_up_runs import make_run
from paft.utils.io import write_jsonl

SMALLEST = {
    "training": ["--steps", "2"],
    "scoring": ["--prompts", "1", "--examples", "3"],
    "generation": ["--prompts", "1", "--examples", "3"],
    "limit": ["--steps", "2", "--prompts", "1", "--examples", "3"],
    "agreement": ["--prompts", "1", "--examples", "3"],
    "letters": ["--prompts", "1", "--examples", "3"],
    "grpo": ["--steps", "2", "--batch", "1", "--longest", "2"],
    "search": ["--prompts", "12", "--examples", "24"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_prints_its_table_and_writes_it_down(tmp_path, shared, embedded, name):
    if name == "grpo":
        pytest.importorskip("trl")
    options = ["--task", "trec", "--rounds", "1", "--output", str(tmp_path), *SMALLEST[name]]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{name}.py", *options], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "|" in done.stdout
    [file] = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["machine"]["versions"]["torch"]


def test_every_benchmark_is_among_them():
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == SMALLEST.keys() | {
        "side_by_side",
        "all",  # runs the others; the tests below
        "architectures",  # tests/engine/test_families.py runs it
        "commits",  # compares with a checkout of another commit
        "scorers",  # needs inspect-ai; tests/scoring/test_text_scorers.py holds the values of the peers
        "gate",  # asks no model; the test below runs it
        "reader",  # reads a file of outputs, no model
        "calibration",  # reads the grids of a run; the test below calls it
        "paired",  # reads the grids of runs; the test below runs it
        "cells",  # reads the grids of runs; the test below runs it
        "samplers_figure",  # draws what samplers.py measured; the test below runs it
        "samplers",  # compares nothing with peers; the test below runs it
        "gpu",  # runs other scripts; the test below runs it
        "gpu_checks",  # the same test runs it
    }


def gpu_check(out, *options):
    """Run `make gpu-check` without a GPU, tiny; return what ended, and the result of each part."""
    command = [sys.executable, ROOT / "benchmarks/gpu.py", "--tiny", "--out", str(out), *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, env=environment)
    return done, {row["part"]: row for row in json.loads((out / "gpu.json").read_text())["parts"]}


@pytest.mark.slow
def test_the_gpu_command_runs_through_without_a_gpu_and_names_what_needs_one(tmp_path, embedded):
    done, parts = gpu_check(tmp_path)
    assert done.returncode == 0, done.stderr
    not_run = {name: row["reason"] for name, row in parts.items() if row["status"] == "not run"}
    assert {name: reason for name, reason in not_run.items() if reason == "no GPU"} == {
        "check kernels": "no GPU",
        "run on cuda": "no GPU",
    }
    assert set(not_run) <= {"check kernels", "run on cuda", "check 4bit", "run in 4 bits"}
    for family in ("llama", "qwen2", "gemma3", "smollm2"):
        rows = {(row["what"], row["dtype"]) for row in parts[f"check {family}"]["result"]["rows"] if row["passed"]}
        kinds = ("loss", "gradients", "scores", "tokens")
        assert rows >= {(what, dtype) for what in kinds for dtype in ("float32", "bfloat16")}
    page = (tmp_path / "gpu.md").read_text()
    assert "a CPU, where nothing says how it does on a GPU" in page
    for table in ("training smollm2 | paft", "scoring smollm2 | padded", "generation smollm2 | transformers"):
        assert f"| {table} |" in page


@pytest.mark.slow
def test_a_part_of_the_gpu_command_that_fails_is_named_with_its_reason_and_the_rest_goes_on(tmp_path):
    (tmp_path / "empty").mkdir()
    done, parts = gpu_check(
        tmp_path, "--models", str(tmp_path / "empty"), "--parts", "training empty", "limit empty", "check kernels"
    )
    assert done.returncode == 1
    assert "failed: training empty, limit empty" in done.stdout
    assert parts["check kernels"]["status"] == "not run"
    for name in ("training empty", "limit empty"):
        assert "cannot load" in parts[name]["reason"]
        assert parts[name]["seconds"] > 0


@pytest.mark.medium
def test_each_case_of_all_tables_writes_the_file_of_its_name_and_its_script_has_its_options():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from all import CASES, COMMITS, WITH_MODELS
    from side_by_side import case

    assert {*WITH_MODELS} <= {one.name for one in CASES}
    for one in [*CASES, *COMMITS, CASES[0].with_model("models/Gemma.gguf:none")]:
        names, values = one.options[::2], one.options[1::2]
        given = dict(zip([name.removeprefix("--") for name in names], values, strict=True))
        shared = {"shots": 0, "model": None, "template": "auto"}
        if one not in COMMITS:
            assert case(one.script, Namespace(**shared | given)) == one.name
        text = (ROOT / f"benchmarks/{one.script}.py").read_text()
        for option in given.keys() - shared.keys():
            assert re.search(rf"\b{option}=", text), one.command


@pytest.mark.medium
def test_all_tables_are_those_of_every_kind_of_machine_and_what_is_done_is_not_run_again(tmp_path):
    names = ["scoring-trec", "agreement-trec", "limit-trec", "commits-trec"]
    for kind in ("gpu", "matrix-units", "no-matrix-units"):
        (tmp_path / kind).mkdir()
        for name in names:
            [stored, *_] = sorted((ROOT / "benchmarks/results").glob(f"*matrix-units/{name}.json"))
            result = json.loads(stored.read_text())
            (tmp_path / kind / f"{name}.json").write_text(json.dumps({"rounds": 9} | result))
    command = [sys.executable, ROOT / "benchmarks/all.py", "--out", tmp_path, "--before", tmp_path, "--quick"]
    done = subprocess.run([*command, "--only", *names], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("## ")] == [
        f"## {name}" for name in names
    ]
    assert done.stderr.count("has a result") == len(names)
    for row in ("| lm-eval |", "| training | 2", "| padded, float32 |", "| likelihood |"):
        assert done.stdout.count(f"\n{row}") == 3


@pytest.mark.medium
def test_the_comparison_of_few_cells_with_whole_grids_reads_runs(tmp_path):
    for name in ("one", "two-pilot"):
        make_run(tmp_path / name, {"base": [0.2, 0.4, 0.6, 0.8, 0.9, 0.9]}, examples=20)
    size = ["--prompts", "6", "--examples", "20", "--shares", "0.5", "--seeds", "1", "--output", str(tmp_path)]
    command = [sys.executable, ROOT / "benchmarks/cells.py", str(tmp_path), *size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| 50% | paft |" in done.stdout
    [row] = json.loads((tmp_path / "cells.json").read_text())["rows"]
    assert row["grid"] == str(tmp_path / "one/methods/base/predictions.parquet")
    assert row["truth"].keys() == row["paft"].keys() == row["plain"].keys() == row["intervals"]["paft"].keys()


def test_calibration_takes_out_the_shift_of_a_prompt_and_adds_one_where_labels_are_skewed():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from calibration import gain

    targets = np.repeat(np.arange(3), 20)
    margins = np.tile([[1.0], [3.0]], (30, 1))  # how sure each example's answer is
    logs = np.tile(margins * np.eye(3)[targets], (4, 1, 1))
    shifted = logs + np.array([4.0, 0.0, 0.0])  # always the first label: a third is right

    def mean(grid, share, kind):
        return float(gain(grid, targets, size=30, share=share, repeats=30, kind=kind).split()[0])

    assert mean(shifted, 1 / 3, "batch") == pytest.approx(200 / 3, abs=0.1)
    assert mean(logs, 1 / 3, "batch") == 0
    assert mean(logs, 0.98, "batch") < -40
    assert mean(logs, 0.98, "consensus") == 0
    assert mean(np.concatenate([logs, logs, shifted[:1]]), 1 / 3, "consensus") > 7  # of 100 / 9 x 2/3


@pytest.mark.medium
def test_runs_of_two_settings_are_compared_by_seed_on_the_same_cells(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / f"low-{seed}", {"paft": [0.2, 0.3, 0.3, 0.4, 0.5, 0.5]}, examples=40, seed=seed)
        make_run(tmp_path / f"high-{seed}", {"paft": [0.7, 0.8, 0.8, 0.9, 0.9, 1.0]}, examples=40, seed=seed)
    make_run(tmp_path / "other", {"user": [0.2, 0.3], "paft": [0.8, 0.9]}, prompts=2, examples=40)

    def run(first, second):
        command = [sys.executable, ROOT / "benchmarks/paired.py", "--first", *first, "--second", *second]
        return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, cwd=tmp_path)

    done = run(["low-0", "low-1"], ["high-0", "high-1"])
    assert done.returncode == 0, done.stderr
    assert "higher under 6 of 6 prompts, p = 0.031" in done.stdout
    assert "second less first: +4" in done.stdout or "second less first: +5" in done.stdout
    assert "each seed needs both" in run(["low-0", "low-1"], ["high-0"]).stderr
    assert "each seed needs both" in run(["low-0", "other:paft"], ["high-0", "high-1"]).stderr
    assert "RUN:METHOD" in run(["other"], ["other"]).stderr
    own_prompts = run(["other:user", "low-0"], ["other:paft", "high-0"]).stdout
    assert "higher under 8 of 8 prompts" in own_prompts
    assert "p =" not in own_prompts


@pytest.mark.slow
def test_the_comparison_of_samplers_measures_each_arm_once(tmp_path, shared, embedded):
    size = ["--seeds", "0", "--steps", "2", "--prompts", "2", "--examples", "4", "--arms", "uniform-k4"]
    folders = ["--work", str(tmp_path / "work"), "--results", str(tmp_path)]
    command = [sys.executable, ROOT / "benchmarks/samplers.py", "--task", "trec", *size, *folders]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        assert "| uniform-k4 | 1 | 2 |" in done.stdout
        [row] = map(json.loads, (tmp_path / "samplers-trec-2.jsonl").read_text().splitlines())
        assert len(row["per_prompt"]) == 2
        assert row["calibrated"].keys() == {"mean", "std", "worst"}


def test_the_figure_of_the_samplers_has_the_mean_of_each_arm_at_each_budget(tmp_path):
    rows = [
        {"arm": arm, "budget": budget, "mean": mean, "quantile_05": mean - 0.1}
        for arm, budget, mean in [("uniform-k4", 9.0, 0.5), ("uniform-k4", 9.0, 0.7), ("another", 20.0, 0.8)]
    ]
    write_jsonl(tmp_path / "samplers-trec-1.jsonl", rows)
    command = [
        sys.executable,
        ROOT / "benchmarks/samplers_figure.py",
        "--task",
        "trec",
        "--results",
        str(tmp_path),
    ]
    done = subprocess.run([*command, "--output", str(tmp_path / "f.svg")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "f.svg").read_text()
    assert "accuracy, %: 60" in svg
    assert "accuracy, %: 80" in svg


@pytest.mark.slow
def test_the_operating_curve_of_the_gate_has_a_row_for_each_figure(tmp_path):
    skills = {"base": [0.5, 0.6, 0.7, 0.8], "paft": [0.6, 0.7, 0.8, 0.9]}
    make_run(tmp_path / "run", skills, prompts=4, examples=60)
    command = [sys.executable, ROOT / "benchmarks/gate.py", str(tmp_path / "run"), "--questions", "100"]
    done = subprocess.run(
        [*command, "--orders", "2", "--output", str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for figure in ("mean", "quantile_05", "worst", "paired"):
        assert f"| {figure} | +10 |" in done.stdout
