"""What a long step says of itself where there is no terminal."""

import re
import subprocess
import sys

import pytest

from paft.cli import app as cli
from paft.errors import STOPPED
from paft.utils import console
from paft.utils.console import Console, clock, counted


@pytest.fixture
def now(monkeypatch):
    """A clock that the test turns."""
    time = {"now": 100.0}
    monkeypatch.setattr(console.time, "monotonic", lambda: time["now"])
    return time


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_every_fifth_of_the_way_says_the_time_left_and_the_note(now, capsys):
    with Console().progress("training paft", 10) as tick:
        for _ in range(10):
            now["now"] += 30
            tick(1, "loss 0.500, 8.0 examples/s")
    said = lines(capsys)
    assert len(said) == 5
    assert said[1] == "training paft: 4/10 after 2 min 00 s, 3 min 00 s left, loss 0.500, 8.0 examples/s"
    assert "left" not in said[-1]


def test_what_an_earlier_call_did_says_nothing_on_the_speed(now, capsys):
    with Console().progress("evaluating paft", 100) as tick:
        tick(80, earlier=True)
        now["now"] += 50
        tick(10)
        assert lines(capsys) == []
        now["now"] += 50
        tick(5)
    assert lines(capsys) == ["evaluating paft: 95/100 after 1 min 40 s, 33 s left"]


def test_a_slow_step_speaks_at_least_once_a_minute(now, capsys):
    with Console().progress("slow", 1000) as tick:
        for _ in range(12):
            now["now"] += 10
            tick(1)
    assert [re.findall(r"\d+/1000", line) for line in lines(capsys)] == [["6/1000"], ["12/1000"]]


def test_a_quiet_console_says_nothing(capsys):
    with Console(quiet=True).progress("quiet", 5) as tick:
        tick(2, earlier=True)
        tick(3, "note")
    assert lines(capsys) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (7500, "2 h 05 min")]
)
def test_times_are_short_and_plain(seconds, text):
    assert clock(seconds) == text


def test_a_terminal_gets_a_bar_that_knows_the_time_left(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    with Console().progress("training paft", 4) as tick:
        tick(2, earlier=True)
        tick(2, "loss 0.500, 8.0 examples/s")
    shown = capsys.readouterr().err
    assert "training paft" in shown
    assert "4/4" in re.sub(r"\x1b\[[^m]*m", "", shown)
    assert "8.0 examples/s" in re.sub(r"\x1b\[[^m]*m", "", shown)


def test_one_of_something_is_singular():
    assert [counted(n, "test prompts") for n in (0, 1, 1200)] == [
        "0 test prompts",
        "1 test prompt",
        "1,200 test prompts",
    ]


@pytest.mark.parametrize("command", [["run"], ["evaluate"], ["prompts", "generate"]])
def test_ctrl_c_says_that_the_same_command_goes_on(project, monkeypatch, capsys, command):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    for name in ("paft.runs.run.run", "paft.runs.run.evaluate", "paft.prompts.stage1.generate"):
        monkeypatch.setattr(name, interrupted)
    monkeypatch.setattr("sys.argv", ["paft", *command, str(project / "config.yaml"), "-o", str(project / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert "run the same command again to resume" in capsys.readouterr().err


def test_ctrl_c_while_the_command_line_is_imported_is_one_line_too():
    code = (
        "import runpy, sys\n"
        "class Interrupted:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted)\n"
        "runpy.run_module('paft', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()) == (130, STOPPED.split())


@pytest.mark.parametrize(
    "command", [["doctor"], ["prompts", "import", "config.yaml", "x", "-o", "y"], ["report", "run"]]
)
def test_ctrl_c_in_any_command_is_one_line(project, monkeypatch, capsys, command):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    for name in ("cli.doctor.examine", "prompts.stage1.import_file", "reporting.multi_run.read_all"):
        monkeypatch.setattr(f"paft.{name}", interrupted)
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.argv", ["paft", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err.split()) == (130, STOPPED.split())
