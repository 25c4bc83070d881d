"""The command line, as a process of its own and, where only what it does counts, in the test's."""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest import mock

from paft.cli import app as cli


def paft(*arguments, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run it as a user does."""
    command = [sys.executable, "-m", "paft", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=os.environ | environment, timeout=300
    )  # fmt: skip


def paft_here(*arguments, cwd=".", **environment) -> subprocess.CompletedProcess:
    """Run it without the seconds in which a new process imports torch."""
    words = ["paft", *map(str, arguments)]
    printed, said, code = io.StringIO(), io.StringIO(), 0
    with (
        chdir(cwd),
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, environment),
        redirect_stdout(printed),
        redirect_stderr(said),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(words, code, printed.getvalue(), said.getvalue())


def assert_refused(result: subprocess.CompletedProcess, *words: str) -> None:
    """A mistake: exit code 2 and one line, which says these words."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("paft: error: ")]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0]
