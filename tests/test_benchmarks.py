"""The benchmarks run: each script once, as small as it goes, against the real peers. Their figures say nothing here."""

import json
import subprocess
import sys

import pytest

from conftest import ROOT

SMALLEST = {
    "training": ["--steps", "2"],
    "scoring": ["--prompts", "1", "--examples", "3"],
    "generation": ["--prompts", "1", "--examples", "3"],
    "limit": ["--steps", "2", "--prompts", "1", "--examples", "3"],
    "agreement": ["--prompts", "1", "--examples", "3"],
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
        "commits",  # compares with a checkout of another commit
        "scorers",  # needs inspect-ai; tests/scoring/test_text_scorers.py holds the values of the peers
        "reader",  # reads a file of outputs, no model
        "samplers",  # compares nothing with peers; the test below runs it
    }


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
