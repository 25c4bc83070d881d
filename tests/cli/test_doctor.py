"""paft doctor: one screen, each line with its state, exit code 1 on a problem, and no secret."""

import json

import pytest

from command import paft_here
from conftest import write_rows
from endpoints import Server
from paft.cli import doctor
from paft.cli.doctor import examine

SECRET = "sk-do-not-print-me-0123456789"


def states(found):
    return {finding.what: finding.state for finding in found}


def config(folder, model, **prompts):
    path = folder / "doctor.yaml"
    task = {
        "name": "colours",
        "test": "test.jsonl",
        "fields": ["thing"],
        "choices": ["a", "b"],
        "target": "colour",
    }
    path.write_text(json.dumps({"model": model, "task": task, "prompts": {"test": "prompts.jsonl"} | prompts}))
    return path


def listing(*names):
    """Return a server whose list of models is played as any other reply."""
    server = Server((200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}, {}))
    server.RequestHandlerClass = type(
        "Get", (server.RequestHandlerClass,), {"do_GET": lambda self: self.play(server.replies[0])}
    )
    return server  # fmt: skip


@pytest.fixture(autouse=True)
def ample(monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED", 1)  # what this machine has free is no matter of the tests


def test_a_sound_machine_has_no_problem_and_the_screen_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = list(examine())
    assert "problem" not in states(found).values(), found
    assert {"python", "paft", "packages", "cpu", "dtype", "memory", "runs", "cache"} <= states(found).keys()
    assert len(found) < 24
    assert all("\n" not in str(finding) for finding in found)
    assert not [f for f in found if f.what == "embedded model" and "is missing" in f.detail]
    [dtype] = [f for f in found if f.what == "dtype"]
    assert "bfloat16" in dtype.detail


def test_what_lacks_is_named_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["numpy>=99", "no-such-package>=1", "rich>=1"])
    monkeypatch.setattr(doctor, "NEEDED", 1e18)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = list(examine())
    lacking = {f.what: f for f in found if f.state != "ok"}
    assert "no-such-package is missing" in lacking["packages"].detail
    assert "paft requires >=99" in lacking["packages"].detail
    assert lacking["memory"].state == lacking["runs"].state == "warning"
    assert "--output" in lacking["runs"].fix
    assert (lacking["cache"].state, "XDG_CACHE_HOME" in lacking["cache"].fix) == ("problem", True)


def test_a_check_that_breaks_is_a_problem_and_the_others_are_made(monkeypatch):
    def broken():
        raise ImportError("libtorch.so: cannot open")

    monkeypatch.setattr(doctor, "_devices", broken)
    found = list(examine())
    assert [f.detail for f in found if f.state == "problem"] == ["ImportError: libtorch.so: cannot open"]
    assert "memory" in states(found)


def test_a_config_is_examined_file_by_file(tmp_path):
    path = config(tmp_path, {"path": "./gone", "adapter": "nowhere"}, train={"bank": "trec"})
    write_rows(tmp_path / "test.jsonl", [{"thing": "x", "colour": "a"}])
    found = states(examine(path))
    assert (found["task.test"], found["prompts.train"]) == ("ok", "ok")
    assert (found["prompts.test"], found["model.path"], found["model.adapter"]) == ("problem",) * 3
    [wrong] = [f for f in examine(tmp_path / "none.yaml") if f.state == "problem"]
    assert "none.yaml" in wrong.detail


@pytest.mark.parametrize(
    ("names", "key", "state", "said"),
    [
        (("m", "n"), None, "ok", "answers and has m"),
        (("n",), None, "warning", "m is not on its list (n)"),
        (("m",), "A_KEY", "ok", "$A_KEY is set"),
        (("m",), "NOT_SET", "problem", "set the environment variable NOT_SET"),
    ],
)
def test_an_endpoint_is_asked_for_its_models(tmp_path, monkeypatch, names, key, state, said):
    monkeypatch.setenv("A_KEY", SECRET)
    server = listing(*names)
    path = config(tmp_path, {"path": "m", "base_url": server.url} | ({"key": key} if key else {}))
    [found] = [f for f in examine(path) if f.what == "endpoint"]
    assert found.state == state
    assert said in str(found)
    assert SECRET not in str(found)
    server.shutdown()


@pytest.mark.parametrize(
    ("reply", "state", "said"),
    [
        ((404, {}, {}), "ok", "lists no models"),
        ((200, b"<html>", {}), "ok", "lists no models"),
        ((401, {"error": {"message": SECRET}}, {}), "problem", "refused with status 401"),
        ((500, {}, {}), "problem", "status 500"),
        ("cut", "problem", "no connection"),
    ],
)
def test_an_endpoint_that_is_ill_is_told_from_one_without_a_list(tmp_path, monkeypatch, reply, state, said):
    monkeypatch.setenv("A_KEY", SECRET)
    server = listing()
    server.replies[:] = [reply]
    path = config(tmp_path, {"path": "m", "base_url": server.url, "key": "A_KEY"})
    [found] = [f for f in examine(path) if f.what == "endpoint"]
    assert (found.state, said in str(found)) == (state, True), found
    assert SECRET not in str(found)
    server.shutdown()


def test_the_exit_code_is_1_on_a_problem_only(tmp_path):
    sound = paft_here("doctor", cwd=tmp_path)
    lines = sound.stdout.splitlines()
    assert all(line.split()[0] in ("ok", "warning", "problem") for line in lines), sound.stdout
    assert sound.returncode == ("problem" in sound.stdout)
    ill = paft_here("doctor", "--config", "none.yaml", cwd=tmp_path)
    assert (ill.returncode, "Traceback" in ill.stderr) == (1, False)


def test_a_config_that_no_run_can_be_is_not_called_sound(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "model: {path: embedded/nonsense}\ntask: {name: piqa}\nprompts: {train: {bank: nonsense}}"
    )
    found = {finding.what: finding for finding in examine(tmp_path / "c.yaml")}
    assert found["model.path"].state == found["prompts.train"].state == "problem"
    assert (found["paft run"].state, found["paft run"].detail) == ("warning", "config key task.test is missing")


def test_a_config_is_read_as_a_run_reads_it(project):
    found = {finding.what: finding for finding in examine(project / "config.yaml")}
    assert found["task and prompts"].detail == (
        "20 training examples, 6 test examples; 5 training prompts, 2 test prompts that fit"
    )
    assert found["target"].detail == "colour is read as the text of a choice"
    assert found["answers, train"].detail == "red 7, green 7, blue 6"
    assert found["answers, test"].detail == "green 2, blue 2, red 2"
    assert found["longest example"].detail == f"{project / 'test.jsonl'}:1, 21 characters of fields and options"
    assert found["majority"].detail == "always answering 'green' is right for 33.3% of the test examples"
    text = (project / "config.yaml").read_text()
    (project / "wrong.yaml").write_text(text.replace("[thing]", "[thin]"))
    wrong = {finding.what: finding for finding in examine(project / "wrong.yaml")}["task and prompts"]
    assert (wrong.state, "no column 'thin'; did you mean 'thing'" in wrong.detail) == ("problem", True)


def test_test_examples_that_are_training_examples_too_are_named(project):
    (project / "test.jsonl").write_text((project / "train.jsonl").read_text())
    found = [finding for finding in examine(project / "config.yaml") if finding.state == "warning"]
    assert f"20 of 20 test examples ask the same as a training example; the first: {project / 'test.jsonl'}:1" in [
        finding.detail for finding in found
    ]


def test_numbers_that_have_two_readings_are_named(project):
    text = (project / "config.yaml").read_text().replace("  choices: [red, green, blue]\n", "  scorer: number\n")
    (project / "config.yaml").write_text(text.replace("{choices}", ""))
    for name in ("train", "test"):
        write_rows(
            project / f"{name}.jsonl",
            [{"thing": f"{name} {i}", "colour": v} for i, v in enumerate(["7", "12.000 km"])],
        )
    write_rows(project / "prompts/train.jsonl", [{"text": "How far is {thing}?"}])
    write_rows(project / "prompts/test.jsonl", [{"text": "{thing} is ..."}])
    details = [finding.detail for finding in examine(project / "config.yaml")]
    assert (
        "2 accepted answers could be read in another way by the scorer number; the first: "
        f"{project / 'train.jsonl'}:2: 12.000 read as 12"
    ) in details


def test_a_config_that_evaluation_refuses_is_a_problem(project):
    text = (project / "config.yaml").read_text().replace("  choices: [red, green, blue]\n", "")
    text = text.replace("{choices}", "").replace("mode: generate", "mode: likelihood")
    (project / "config.yaml").write_text(text)
    write_rows(project / "prompts/train.jsonl", [{"text": "Which colour has {thing}?"}])
    write_rows(project / "prompts/test.jsonl", [{"text": "{thing} is ..."}])
    found = {finding.what: finding for finding in examine(project / "config.yaml")}
    assert found["paft run"].state == "problem"
    assert "likelihood compares options" in found["paft run"].detail


def test_the_answers_of_a_free_text_task_are_counted_and_checked(project):
    text = (project / "config.yaml").read_text().replace("  choices: [red, green, blue]\n", "")
    (project / "config.yaml").write_text(text.replace("{choices}", ""))
    rows = [
        {"thing": "a", "colour": ["red", "crimson"]},
        {"thing": "bb", "colour": "red"},
        {"thing": "c", "colour": 3},
    ]
    write_rows(project / "test.jsonl", rows)
    write_rows(project / "prompts/train.jsonl", [{"text": "Which colour has {thing}?"}])
    write_rows(project / "prompts/test.jsonl", [{"text": "{thing} is ..."}])
    found = {finding.what: finding.detail for finding in examine(project / "config.yaml")}
    assert found["target"] == (
        "colour is read as free text; 1 to 2 accepted answers each, of which the first is trained on"
    )
    assert found["answers, test"] == "2 different answers in 3 examples; the most frequent, 'red', 2 times"
    assert found["majority"] == "always answering 'red' is right for 66.7% of the test examples"


def test_a_run_and_doctor_say_how_targets_were_read(project):
    (project / "config.yaml").write_text(
        (project / "config.yaml")
        .read_text()
        .replace("target: colour", "target: n\n  target_format: {0: red, 1: blue}")
    )
    for name in ("train", "test"):
        write_rows(project / f"{name}.jsonl", [{"thing": f"{name} {i}", "n": i % 2} for i in range(6)])
    reading = "n is read by task.target_format: 0 = red, 1 = blue"
    found = {finding.what: finding for finding in examine(project / "config.yaml")}
    assert found["target"].detail == reading
    done = paft_here("evaluate", "config.yaml", "-o", "out", cwd=project)
    assert done.returncode == 0, done.stderr
    assert f"task.target: {reading}\n" in done.stderr
