"""The packages and which of them may import which, read from the source."""

import ast
import re
import subprocess
import sys
from functools import cache

import pytest

from conftest import ROOT

SOURCE = ROOT / "src/paft"
LAYERS = [
    {"types", "errors"},
    {"utils"},
    {"config"},
    {"models", "engine"},
    {"tasks", "prompts", "scoring"},
    {"training", "evaluation"},
    {"methods"},
    {"runs"},
    {"experiments", "reporting"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up: a package imports those of the layers below, and its neighbours of the same layer."""

NEVER = {("evaluation", "training"), ("training", "evaluation"), ("reporting", "experiments")}
"""Neighbours that must not meet, although they share a layer."""

LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
FILES = sorted(SOURCE.rglob("*.py"))


def package(path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def name(path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def text(path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def nodes(path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(text(path))))


@cache
def imports(path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paft."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("paft.")}
    return found


def graph() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for path in FILES:
        edges.setdefault(package(path), set()).update(imports(path) - {package(path)})
    return edges


def test_imports_go_down_the_layers_only():
    for path in FILES:
        here = package(path)
        for other in imports(path) - {here} if here != "__init__" else ():
            assert LEVEL[other] <= LEVEL[here], f"{name(path)} imports {other}"
            assert (here, other) not in NEVER, f"{name(path)} imports {other}"


def test_the_import_graph_can_be_printed():
    """``pytest -s -k import_graph`` prints it; docs/design.md shows it."""
    edges = graph()
    for layer in LAYERS:
        for name in sorted(layer):
            below = sorted(edges.get(name, ()), key=lambda other: (LEVEL[other], other))
            print(f"{name:<12} -> {', '.join(below)}")
    assert edges["types"] <= {"errors"}
    assert not edges["errors"]


def test_the_report_reads_files_and_asks_no_model():
    for path in FILES:
        if package(path) == "reporting":
            never = {"engine", "models", "training", "tasks", "methods", "scoring"}
            assert not imports(path) & never, name(path)


def test_only_runs_and_what_is_above_touch_the_config_tree():
    """The packages below take plain arguments, or the one section that is theirs."""
    for path in FILES:
        names = {alias.name for n in nodes(path) if isinstance(n, ast.ImportFrom) for alias in n.names}
        if "Config" in names:
            assert package(path) in {"cli", "config", "experiments", "runs"} or path.name == "stage1.py", path


def test_files_are_short_enough_to_read():
    assert [name(path) for path in FILES if len(text(path).splitlines()) > 400] == []


def test_no_clock_is_read_that_may_jump():
    """Durations come from clocks that only go forward; nothing depends on the time of day."""
    clock = re.compile(r"\btime\.time\(|datetime\.(?:now|today|utcnow)\(")
    assert [name(path) for path in FILES if clock.search(text(path))] == []


PRIVATE_MODULES = ("transformers.integrations", "transformers.masking_utils", "transformers.pytorch_utils")
PRIVATE_OWNER = "utils/hf_internals.py"


def private_interfaces(path) -> set[str]:
    """Return what a file uses of other packages beyond their documented interfaces."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            found |= {m for m in PRIVATE_MODULES if (node.module or "").startswith(m)}
            foreign = node.level == 0 and not (node.module or "").startswith(("paft", "__future__"))
            found |= {f"{node.module}.{a.name}" for a in node.names if foreign and a.name.startswith("_")}
        elif isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in ("self", "cls"):
                found.add(ast.unparse(node))
    return found


def test_private_interfaces_of_other_packages_are_used_in_one_module_only():
    found = {name(path): private for path in FILES if (private := private_interfaces(path))}
    assert found.keys() == {PRIVATE_OWNER}, f"move these to {PRIVATE_OWNER}: {found}"


def test_accelerators_are_asked_for_in_one_module_only():
    asked = re.compile(r"torch\.(cuda|mps|xpu)\b|torch\.accelerator\.is_available")
    assert [name(path) for path in FILES if asked.search(text(path))] == ["utils/device.py"]


@pytest.mark.medium
def test_every_module_can_be_imported_on_a_system_without_the_modules_and_functions_of_unix():
    """Windows has no fcntl and resource, macOS no os.sched_getaffinity."""
    modules = [
        ".".join(("paft", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        for path in FILES
        if path.name != "__main__.py"
    ]
    code = f"""
import builtins, importlib, os
real = builtins.__import__
def without_unix(name, globals=None, *rest, **named):
    # torch and its kind choose by sys.platform, which is Linux here: they keep what they import
    if name in ("fcntl", "resource", "pwd", "grp", "termios") and (globals or {{}}).get("__name__", "").startswith("paft"):
        raise ModuleNotFoundError(name)
    return real(name, globals, *rest, **named)
builtins.__import__ = without_unix
del os.sched_getaffinity
for name in {modules!r}:
    importlib.import_module(name)
from paft.utils.device import cpu_cores
assert cpu_cores() == os.cpu_count()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


def comparisons(path) -> set[str]:
    """Return the texts that a file compares something with."""
    texts = set()
    for node in nodes(path):
        if isinstance(node, ast.Compare):
            constants = (n for part in (node.left, *node.comparators) for n in ast.walk(part))
            texts |= {n.value for n in constants if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return texts


def test_methods_answer_formats_and_served_models_are_told_apart_at_home_only():
    methods = {"base", "user", "top-accuracy", "batprompt", "zopo", "paft", "grpo"}
    for path in FILES:
        here = package(path)
        if here != "methods" and name(path) != "reporting/results.py":  # it reads runs of the first version
            assert not comparisons(path) & methods, name(path)
        if here != "scoring":
            allowed = {"letter"} if name(path) == "tasks/load.py" else set()
            assert not comparisons(path) & {"letter", "label"} - allowed, name(path)
        if here not in ("models", "config"):
            assert "ServedModel" not in text(path), name(path)
