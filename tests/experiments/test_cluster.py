"""A Ray cluster of machines with addresses of their own: network namespaces, joined by a bridge."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_reproduce import FEW, make

from conftest import ROOT

BRIDGE = "paft-br"
HEAD, *WORKERS = ("10.77.0.1", "10.77.0.2", "10.77.0.3")
RAY = Path(sys.executable).with_name("ray")
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT / "src"),
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
}


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines():
    """Three network namespaces by their addresses; what runs in them ends with the test."""
    spaces = {address: f"paft-{address.rpartition('.')[2]}" for address in (HEAD, *WORKERS)}
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces need ip and root")
    try:
        ip("link", "set", BRIDGE, "up")
        for address, space in spaces.items():
            ip("netns", "add", space)
            ip("link", "add", f"{space}-a", "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", f"{space}-a", "master", BRIDGE, "up")
            ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", space, "link", "set", device, "up")
        yield spaces
    finally:
        for space in spaces.values():
            found = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True).stdout.split()
            for pid in found:
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)


def inside(space, *command, **options):
    return subprocess.Popen(["ip", "netns", "exec", space, *map(str, command)], env=ENVIRONMENT, **options)


def worker(space, address, log):
    """Join the cluster; Ray's own retries wait for the head."""
    options = [f"--node-ip-address={address}", "--num-cpus=1", "--object-store-memory=100000000", "--block"]
    return inside(space, RAY, "start", f"--address={HEAD}:6379", *options, stdout=log, stderr=log)


@pytest.mark.slow
def test_a_worker_joins_late_and_one_is_lost_and_the_table_is_the_same(project, machines, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    make(project, "table1", output="alone")
    log = (tmp_path / "ray.log").open("w")
    options = ["--num-cpus=0", "--object-store-memory=100000000", "--include-dashboard=false", "--block"]
    inside(machines[HEAD], RAY, "start", "--head", f"--node-ip-address={HEAD}", "--port=6379", *options, stdout=log,
           stderr=log)  # fmt: skip
    first = worker(machines[WORKERS[0]], WORKERS[0], log)
    wait(lambda: joined(machines[HEAD]) == 2, 120)
    arguments = ["reproduce", "table1", "config.yaml", *FEW, "--ray", f"{HEAD}:6379", "-o", "ray"]
    run = inside(machines[HEAD], sys.executable, "-m", "paft", *arguments, cwd=project, stdout=subprocess.PIPE,
                 stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait(lambda: list((project / "ray").rglob("predictions.parquet")), 240)
    worker(machines[WORKERS[1]], WORKERS[1], log)
    wait(lambda: joined(machines[HEAD]) == 3, 120)
    for pid in subprocess.run(
        ["ip", "netns", "pids", machines[WORKERS[0]]], capture_output=True, text=True
    ).stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    first.wait(10)
    printed, said = run.communicate(timeout=400)
    assert run.returncode == 0, said
    assert "| paft |" in printed
    rows = json.loads((project / "ray/table1.json").read_text())["rows"]
    alone_rows = json.loads((project / "alone/table1.json").read_text())["rows"]
    assert [timeless(row) for row in rows] == [timeless(row) for row in alone_rows]


def joined(head):
    """How many machines the cluster has."""
    code = (
        "import ray; ray.init(address='auto', logging_level='ERROR'); print(sum(n['Alive'] for n in ray.nodes()))"
    )
    done = subprocess.run(
        ["ip", "netns", "exec", head, sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True
    )
    return int(done.stdout) if done.stdout.strip().isdigit() else 0


def wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def timeless(row):
    return {key: value for key, value in row.items() if "second" not in key}
