"""The rooms of the package and who may enter whom, read from the source."""

import ast
import re

import pytest

from conftest import ROOT

SOURCE = ROOT / "src/paft"
LEVELS = {
    "types": 0, "errors": 0, "config": 0, "config_file": 0, "files": 0, "limits": 0, "console": 0, "layout": 0, "locate": 0, "rundir": 0, "training_arguments": 0, "processes": 0,
    "tasks": 1, "prompts": 1, "llm": 1, "schedule": 1,
    "engine": 2, "training": 3, "evaluation": 3, "baselines": 4,
    "reporting": 4, "models": 4, "stage1": 6, "choosing": 6, "runner": 7, "doctor": 8, "experiments": 8, "cli_prompts": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))


def room(path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paft."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("paft.")}
    return found


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) != "__init__"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_go_down_the_levels_only(path):
    here = room(path)
    for other in imports(path):
        assert other == here or LEVELS[other] < LEVELS[here] or LEVELS[here] == LEVELS[other] <= 1, (
            f"{here} -> {other}"
        )


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "reporting"], ids=lambda p: p.name)
def test_the_report_reads_files_and_knows_no_model(path):
    assert not imports(path) & {"engine", "training", "tasks", "prompts", "llm", "schedule"}


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "evaluation"], ids=lambda p: p.name)
def test_evaluation_never_trains(path):
    assert "training" not in imports(path)


def test_only_cli_and_runner_touch_the_config_tree():
    """The rooms take plain arguments, or the one section that is theirs; an experiment is a set of configs, and doctor examines one."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
        if "Config" in names:
            assert room(path) in {"cli", "config_file", "doctor", "experiments", "runner", "rundir", "stage1"}, (
                path
            )


def test_files_are_short_enough_to_read():
    assert [p.name for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > 400] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_clock_is_read_that_may_jump(path):
    """Durations come from clocks that only go forward; nothing depends on the time of day."""
    assert not re.search(r"\btime\.time\(|datetime\.(?:now|today|utcnow)\(", path.read_text(encoding="utf-8"))
