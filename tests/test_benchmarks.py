"""The benchmarks run: each script once, as small as it goes, against the real peers. Their figures say nothing here."""

import json
import subprocess
import sys

import pytest

from conftest import ROOT
from made_up_runs import make_run

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
    for package in {"training": ["trl"], "grpo": ["trl"], "scoring": ["lm_eval"]}.get(name, []):
        pytest.importorskip(package)
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
        "architectures",  # tests/engine/test_families.py runs it
        "commits",  # compares with a checkout of another commit
        "scorers",  # needs inspect-ai; tests/scoring/test_text_scorers.py holds the values of the peers
        "gate",  # asks no model; the test below runs it
        "reader",  # reads a file of outputs, no model
        "cells",  # reads the grids of runs; the test below runs it
        "samplers",  # compares nothing with peers; the test below runs it
    }


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
    assert row["truth"].keys() == row["paft"].keys() == row["plain"].keys() == row["interval"].keys()


@pytest.mark.slow
def test_the_comparison_of_samplers_measures_each_arm_once(tmp_path, shared, embedded):
    size = ["--seeds", "0", "--steps", "2", "--prompts", "2", "--examples", "4", "--arms", "uniform-k4"]
    folders = ["--work", str(tmp_path / "work"), "--results", str(tmp_path)]
    command = [sys.executable, ROOT / "benchmarks/samplers.py", "--task", "trec", *size, *folders]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        assert "| uniform-k4 | 1 | 2 |" in done.stdout
        [row] = map(json.loads, (tmp_path / "samplers-trec.jsonl").read_text().splitlines())
        assert len(row["per_prompt"]) == 2
        assert row["calibrated"].keys() == {"mean", "std", "worst"}


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
