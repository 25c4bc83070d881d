"""``paft reproduce``: the paper's tables and figures out of runs, here on a tiny network."""

import csv
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from command import paft_here
from conftest import TRAIN_PROMPTS, things, write_rows
from paft.config.load import load_config
from paft.errors import UserError
from paft.experiments import paper
from paft.experiments.one_word import edits, farthest
from paft.experiments.plan import K_AND_T, PlannedRun
from paft.experiments.presets import PRESETS
from paft.experiments.reproduce import Experiment, plan, reproduce
from paft.experiments.tables import RESULT_TABLES, ResultTable, make_table
from paft.methods.evaluator import PromptEvaluator
from paft.prompts.files import read_prompts
from paft.runs.validation import held_out_examples
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_text

QUIET = Console(quiet=True)
FEW = [
    "methods=[base, user, top-accuracy, zopo, paft]",
    "training.examples=8",
    "evaluation.examples=4",
    "evaluation.max_new_tokens=4",
    "baselines.top_accuracy.examples=4",
    "baselines.zopo={budget: 3, initial: 2, examples: 4}",
]


def asked(project, name, *overrides, seeds=1, output="out"):
    return Experiment(name, [project / "config.yaml"], [*FEW, *overrides], project / output, seeds=seeds)


def make(project, name, *overrides, seeds=1, ray=None, output="out"):
    return reproduce(asked(project, name, *overrides, seeds=seeds, output=output), QUIET, ray)


def test_table_1_has_every_method_beside_the_paper_and_says_what_differs(project):
    shown, failed = make(project, "table1")
    assert not failed
    assert [row["method"] for row in shown.rows] == ["base", "user", "top-accuracy", "zopo", "paft"]
    found = json.loads((project / "out/table1.json").read_text())
    assert found["rows"] == json.loads(json.dumps(shown.rows))
    assert found["missing"] == {}
    assert len(found["differences"]) == 10
    assert {tuple(pair["methods"]) for pair in found["differences"]} >= {
        ("base", "paft"),
        ("top-accuracy", "zopo"),
    }
    [made_of] = found["notes"]
    assert "trained on 8 examples, 2 steps; 2 prompts x 4 examples, answers by the options' likelihood" in made_of
    text = (project / "out/table1.md").read_text()
    assert "| zopo |" in text
    assert "| paft - zopo |" in text
    assert (project / "out/table1.html").is_file()
    assert (project / "out/figures/table1-colours-seed-0.svg").is_file()


def test_what_is_finished_is_not_done_again_and_serves_other_tables(project, monkeypatch):
    make(project, "table1")
    times = {p: p.stat().st_mtime_ns for p in (project / "out").rglob("predictions.parquet")}
    assert len(times) == 5
    for name in ("table2", "table6", "figure4"):
        shown, failed = make(project, name)
        assert not failed
        assert shown.rows
    assert {p: p.stat().st_mtime_ns for p in (project / "out").rglob("predictions.parquet")} == times


def test_a_setting_of_one_baseline_leaves_the_other_methods_runs_as_they_are(project):
    make(project, "table1")
    times = {p: p.stat().st_mtime_ns for p in (project / "out").rglob("predictions.parquet")}
    shown, failed = make(project, "table1", "baselines.zopo.budget=4")
    assert list(failed) == ["colours/seed-0/methods/zopo"]
    assert "baselines.zopo.budget (was 3, now 4)" in failed["colours/seed-0/methods/zopo"]
    assert [row["method"] for row in shown.rows] == ["base", "user", "top-accuracy", "paft"]
    assert {p: p.stat().st_mtime_ns for p in (project / "out").rglob("predictions.parquet")} == times
    _, failed = make(project, "table1")
    assert not failed


def test_table_3_reads_no_test_prompt_and_no_test_example(project):
    shown, failed = make(project, "table3")
    assert not failed
    assert [(row["K"], row["T"]) for row in shown.rows] == list(K_AND_T)
    assert sum(row["best"] for row in shown.rows) == 1
    test_things = {row["thing"] for row in things(6, 100)}
    for config in (project / "out").rglob("config.yaml"):
        text = config.read_text()
        assert "data-0/validation/test.jsonl" in text
        assert str(project / "prompts/test.jsonl") not in text
        assert str(project / "test.jsonl") not in text
    for file in (project / "out").rglob("*.jsonl"):
        assert not any(json.dumps(thing) in file.read_text() for thing in test_things), file
    folder = project / "out/colours/data-0/examples"
    train, held = ((folder / f"{n}-examples.jsonl").read_text().splitlines() for n in ("train", "test"))
    assert not set(train) & set(held)
    assert len(train) + len(held) == 20


def test_figure_6_is_a_run_for_each_number_of_prompts(project):
    shown, failed = make(project, "figure6")
    assert not failed
    assert [row["training_prompts"] for row in shown.rows] == [1, 2, 5]
    assert (project / "out/figures/figure6.png").is_file()


def test_figure_3_asks_under_every_prompt_there_is(project):
    shown, failed = make(project, "figure3")
    assert not failed
    assert [(row["method"], row["prompts"]) for row in shown.rows] == [("base", 7), ("user", 7)]


def test_figure_1_finds_a_pair_one_word_apart_on_training_examples_alone(project):
    shown, failed = make(project, "figure1")
    assert not failed
    [row] = shown.rows
    low, high = row["low"]["text"].split(), row["high"]["text"].split()
    assert abs(len(low) - len(high)) <= 1
    assert row["tried"] > 3
    folder = project / "out/colours/seed-0"
    assert len((folder / "one-word-evaluations.jsonl").read_text().splitlines()) >= row["tried"]
    again, _ = make(project, "figure1")
    assert again.rows == shown.rows
    (folder / "one-word.json").write_text('{"low": ')
    _, failed = make(project, "figure1")
    assert "one-word.json: damaged; remove it and run the same command again" in failed["colours/seed-0"]


def test_figure_1_searches_on_training_examples_and_measures_on_test_examples(project, monkeypatch):
    asked_on: dict[int, list[set[str]]] = {}
    evaluate = PromptEvaluator.evaluate

    def listen(self, prompt, examples):
        asked_on.setdefault(id(examples), []).append({example.fields["thing"] for example in examples})
        return evaluate(self, prompt, examples)

    monkeypatch.setattr(PromptEvaluator, "evaluate", listen)
    shown, _ = make(project, "figure1")
    searching, measuring = asked_on.values()
    assert len(searching) == shown.rows[0]["tried"]
    assert len(measuring) == 2
    test_things = {row["thing"] for row in things(6, 100)}
    assert not set.union(*searching) & test_things
    assert set.union(*measuring) <= test_things


def test_runs_that_several_tables_need_are_the_same_runs(project):
    plans = {name: plan(asked(project, name), QUIET) for name in ("table1", "figure1", "figure6")}
    [comparison] = plans["table1"]
    [search] = plans["figure1"]
    for shared in (search, plans["figure6"][-1]):
        assert shared.folder == comparison.folder
        assert shared.config == comparison.config.model_copy(update={"methods": shared.config.methods})


def test_rows_that_belong_together_are_held_out_together():
    def example(place, article, *options):
        return Example(str(place), {"article": article, "question": "Best title?"}, options, 0)

    related = [example(i, f"a long article, number {i // 4}", f"o{i}", f"p{i}") for i in range(40)]
    for seed in range(5):
        held = held_out_examples(related, 8, seed)
        assert len(held) == 8
        assert all({place // 4 * 4 + i for i in range(4)} <= held for place in held)
    twins = [
        example(i, f"a long sentence, number {i}", *(("x", f"y{i // 2}")[:: 1 - 2 * (i % 2)])) for i in range(20)
    ]
    held = held_out_examples(twins, 4, 0)
    assert {place ^ 1 for place in held} == held
    labelled = [example(i, f"a long sentence, number {i}", "yes", "no") for i in range(20)]
    assert len(held_out_examples(labelled, 3, 0)) == 3


def test_an_interrupted_table_shows_what_is_finished(project, monkeypatch):
    import paft.runs.run

    run = paft.runs.run.run

    def interrupted(config, output, console, only):
        if only == "user":
            raise KeyboardInterrupt
        run(config, output, console, only)

    monkeypatch.setattr(paft.runs.run, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(project, "table1")
    found = json.loads((project / "out/table1.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["base"]
    assert len(found["missing"]) == 4


def test_figure_1_keeps_the_prompt_that_was_trained_on_whatever_the_screening_says(project, monkeypatch):
    from paft.experiments import one_word

    screen = one_word.screen
    monkeypatch.setattr(one_word, "screen", lambda prompts, *more: screen(prompts[1:], *more))
    shown, failed = make(project, "figure1")
    assert not failed
    assert shown.rows[0]["tried"] > 3


def test_edits_differ_by_one_word_and_leave_the_slots_alone():
    start = Prompt("Which colour is {thing}? Say red, green or blue", "Be brief")
    found = list(
        edits(start, [Prompt("Which shade is {thing}? Shout red, green or blue"), Prompt("Say it: {thing}")])
    )
    texts = [prompt.text for _, prompt in found]
    assert "Which shade is {thing}? Say red, green or blue" in texts
    assert "Which colour {thing}? Say red, green or blue" in texts
    assert all("{thing}" in text for text in texts)
    assert all(prompt.system == "Be brief" for _, prompt in found)
    words = start.text.split()
    for text in texts:
        changed = text.split()
        same = sum(a == b for a, b in zip(words, changed, strict=False)) + sum(
            a == b for a, b in zip(words[::-1], changed[::-1], strict=False)
        )
        assert same >= len(words) - 1


def test_the_pair_is_the_farthest_of_those_a_word_apart():
    start, a, b, c = (Prompt(f"{name} {{x}}") for name in ("start", "a", "b", "c"))
    accuracy = {start: 0.5, a: 0.4, b: 0.7, c: 0.1}
    assert farthest(accuracy, {a: 0, b: 0, c: 1}, start) == (c, start)
    assert farthest(accuracy, {a: 0, b: 0, c: 0}, start) == (c, b)


@pytest.mark.parametrize("name", ["table1", "figure1"])
def test_a_run_of_other_settings_is_never_shown_for_these(project, name):
    make(project, name, "methods=[user]")
    shown, failed = make(project, name, "methods=[user]", "training.learning_rate=0.02")
    assert shown.rows == []
    assert list(failed) == list(shown.missing)
    assert "another config" in "".join(failed.values())


def test_a_cell_that_failed_before_it_began_can_be_done_again(project, monkeypatch):
    import paft.runs.run

    with monkeypatch.context() as patched:
        patched.setattr(paft.runs.run, "open_model", lambda *a, **k: 1 / 0)
        _, failed = make(project, "table1", "methods=[base]")
    assert "ZeroDivisionError" in failed["colours/seed-0/methods/base"]
    shown, failed = make(project, "table1", "methods=[base]")
    assert not failed
    assert len(shown.rows) == 1
    assert not (project / "out/colours/seed-0/error-base.txt").exists()


def test_stage_1_without_a_server_is_a_cell_that_failed(project):
    shown, failed = make(
        project, "table7",
        "prompts.train={generate: {models: [{model: m, base_url: 'http://127.0.0.1:9/v1', retries: 0}], zero_shot: 3}}",
    )  # fmt: skip
    assert "prompts are missing" in failed["colours/seed-0-stage-1"]
    assert shown.missing


def test_figure_6_counts_the_prompts_that_a_training_draws_from(project):
    rows = [{"text": "Name it: {thing}"}, {"text": "no slot"}, {"text": "neither"}, {"text": "Colour of {thing}?"}]
    write_rows(project / "mostly-unfit.jsonl", rows)
    cells = plan(asked(project, "figure6", f"prompts.train={project / 'mostly-unfit.jsonl'}"), QUIET)
    assert [cell.prompt_count for cell in cells] == [1, 2]
    for cell in cells:
        assert len(read_prompts(Path(str(cell.config.prompts.train)))) == cell.prompt_count


def test_the_prompts_of_cells_that_wait_are_not_changed_by_a_plan_of_another_size(project):
    many = [{"text": f"{'Look. ' * i}What colour has this: {{thing}}? Word{i} word{i * i}"} for i in range(70)]
    write_rows(project / "many.jsonl", many)
    waiting = asked(project, "table1", "methods=[base]", f"prompts.train={project / 'many.jsonl'}", "prompts.screen={'off': [near-duplicate]}")  # fmt: skip
    [cell] = plan(waiting, QUIET)
    before = Path(str(cell.config.prompts.train)).read_bytes()
    with pytest.raises(
        UserError, match=r"train\.jsonl: holds the prompts of another --size or config; choose another --out"
    ):
        plan(replace(waiting, size="small"), QUIET)
    assert Path(str(cell.config.prompts.train)).read_bytes() == before


def test_table_3_takes_rows_of_parquet_with_dates(project):
    dated = pa.Table.from_pylist([row | {"day": date(2024, 1, 1)} for row in things(20)])
    parquet.write_table(dated, project / "train.parquet")
    [cell, *_] = plan(asked(project, "table3", f"task.train={project / 'train.parquet'}"), QUIET)
    written = Path(str(cell.config.task.train)).read_text().splitlines()
    assert {json.loads(line)["day"] for line in written} == {"2024-01-01"}


def test_table_3_says_what_it_needs_before_anything_runs(project):
    write_rows(project / "two.jsonl", [{"text": "Name it: {thing}"}, {"text": "Colour of {thing}?"}])
    with pytest.raises(
        UserError, match=r"held out for validation, which takes 3 or more that fit the task; found 2"
    ):
        plan(asked(project, "table3", f"prompts.train={project / 'two.jsonl'}"), QUIET)


def test_figure_3_leaves_out_the_prompt_that_was_trained_on(project):
    user = TRAIN_PROMPTS[0]["text"]
    cells = plan(asked(project, "figure3", f"prompts.user={json.dumps(user)}"), QUIET)
    for cell in cells:
        assert user not in [p.text for p in read_prompts(Path(str(cell.config.prompts.test)))]


@pytest.mark.parametrize(
    ("name", "method", "needed"),
    [("figure3", "paft", "base, user"), ("table6", "base", "methods that train"), ("table3", "user", "paft"),
     ("figure1", "paft", "user"), ("figure6", "base", "paft")],
)  # fmt: skip
def test_a_table_without_any_of_its_methods_is_refused(project, name, method, needed):
    with pytest.raises(UserError, match=f"{name}: none of the methods {method} is part of it; it shows {needed}"):
        plan(asked(project, name, f"methods=[{method}]"), QUIET)


def test_a_result_that_is_damaged_is_missing_and_the_exit_code_says_so(project):
    make(project, "table1", "methods=[base]")
    grid = project / "out/colours/seed-0/methods/base/predictions.parquet"
    grid.write_bytes(grid.read_bytes()[:100])
    words = ("table1", project / "config.yaml", *FEW, "methods=[base]", "-o", project / "out")
    result = paft_here("reproduce", *words)
    assert result.returncode == 1
    assert "damaged" in result.stdout


def test_table_7_tells_seeds_apart(tmp_path):
    cells = []
    for seed in (0, 1):
        write_text(tmp_path / f"{seed}/costs.json", json.dumps([["Model", "Kept"], [["m", str(5 + seed)]]]))
        cells.append(PlannedRun(str(seed), None, "trec", seed, work="prompts"))
    text = make_table("table7", cells, tmp_path, {}).markdown()
    assert "| trec | 0 | m | 5 |" in text
    assert "| trec | 1 | m | 6 |" in text


def test_several_seeds_are_one_flag(project):
    shown, _ = make(project, "table1", "methods=[base]", seeds=2)
    assert [row["seed"] for row in shown.rows] == [0, 1]
    assert any("over 2 seeds" in note for note in shown.notes)


def test_a_cell_that_fails_is_reported_and_the_rest_stands(project, monkeypatch):
    import paft.runs.run

    run = paft.runs.run.run

    def breaking(config, output, console, only):
        if only == "zopo":
            raise RuntimeError("the machine is on fire")
        run(config, output, console, only)

    monkeypatch.setattr(paft.runs.run, "run", breaking)
    shown, failed = make(project, "table1")
    assert list(failed) == ["colours/seed-0/methods/zopo"]
    assert len(shown.rows) == 4
    assert "the machine is on fire" in shown.missing["colours/seed-0/methods/zopo"]
    assert "on fire" in (project / "out/table1.md").read_text()
    assert "RuntimeError" in (project / "out/colours/seed-0/error-zopo.txt").read_text()


def test_an_unfinished_figure_shows_what_is_there_and_names_the_rest(project):
    make(project, "table1", "methods=[base, user]")
    shutil.rmtree(project / "out/colours/seed-0/methods/user")
    planned = plan(asked(project, "table1", "methods=[base, user]"), QUIET)
    shown = make_table("table1", planned, project / "out", {})
    assert [row["method"] for row in shown.rows] == ["base"]
    assert list(shown.missing) == ["colours/seed-0/methods/user"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "tabel1"}, "no table or figure 'tabel1'; did you mean 'table1'"),
        ({"size": "huge"}, "no size 'huge'; the sizes are tiny, small, paper"),
        ({"configs": []}, "name a config for each task"),
        ({"configs": 2}, "two configs have the task 'colours'"),
        ({"overrides": ["methods=[batprompt]"]}, "baselines.batprompt.llm is missing"),
        ({"overrides": []}, "baselines.batprompt.llm is missing"),
        ({"name": "table7"}, "table7 shows the cost of stage 1"),
    ],
)
def test_a_mistake_is_said_before_anything_runs(project, arguments, message):
    given = {"name": "table1", "configs": 1, "overrides": FEW, "size": "tiny"} | arguments
    configs = (
        given["configs"] if isinstance(given["configs"], list) else [project / "config.yaml"] * given["configs"]
    )
    with pytest.raises(UserError) as error:
        reproduce(Experiment(given["name"], configs, given["overrides"], project / "out", given["size"]), QUIET)
    assert message in str(error.value)
    assert not (project / "out").exists()


def test_a_size_that_the_data_cannot_fill_is_said(project, capsys):
    more = ["methods=[user]", "training.examples=21", "evaluation.examples=7"]
    shown, _ = reproduce(asked(project, "table1", *more), Console())
    assert "trained on 20 (asked for 21) examples" in shown.notes[0]
    assert "6 (asked for 7) examples" in shown.notes[0]
    said = capsys.readouterr().err
    assert "asked for 60 train prompts, found 5" in said
    assert "asked for 10 test prompts, found 2" in said


def test_a_size_replaces_the_config_and_an_override_replaces_both(project):
    path = project / "config.yaml"
    assert load_config(path, over=PRESETS["tiny"].config).training.examples == 500
    assert load_config(path, ["training.examples=7"], over=PRESETS["tiny"].config).training.examples == 7
    assert load_config(path, over=PRESETS["tiny"].config).training.learning_rate == 1e-2


def test_the_size_paper_is_the_papers_settings(project):
    own = yaml.safe_load((project / "config.yaml").read_text())
    own["training"] |= {"gradient_accumulation_steps": 4, "warmup_steps": 5}
    own["baselines"] = {"zopo": {"budget": 5}, "batprompt": {"rounds": 1, "max_tokens": 99}}
    (project / "config.yaml").write_text(yaml.safe_dump(own))
    config = load_config(project / "config.yaml", over=PRESETS["paper"].config)
    assert (config.training.warmup_steps, config.baselines["batprompt"]["rounds"]) == (0.1, 5)
    assert config.baselines["batprompt"]["max_tokens"] == 99
    t = config.training
    assert (t.examples, t.epochs, t.K, t.learning_rate, t.max_length) == (20_000, 3, 4, 1e-4, 1024)
    preset = PRESETS["paper"]
    assert (t.lora.r, t.lora.target_modules, preset.train_prompts, preset.test_prompts) == (
        8,
        ["q_proj", "v_proj"],
        400,
        50,
    )
    assert t.batch_size * t.gradient_accumulation_steps == 8
    assert config.evaluation.mode == "generate"
    assert (config.baselines["zopo"]["budget"], config.baselines["zopo"]["initial"]) == (165, 40)


def test_every_table_and_figure_of_the_paper_is_there():
    assert set(RESULT_TABLES) == {"table1", "table2", "table3", "table6", "table7",
                          "figure1", "figure3", "figure4", "figure5", "figure6"}  # fmt: skip


def test_the_papers_numbers_are_those_of_its_tables(shared):
    """``../shared/paper`` has them as text; the times of RACE are of both its parts."""

    def rows(name):
        with (shared.parent / "paper" / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def hours(name):
        return {(row["method"], d): float(row[d]) for row in rows(name) for d in row if d != "method"}

    figures = {(r["method"], r["dataset"]): tuple(float(r[k]) for k in ("mean", "std", "top"))
               for r in rows("table1_accuracy.csv")}  # fmt: skip
    assert figures == paper.TABLE_1
    pairs = {(int(r["K"]), int(r["T"]), r["dataset"]): (float(r["mean"]), float(r["std"]))
             for r in rows("table3_k_and_t.csv")}  # fmt: skip
    assert pairs == paper.TABLE_3
    assert hours("table2_inference_hours.csv") == paper.TABLE_2
    assert hours("table6_training_hours.csv") == paper.TABLE_6
    [tokens] = rows("table7_generation_tokens.csv")
    assert {name: int(count) for name, count in tokens.items()} == paper.TABLE_7


ROW = {
    "task": "t", "seed": 0, "method": "user", "mean": 0.5, "mean_interval": [0.25, 0.625], "std": 0.1,
    "std_interval": [0.0, 0.2], "top": 0.25, "top_interval": [0.0, 0.5], "worst": 0.3, "best": 0.7, "unparsed": 2,
    "disagreement": 0.4, "right_under_all": 0.1, "right_under_all_interval": [0.0, 0.3],
    "prompts": 2, "examples": 4, "cells": {"answered": 8, "of": 8, "estimated": False},
    "train_seconds": 9.0, "eval_seconds": 16.0, "generated_tokens": 12,
}  # fmt: skip
PAIR = {"task": "t", "seed": 0} | {
    end: {"text": f"{end} | a\n{{x}}", "test_accuracy": accuracy, "development_accuracy": 0.5,
          "test_accuracy_interval": interval}
    for end, accuracy, interval in (("low", 0.25, [0.0715, 0.5907]), ("high", 0.75, [0.4093, 0.9285]))
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more", "text"),
    [
        ("table1", {"paper": None},
         "| t | 0 | user | 50.0 [25.0, 62.5] | 10.0 [0.0, 20.0] | 25 [0, 50] | 30.0 | 25% | 40 | 10 [0, 30] | - |"),
        ("table1", {"paper": (92.35, 2.78, 4.0)}, "| 10 [0, 30] | 92.35 ± 2.78, top 4 |"),
        ("table2", {"paper_hours": 6.5}, "| t | 0 | user | 16 | 0.5 | 1.5 | 6.5 |"),
        ("table2", {"paper_hours": None, "eval_seconds": None}, "| t | 0 | user | - | - | 1.5 | - |"),
        ("table3", {"K": 4, "T": 3, "best": True, "paper": (93.83, 1.1)},
         "| t | 0 | 4 | 3 | 50.0 [25.0, 62.5] (best) | 10.0 [0.0, 20.0] | 93.83 ± 1.1 |"),
        ("table3", {"K": 4, "T": 3, "best": False, "paper": None}, "62.5] | 10.0 [0.0, 20.0] | - |"),
        ("table6", {"train_examples_per_second": 2.0, "paper_hours": 3.0, "choosing": {
            "seconds": 7.0, "evaluations": 24, "questions": 1384, "tokens_read": 900, "tokens_written": 100}},
         "| t | 0 | user | 9 | 2.0 | 7 | 24 | 1,384 | 1,000 | 3.0 |"),
        ("table6", {"train_examples_per_second": None, "choosing": {}, "paper_hours": None},
         "| t | 0 | user | 9 | - | - | - | - | - | - |"),
        ("figure6", {"training_prompts": 60}, "| t | 0 | 60 | 50.0 [25.0, 62.5] | 10.0 [0.0, 20.0] | 30.0 |"),
    ],
)  # fmt: skip
def test_a_row_is_written_under_the_heads_of_its_table(name, more, text):
    _, title, columns = RESULT_TABLES[name]
    assert text in ResultTable(title, columns, rows=[ROW | more]).markdown()


def test_figure_1_has_a_line_for_each_of_the_two_prompts(tmp_path):
    found = PAIR | {"tried": 5, "development_examples": 48, "test_examples": 12}
    write_text(tmp_path / "a/one-word.json", json.dumps(found))
    cell = PlannedRun("a", None, "t", 0, work="one-word")
    shown = make_table("figure1", [cell], tmp_path, {})
    text = shown.markdown()
    assert (
        "| t | 0 | 25.0 [8.9, 53.2] | 50.0 | low \\| a / {x} |\n| t | 0 | 75.0 [46.8, 91.1] | 50.0 | high" in text
    )
    assert "50.0 points difference on 12 test examples" in text


def test_table_7_has_the_heads_of_stage_1(tmp_path):
    write_text(tmp_path / "a/costs.json", json.dumps([["model", "tokens read"], [["m", "12"], ["all", "12"]]]))
    shown = make_table("table7", [PlannedRun("a", None, "piqa", 0, work="prompts")], tmp_path, {})
    assert shown.rows[0] == {"task": "piqa", "seed": 0, "model": "m", "tokens read": "12"}
    table = (
        "| Task | Seed | model | tokens read |\n| --- | --- | --- | --- |\n"
        "| piqa | 0 | m | 12 |\n| piqa | 0 | all | 12 |\n"
    )
    assert table in shown.markdown()
    assert "12,100 tokens" in shown.notes[0]


# --- Ray ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cluster_of_two_workers_gives_the_same_table_though_one_is_killed(project, monkeypatch):
    """A real local Ray cluster: the worker of a cell is killed with SIGKILL while it works."""
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # `local` is no cluster that was there before
    write_rows(project / "prompts/train.jsonl", TRAIN_PROMPTS)
    alone, _ = make(project, "table1", output="alone")
    killed: list[int] = []

    def kill():
        deadline = time.monotonic() + 240
        while not killed and time.monotonic() < deadline:
            for lock in (project / "ray").rglob(".lock"):
                text = lock.read_text().strip()
                if text.isdigit() and int(text) != os.getpid():
                    try:
                        os.kill(int(text), signal.SIGKILL)
                        killed.append(int(text))
                        return
                    except ProcessLookupError:
                        pass
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    shown, failed = make(project, "table1", output="ray", ray="local")
    thread.join()
    assert killed
    assert not failed
    done = {p: p.stat().st_mtime_ns for p in (project / "ray").rglob("predictions.parquet")}
    make(project, "table2", output="ray", ray="local")
    assert {p: p.stat().st_mtime_ns for p in (project / "ray").rglob("predictions.parquet")} == done
    timeless = [{k: v for k, v in row.items() if "second" not in k} for row in shown.rows]
    assert timeless == [{k: v for k, v in row.items() if "second" not in k} for row in alone.rows]


def test_a_cluster_that_is_not_there_is_one_line(project):
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(UserError, match="cannot reach a cluster"):
        make(project, "table1", "methods=[base]", ray="127.0.0.1:1")


def test_several_processes_of_a_launcher_are_refused(project, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="--ray"):
        make(project, "table1")


def test_ray_is_an_extra_that_is_named(project, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'paft\[ray\]'"):
        make(project, "table1", "methods=[base]", ray="local")
