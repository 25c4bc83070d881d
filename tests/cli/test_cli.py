"""The command line as a process: exit codes, one line for a mistake, no torch before it is needed."""

import json
import subprocess
import sys

import pytest
import torch

from command import assert_refused, paft, paft_here
from paft.cli import app as cli


def test_import_and_help_load_no_torch():
    code = "import sys, paft, paft.cli.app; sys.argv=['paft','--help']\ntry: paft.cli.app.main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'transformers', 'altair', 'pydantic'} & sys.modules.keys(), sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "evaluate", "demo", "report"):
        assert command in done.stdout


def test_a_run_prints_its_table_and_a_second_one_goes_on(project):
    first = paft("run", "config.yaml", "methods=[base,paft]", cwd=project)
    assert first.returncode == 0, first.stderr
    assert "paft" in first.stdout
    assert "runs/config/report.md" in first.stdout
    assert "runs/config/report.html" in first.stdout
    assert "starting" in first.stderr
    second = paft("run", "config.yaml", "methods=[base,paft]", "--quiet", cwd=project)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == first.stdout
    shown = paft_here("report", "runs/config", cwd=project)
    assert shown.returncode == 0
    assert "| config | paft |" in shown.stdout


def test_evaluate_has_a_directory_of_its_own(project):
    done = paft_here("evaluate", "config.yaml", "-q", cwd=project)
    assert done.returncode == 0, done.stderr
    assert list(json.loads((project / "runs/config-evaluate/report.json").read_text())["methods"]) == ["base"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.yaml"], ["nowhere.yaml", "cannot read"]),
        (["run", "config.yaml", "trainig.K=3"], ["trainig is unknown", "'training'"]),
        (["report", "prompts"], ["prompts", "no run directory"]),
        (["report", "nowhere"], ["nowhere", "no run directory"]),
        (["report", "nowhere", "-o", "page.md"], ["page.md", "ends in .html"]),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(project, arguments, words):
    assert_refused(paft(*arguments, cwd=project), *words)


def test_a_model_that_is_not_there_is_said_without_loading_torch(project):
    code = (
        "import sys; sys.argv = ['paft', 'run', 'config.yaml', 'model.path=./gone']\n"
        "from paft.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: assert not {'torch', 'transformers'} & sys.modules.keys(); raise\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert_refused(done, "model.path", "no such folder")


def test_wrong_usage_is_exit_code_2(project):
    for arguments in (["run"], ["walk"], ["run", "config.yaml", "--outptu", "x"]):
        assert paft(*arguments, cwd=project).returncode == 2


def test_a_torn_line_is_named_by_file_and_line(project):
    with (project / "prompts/train.jsonl").open("a") as file:
        file.write('{"text": "half a li')
    assert_refused(paft("run", "config.yaml", cwd=project), "prompts/train.jsonl:6", "not a whole JSON object")


def test_an_output_that_is_a_file_is_refused_and_kept(project):
    (project / "taken").write_text("mine")
    assert_refused(paft("run", "config.yaml", "--output", "taken", cwd=project), "taken")
    assert (project / "taken").read_text() == "mine"


def test_a_full_disk_is_one_line_and_nothing_finished_is_lost(project):
    """The disk is full from the moment that a finished run writes its report anew."""
    done = paft_here("run", "config.yaml", "methods=[base]", "--output", "runs/two", "-q", cwd=project)
    assert done.returncode == 0
    predictions = project / "runs/two/methods/base/predictions.parquet"
    before = predictions.read_bytes()
    (project / "runs/two/report.json").unlink()
    code = (
        "import errno, os, sys\n"
        "import paft.utils.io as files\n"
        "def full(*a, **k): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'report.json')\n"
        "files.os.fsync = full\n"
        "sys.argv = ['paft', 'run', 'config.yaml', 'methods=[base]', '--output', 'runs/two', '-q']\n"
        "from paft.cli.app import main; main()\n"
    )
    refused = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert_refused(refused, "disk is full")
    assert predictions.read_bytes() == before


def test_an_unwritable_folder_is_refused(project):
    """As root every folder is writable, so /proc stands in for one that is not."""
    assert_refused(paft("run", "config.yaml", "--output", "/proc/run", cwd=project), "/proc/run")
    made = paft("reproduce", "table1", "config.yaml", "methods=[base]", "-o", "/proc/made", cwd=project)
    assert_refused(made, "/proc/made")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_line_with_what_to_lower(project, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr("paft.runs.data.load_with_demonstrations", full)
    refused = paft_here("run", "config.yaml", cwd=project)
    assert_refused(refused, "too little memory", "lower training.batch_size", "evaluation.batch_tokens")


@pytest.mark.parametrize("words", [[], ["prompts"]])
def test_the_list_of_commands_has_each_one_in_a_whole_sentence(words, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["paft", *words, "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main()
    listed = capsys.readouterr().out.partition("Commands:")[2].strip().splitlines()
    assert len(listed) >= 5
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []
