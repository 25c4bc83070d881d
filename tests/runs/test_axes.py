"""``paft evaluate --axes`` as its user meets it."""

import json

import pytest

from command import assert_refused, paft_here
from conftest import things, write_rows
from paft.runs import axes

AXES = "wording,format,system,shots,typos"
PROMPTS = [
    {"system": "Name a colour: {choices}.", "text": "Thing: {thing}\nColour:"},
    {"text": "Paint {thing} in one of {choices}!"},
    {"text": "{thing} is ..."},
]


@pytest.fixture
def with_system(project):
    write_rows(project / "prompts/test.jsonl", PROMPTS)
    write_rows(project / "test.jsonl", things(30, 100))
    return project


def start(project, *more, axes=AXES, cells=600):
    return paft_here("evaluate", "config.yaml", "--axes", axes, "--cells", cells, *more, cwd=project)


def test_the_report_gives_each_axis_its_share_and_a_second_call_asks_nothing(with_system, monkeypatch):
    done = start(with_system)
    assert done.returncode == 0, done.stderr
    folder = with_system / "runs/config-axes"
    report = json.loads((folder / "report.json").read_text())
    assert list(report["axes"]) == AXES.split(",")
    assert (report["cells"], report["combinations"], report["examples"]) == (600, 60, 30)
    for axis in report["axes"].values():
        assert 0 <= axis["share_interval"][0] <= axis["share"] <= axis["share_interval"][1]
        assert len(axis["levels"]) >= 2
    text = (folder / "report.md").read_text()
    assert "1 of 3 prompts have a system text" in text
    assert all(f"| {name} |" in text for name in AXES.split(","))
    assert "interactions and chance" in done.stdout
    page = (folder / "report.html").read_text()
    assert all(f'<th scope="row">{name}' in page for name in AXES.split(","))
    assert f"--axes {AXES} --cells 600" in page
    rows = (folder / "cells.jsonl").read_text()
    answers = {}
    for row in map(json.loads, rows.splitlines()):
        for example, score in zip(row["examples"], row["scores"], strict=True):
            assert answers.setdefault((*row["levels"], example), score) == score
    monkeypatch.setattr(axes, "open_model", None)
    again = start(with_system)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    (folder / "cells.jsonl").write_text("".join(rows.splitlines(keepends=True)[:40]) + '{"key": "torn')
    monkeypatch.undo()
    resumed = start(with_system)
    assert resumed.stdout == done.stdout
    assert (folder / "cells.jsonl").read_text().count("\n") == 60
    compared = paft_here("report", folder, folder, cwd=with_system)
    assert "config-axes" in compared.stdout
    assert f"Page: {folder.parent / 'comparison-axes.html'}" in compared.stdout.splitlines()
    assert_refused(paft_here("report", folder, "nosuch", cwd=with_system), "nosuch: no such run directory")
    gate = paft_here("gate", "config.yaml", "--no-worse-than", folder, cwd=with_system)
    assert_refused(gate, "no method is evaluated there")


def test_answers_to_other_questions_are_not_mixed_in(with_system):
    assert start(with_system, axes="typos", cells=200).returncode == 0
    assert_refused(start(with_system, axes="typos", cells=300), "--cells (was 200, now 300)")
    assert_refused(start(with_system, axes="typos,format", cells=400), "axes (changed)")
    assert_refused(start(with_system, "seed=1", axes="typos", cells=200), "seed (was 0, now 1)")
    other = paft_here("evaluate", "config.yaml", "-o", "runs/config-axes", cwd=with_system)
    assert_refused(other, "a run with --axes")
    assert paft_here("evaluate", "config.yaml", "-o", "runs/plain", "-q", cwd=with_system).returncode == 0
    assert_refused(start(with_system, "-o", "runs/plain"), "a run without axes")
    assert_refused(paft_here("report", "runs/config-axes", "runs/plain", cwd=with_system), "a run with --axes")  # fmt: skip


def test_several_adapters_are_the_training_seeds(with_system):
    for seed in range(2):
        done = paft_here("run", "config.yaml", "methods=[user]", f"seed={seed}", "training.epochs=1", "-o", f"runs/{seed}", "-q", cwd=with_system)  # fmt: skip
        assert done.returncode == 0, done.stderr
    adapters = [word for seed in range(2) for word in ("--adapter", f"runs/{seed}/methods/user/adapter")]
    done = start(with_system, *adapters, axes="wording,seed", cells=240)
    assert done.returncode == 0, done.stderr
    report = json.loads((with_system / "runs/config-axes/report.json").read_text())
    assert list(report["axes"]["seed"]["levels"]) == report["adapters"] == adapters[1::2]
    assert_refused(start(with_system, *adapters, axes="wording"), "add it to --axes")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--axes", "wording,order"], ["no axis order", "colours has wording, format, shots, typos"]),
        (["--axes", "seed"], ["no axis seed", "--adapter"]),
        (["--axes", "wordng"], ["no axis 'wordng'; did you mean 'wording'"]),
        (["--axes", "shots", "task.train=null"], ["no axis shots", "task.train"]),
        (["--axes", "wording", "--cells", "20"], ["need at least"]),
        (["--axes", "wording", "--adapter", "nowhere"], ["nowhere", "adapter_config.json"]),
        (["--adapter", "nowhere"], ["--adapter is an option of --axes"]),
        (["--axes", "wording", "evaluation.calibrate=batch"], ["evaluation.calibrate"]),
        (["--axes", "wording", "evaluation.cells=0.5"], ["evaluation.cells", "set --cells"]),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(project, arguments, words):
    assert_refused(paft_here("evaluate", "config.yaml", *arguments, cwd=project), *words)
