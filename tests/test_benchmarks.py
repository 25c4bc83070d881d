"""The benchmarks run: each script once, as small as it goes, against the real peers. Their figures say nothing here."""

import json
import re
import subprocess
import sys
from argparse import Namespace

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
        "all",  # runs the others; the tests below
        "architectures",  # tests/engine/test_families.py runs it
        "commits",  # compares with a checkout of another commit
        "scorers",  # needs inspect-ai; tests/scoring/test_text_scorers.py holds the values of the peers
        "gate",  # asks no model; the test below runs it
        "reader",  # reads a file of outputs, no model
        "cells",  # reads the grids of runs; the test below runs it
        "samplers",  # compares nothing with peers; the test below runs it
    }


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
            result = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
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
