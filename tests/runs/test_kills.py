"""Killed anywhere, a run goes on to the same end: SIGKILL at random moments over all stages, then the comparison."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from pyarrow import parquet

from conftest import ROOT, things, write_rows

KILLS = 30
METHODS = "methods=[base, user, zopo, paft]"
MORE = ["baselines.zopo={budget: 4, initial: 2, examples: 6}", "training.save_steps=3", "training.epochs=3"]


def run_arguments(output):
    return ["run", "config.yaml", METHODS, *MORE, "--output", output, "--quiet"]


def start(project, output):
    command = [sys.executable, "-m", "paft", *run_arguments(output)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(project, output):
    process = start(project, output)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said


def left_behind(folder):
    """What a run came to, without times."""
    found = {}
    for name in ("train", "test", "screened"):
        found[name] = (folder / "prompts" / f"{name}.jsonl").read_text()
    for method in ("base", "user", "zopo", "paft"):
        where = folder / "methods" / method
        rows = parquet.read_table(where / "predictions.parquet").to_pylist()
        assert len(rows) == len({(row["prompt_id"], row["example_id"]) for row in rows}) == 24
        found[method] = rows
        if method != "base":
            log = [json.loads(line) for line in (where / "train.jsonl").read_text().splitlines()]
            assert [row["step"] for row in log] == list(range(1, len(log) + 1))
            found[f"{method} steps"] = [(row["step"], row["prompt_ids"], row["examples"]) for row in log]
            found[f"{method} losses"] = [row["loss"] for row in log]
        if method == "zopo":
            found["choice"] = json.loads((where / "choice.json").read_text())["prompt"]
    return found


@pytest.mark.slow
def test_thirty_kills_at_random_moments_change_nothing(project):
    write_rows(project / "test.jsonl", things(12, 100))
    process = start(project, "whole")
    _at_work(process, project / "whole")
    started = time.monotonic()
    assert process.wait(timeout=600) == 0
    whole, seconds = left_behind(project / "whole"), time.monotonic() - started
    draw = random.Random(0)
    kills = finished = number = 0
    stages = set()
    while kills < KILLS:
        output = f"killed-{number}"
        fresh = not (project / output).exists()
        process = start(project, output)
        if kills % 10:  # each tenth while the command still starts
            _at_work(process, project / output)
        started = time.monotonic()
        try:
            process.wait(timeout=draw.uniform(0, seconds))
            if fresh and kills % 10:  # a whole run: the first one may have met a slow moment
                seconds = min(seconds, time.monotonic() - started)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
            stages.add(_stage(project / output))
            print(f"kill {kills} in {output}: {_stage(project / output)}", flush=True)
        process.communicate()
        if process.returncode == 0:
            finished += 1
            _compare(left_behind(project / output), whole)
            number += 1
    finish(project, f"killed-{number}")
    _compare(left_behind(project / f"killed-{number}"), whole)
    print(f"\n{kills} kills in stages {sorted(stages)}; {finished + 1} runs came to the same end")
    assert len(stages) >= 3


def _at_work(process, folder):
    """Wait until the process holds the run directory."""
    lock = folder / ".lock"
    while process.poll() is None and not (lock.is_file() and lock.read_text() == str(process.pid)):
        time.sleep(0.01)


def _stage(folder):
    """How far a run was when it was killed."""
    methods = folder / "methods"
    if not methods.is_dir():
        return "before the first method"
    newest = max((path for path in methods.rglob("*")), key=lambda path: path.stat().st_mtime)
    return f"{newest.relative_to(methods).parts[0]}: {newest.relative_to(methods).parts[1:2]}"


def _compare(found, whole):
    for key, value in whole.items():
        if key.endswith("losses"):
            assert found[key] == pytest.approx(value, rel=1e-5), key
        elif key in ("base", "user", "zopo", "paft"):
            for row, other in zip(found[key], value, strict=True):
                assert row.pop("scores") == pytest.approx(other["scores"], rel=1e-4)
                assert row == {k: v for k, v in other.items() if k != "scores"}
        else:
            assert found[key] == value, key
