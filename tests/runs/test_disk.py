"""A disk that is full or read-only: one line, nothing lost, and the same command goes on when there is room."""

import subprocess

import pytest
from test_kills import left_behind, run_arguments

from command import assert_refused, paft
from conftest import ROOT, things, write_rows


@pytest.fixture
def disk(project):
    """A file system of its own in ``project/disk``, made as large or as read-only as the test says."""
    write_rows(project / "test.jsonl", things(12, 100))
    folder = project / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system of its own needs root")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(project, disk):
    def run(output):
        return paft(*run_arguments(output), cwd=project, PYTHONPATH=str(ROOT / "src"), HF_HUB_OFFLINE="1")

    whole = run("whole")
    assert whole.returncode == 0, whole.stderr
    refused = 0
    for size in ("4k", "16k", "64k", "160k", "400k", "1m", "2m"):  # each time a little further
        disk(f"size={size}")
        done = run("disk/run")
        if done.returncode:
            assert_refused(done, "disk is full")
            refused += 1
    assert refused >= 3
    disk("size=50m")
    done = run("disk/run")
    assert done.returncode == 0, done.stderr
    found, expected = left_behind(project / "disk/run"), left_behind(project / "whole")
    for key in expected:
        if not key.endswith("losses"):
            assert found[key] == expected[key], key


@pytest.mark.slow
def test_a_read_only_disk_is_one_line_and_changes_nothing(project, disk):
    disk("size=50m,ro")
    assert_refused(paft(*run_arguments("disk/run"), cwd=project), "read-only", "--output")
    assert not list((project / "disk").iterdir())
