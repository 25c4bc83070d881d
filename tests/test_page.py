"""The page of a run: it opens anywhere, asks for nothing, shows every text as text, and what it computes is right."""

import base64
import json
import re
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from browser import Browser, chromium
from conftest import ROOT, write_rows
from paft.errors import UserError
from paft.evaluation.grid import SCHEMA, SECONDS
from paft.evaluation.paired import differences, holm
from paft.files import write_text
from paft.reporting.answers import UNPARSED
from paft.reporting.features import contrasts, effect, layout, traits
from paft.reporting.page import island, render, run_data, write_page
from paft.reporting.read import read_run
from paft.reporting.report import report_all, write_report
from paft.types import Prompt
from test_cli import assert_refused, paft

HOSTILE = "</script><script>window.bad = 1</script><!--<script> \u2028\u2029 &lt;b&gt; <img src=x onerror='window.bad = 2'> {thing}"
LABELS = ["red", "green", "blue"]
needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="no chromium here; .ci/run installs it where it can"
)


def make_run(path, skills, prompts=6, examples=9, outputs=False, seed=0, texts=(), trained=("user", "paft")):
    """Write a run directory: method -> share of right answers of each prompt, the worst prompt first."""
    config = {
        "model": {"path": "fake"}, "task": {"name": "colours", "fields": ["thing"], "choices": LABELS},
        "methods": list(skills), "training": {"epochs": 2, "K": 4}, "seed": seed,
        "evaluation": {"answers": "generate" if outputs else "likelihood"},
        "run": {"top": 0.5, "chance": 1 / 3, "digest": "d1g3st", "paft": "0", "versions": {"torch": "1"},
                "fields": ["thing"], "labels": LABELS, "aliases": {}},
    }  # fmt: skip
    write_text(path / "config.yaml", yaml.safe_dump(config))
    known = [*texts, *(f"prompt number {i} for {{thing}}" for i in range(len(texts), prompts))]
    write_rows(path / "prompts/test.jsonl", [{"id": f"p{i}", "text": t} for i, t in enumerate(known)])
    write_rows(path / "prompts/train.jsonl", [{"id": f"t{i}", "text": f"train {i} {{thing}}"} for i in range(5)])
    write_rows(path / "examples.jsonl", [
        {"id": str(e), "fields": {"thing": f"{HOSTILE} thing {e}"}, "options": LABELS, "target": LABELS[e % 3]} for e in range(examples)
    ])  # fmt: skip
    rng = np.random.default_rng(seed)
    for name, skill in skills.items():
        right = rng.random((prompts, examples)) < np.asarray(skill)[:, None]
        other = rng.integers(1, 3, (prompts, examples))
        target = np.tile(np.arange(examples) % 3, (prompts, 1))
        unparsed = outputs & ~right & (other == 2)
        label = np.array(LABELS, dtype=object)
        prediction = np.where(unparsed, None, label[np.where(right, target, (target + other) % 3)]).ravel()
        correct = np.where(unparsed, None, right).ravel()
        size = prompts * examples
        table = pa.table({
            "prompt_id": np.repeat([f"p{i}" for i in range(prompts)], examples), "example_id": np.tile([str(e) for e in range(examples)], prompts),
            "prediction": pa.array(list(prediction), pa.string()), "target": pa.array(list(label[target].ravel()), pa.string()),
            "correct": pa.array(list(correct), pa.bool_()), "scores": pa.nulls(size, SCHEMA.field("scores").type),
            "output": pa.array([f"I say {p} <b>{i}</b>" if outputs else None for i, p in enumerate(prediction)], pa.string()),
            "generated_tokens": pa.array([4 * outputs] * size, pa.int32()),
        }, SCHEMA)  # fmt: skip
        folder = path / "methods" / name
        folder.mkdir(parents=True)
        parquet.write_table(table.replace_schema_metadata({SECONDS: "12.5"}), folder / "predictions.parquet")
        if name in trained:
            write_rows(folder / "train.jsonl", [
                {"step": s, "loss": 2 / s, "seconds": 0.5, "examples": 4, "tokens": 100, "prompt_id": f"t{s // 4 % 5}"} for s in range(1, 31)
            ])  # fmt: skip
    return path


SKILLS = {"base": [0.2] * 6, "user": [0, 0.3, 0.6, 0.8, 0.9, 1], "paft": [0.5, 0.8, 0.9, 1, 1, 1]}


def island_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_every_text_comes_back_as_it_was_and_ends_no_script(tmp_path):
    folder = make_run(tmp_path, SKILLS, texts=[HOSTILE])
    html = render([read_run(folder)])
    found = island_of(html)
    assert found["runs"][0]["prompts"][0]["text"] == HOSTILE
    assert HOSTILE in found["runs"][0]["examples"][0]["fields"][0][1]
    sources = [path.read_text() for path in (ROOT / "src/paft/reporting/page").glob("*.js")]
    assert html.count("</script>") == len(sources) + 1
    assert "window.bad" not in re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.DOTALL)
    assert not any("innerHTML" in s or "insertAdjacentHTML" in s or "document.write" in s for s in sources)


def test_names_in_the_config_are_escaped_on_the_first_screen(tmp_path):
    folder = make_run(tmp_path, {"base": [0.5] * 6})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"]["path"], config["task"]["name"] = "<img src=x>", "a</title><b>"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    html = render([read_run(folder)])
    assert "<img" not in html
    assert "</title><b>" not in html


def test_half_a_surrogate_pair_and_an_infinite_number_do_not_make_a_broken_page():
    assert json.loads(island({"a": "\ud800 fine"}))["a"].endswith(" fine")
    with pytest.raises(ValueError, match="JSON"):
        island({"a": float("nan")})


def test_the_page_has_every_answer_of_the_predictions(tmp_path):
    folder = make_run(tmp_path, SKILLS, outputs=True)
    found = run_data(read_run(folder))
    for method in found["methods"]:
        rows = parquet.read_table(folder / "methods" / method["name"] / "predictions.parquet").to_pylist()
        codes = base64.b64decode(method["cells"])
        assert len(codes) == len(rows) == 54
        for i, (code, row) in enumerate(zip(codes, rows, strict=True)):
            choices = found["examples"][i % 9]["choices"]
            assert choices[0] == row["target"]
            assert (code == 0) == (row["correct"] is True)
            assert row["prediction"] == (None if code == UNPARSED else choices[code])
            assert (i in method["outputs"]) == (code != 0)
            assert code == 0 or found["texts"][method["outputs"][i]] == row["output"]


def test_outputs_without_room_are_counted_and_not_silently_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("paft.reporting.answers.OUTPUT_BUDGET", 100)
    found = run_data(read_run(make_run(tmp_path, SKILLS, outputs=True)))
    wrong = sum(code != 0 for m in found["methods"] for code in base64.b64decode(m["cells"]))
    assert found["outputsLeftOut"] == wrong - sum(len(m["outputs"]) for m in found["methods"]) > 0
    assert sum(map(len, found["texts"])) <= 100


def test_runs_of_single_methods_make_one_page(tmp_path):
    one = read_run(make_run(tmp_path / "one", {"base": [0.2] * 6}))
    other = read_run(make_run(tmp_path / "other", {"zopo": [0.8] * 6}))
    found = run_data(replace(one, methods=[*one.methods, *other.methods]))
    assert [m["name"] for m in found["methods"]] == ["base", "zopo"]


def test_what_choosing_a_prompt_cost_is_counted(tmp_path):
    folder = make_run(tmp_path, {"zopo": [0.8] * 6})
    choice = {"seconds": 30.5, "tokens_read": 1000, "tokens_written": 200, "prompt": {"text": "x"}}
    write_text(folder / "methods/zopo/choice.json", json.dumps(choice))
    method = run_data(read_run(folder))["methods"][0]
    assert (method["chooseSeconds"], method["chooseTokens"]) == (30.5, 1200)


@pytest.mark.parametrize(
    ("text", "system", "expected"),
    [
        ("{thing} is red, green or blue?", None, ("spelled out", "user", "question", "question")),
        ("{choices}\nColour of {thing}:", None, ("filled in", "user", "options", "cue")),
        ("{thing}\nColour:", "Red, green, blue.", ("spelled out", "system", "options", "cue")),
        ("Colour of {thing}", None, ("not shown", None, None, "slot")),
        ("{A} {B} {C} {thing} =>", "Be brief", ("filled in", "user", "options", "cue")),
        ("the red {thing}", None, ("not shown", None, None, "slot")),
    ],
)
def test_traits_are_read_from_the_template(text, system, expected):
    found = layout(Prompt(text, system), ["thing"], LABELS, {})
    assert (found.options, found.options_in, found.first, found.ending) == expected
    assert found.system == (system is not None)


def test_aliases_stand_for_their_slots():
    assert layout(Prompt("{sol1} {sol2} {goal}"), ["goal"], None, {"sol1": "A", "sol2": "B"}).first == "options"


def test_a_known_effect_is_found_and_no_other():
    texts = [f"{'word ' * (i % 7)}{{thing}} {'Colour:' if i % 2 else 'go.'}" for i in range(40)]
    layouts = [layout(Prompt(text), ["thing"], LABELS, {}) for text in texts]
    noise = np.random.default_rng(1).normal(0, 0.03, (2, 40))
    cue = np.arange(40) % 2
    found = {t.name: t for t in traits(layouts, {"fragile": 0.5 + 0.2 * cue + noise[0], "robust": 0.9 + noise[1]})}
    trait = found["ends in a closing cue"]
    assert (trait.having, trait.lacking) == (20, 20)
    assert trait.effects["fragile"].difference == pytest.approx(0.2, abs=0.03)
    assert trait.effects["fragile"].interval.low < 0.2 < trait.effects["fragile"].interval.high
    assert [(t.name, m) for t in found.values() for m, e in t.effects.items() if e.clear] == [
        (trait.name, "fragile")
    ]
    assert found["has a system text"].effects == {}, "no prompt has one"


def test_the_interval_of_an_effect_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = sum(
        e.interval.low <= 0.1 <= e.interval.high
        for i in range(200)
        for e in [effect(rng.normal(0.7, 0.08, 8), rng.normal(0.6, 0.08, 12), seed=i)]
    )
    assert 0.88 <= hits / 200 <= 1.0


def test_every_trait_divides_prompts_by_what_it_says():
    layouts = [
        layout(Prompt(t, s), ["thing"], LABELS, {})
        for t, s in (("{thing}", None), ("{choices} {thing}\nSay:", "Hi"))
    ]
    found = {name: has for name, (_, has) in contrasts(layouts).items()}
    assert found["has a system text"] == found["several lines"] == found["options shown"] == [False, True]
    assert found["options before the question"] == [None, True]
    assert found["options in the system text"] == [None, False]
    assert found["ends in a slot"] == [True, False]


def test_methods_differ_only_where_test_and_interval_say_so():
    rng = np.random.default_rng(0)
    skill = rng.uniform(0.3, 0.7, (30, 1))
    grids = {
        "a": rng.random((30, 60)) < skill,
        "b": rng.random((30, 60)) < skill,
        "c": rng.random((30, 60)) < skill + 0.2,
    }
    found = {(d.first, d.second): d for d in differences({k: g.astype(float) for k, g in grids.items()})}
    assert {pair: d.differ for pair, d in found.items()} == {("a", "b"): False, ("a", "c"): True, ("b", "c"): True}
    assert found["a", "c"].difference == pytest.approx(0.2, abs=0.04)
    assert found["a", "c"].interval.low < 0.2 < found["a", "c"].interval.high
    same = differences({"a": np.eye(8), "b": np.eye(8)})[0]
    assert (same.p, same.difference, same.differ) == (1, 0, False)


def test_holm_corrects_as_the_procedure_says():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_rows(path):
    parquet.write_table(parquet.read_table(path).slice(0, 50), path)


DAMAGE = {
    "cut in half": ("methods/paft/predictions.parquet", halve),
    "rows are missing": ("methods/paft/predictions.parquet", drop_rows),
    "another table": ("methods/paft/predictions.parquet", lambda p: parquet.write_table(pa.table({"x": [1]}), p)),
    "empty": ("methods/paft/predictions.parquet", lambda p: p.write_bytes(b"")),
    "torn log": ("methods/paft/train.jsonl", lambda p: p.write_text("{\n" + p.read_text())),
    "foreign log": ("methods/paft/train.jsonl", lambda p: p.write_text('{"a": 1}\n')),
    "binary log": ("methods/paft/train.jsonl", lambda p: p.write_bytes(b"\xff\xfe\n\x00")),
    "torn choice": ("methods/user/choice.json", lambda p: p.write_text('{"seconds": ')),
    "no prompts": ("prompts/test.jsonl", lambda p: p.unlink()),
    "torn prompts": ("prompts/test.jsonl", halve),
    "foreign prompts": ("prompts/test.jsonl", lambda p: p.write_text("[1]\n{}\n")),
    "torn examples": ("examples.jsonl", halve),
    "foreign examples": (
        "examples.jsonl",
        lambda p: p.write_text('{"id": "0", "fields": 3, "options": "red"}\n[]\n'),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_named_and_the_rest_is_shown(tmp_path, name):
    folder = make_run(tmp_path / "run", SKILLS)
    place, harm = DAMAGE[name]
    harm(folder / place)
    result = write_report(folder)
    assert list(result.damaged) == [place]
    html = (folder / "report.html").read_text()
    assert place in html.split("<nav")[0]
    assert place in (folder / "report.md").read_text()
    assert json.loads((folder / "report.json").read_text())["damaged"] == result.damaged
    shown = [m["name"] for m in island_of(html)["runs"][0]["methods"]]
    assert shown == (["base", "user"] if "predictions" in place else ["base", "user", "paft"])


def test_unfinished_methods_say_how_far_they_are(tmp_path):
    folder = make_run(tmp_path, SKILLS)
    (folder / "methods/base/predictions.parquet").unlink()
    (folder / "methods/user/predictions.parquet").unlink()
    (folder / "methods/paft/predictions.parquet").unlink()
    (folder / "methods/user/adapter").mkdir()
    (folder / "methods/user/predictions").mkdir()
    for i in range(2):
        (folder / f"methods/user/predictions/{i:04}.parquet").write_bytes(b"")
    assert read_run(folder).unfinished == {
        "base": "not started", "user": "2 test prompts answered so far", "paft": "training stopped at step 30",
    }  # fmt: skip
    write_report(folder)
    assert "No method is finished yet." in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "content", ["services: {web: {image: x}}", "task: trec\nmodel: {path: x}", "task: {name: x}\nmodel: {path: y}"]
)
def test_the_config_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError, match="not the config of a run"):
        read_run(tmp_path)


def test_odd_facts_in_a_config_break_nothing(tmp_path):
    folder = make_run(tmp_path, {"base": [0.5] * 6})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"run": {"top": "high", "versions": None, "labels": None}, "training": None, "evaluation": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_report(folder)
    config["run"] = "gone"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "unknown" in write_report(folder).path.joinpath("report.html").read_text()


def test_a_foreign_file_in_the_place_of_the_page_is_kept(tmp_path):
    folder = make_run(tmp_path / "run", {"base": [0.5] * 6})
    (tmp_path / "thesis.html").write_text("<html>years of work</html>")
    with pytest.raises(UserError, match=r"thesis\.html: a file that is no report"):
        report_all([folder], tmp_path / "thesis.html")
    assert "years of work" in (tmp_path / "thesis.html").read_text()
    report_all([folder], tmp_path / "page.html")
    report_all([folder], tmp_path / "page.html")


def test_runs_stand_side_by_side_and_a_folder_that_is_none_is_named(tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"run{seed}", SKILLS, seed=seed)
    done = paft("report", "run0", "run1", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "paft: nowhere: no run directory" in done.stderr
    assert "comparison.html" in done.stdout
    html = (tmp_path / "comparison.html").read_text()
    assert "nowhere: no run directory" in html
    assert "Over 2 seeds" in html
    assert [r["name"] for r in island_of(html)["runs"]] == ["run0", "run1"]
    assert_refused(paft("report", "nowhere", "nothing", cwd=tmp_path), "nowhere", "nothing")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = make_run(
        tmp_path_factory.mktemp("page"), SKILLS, outputs=True, examples=40, texts=[HOSTILE, "zebra {thing}"]
    )
    write_report(folder)
    return folder / "report.html"


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_it_loads_without_an_error_a_request_or_a_sideways_scroll(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.logged == []
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert (
        browser.js("[...document.querySelectorAll('section > div')].filter((d) => !d.textContent.trim()).length")
        == 0
    )


@needs_chromium
def test_hostile_texts_are_shown_as_text(browser, page):
    browser.open(page)
    assert browser.js("window.bad") is None
    assert browser.js("document.querySelectorAll('img').length") == 0
    assert "</script><script>window.bad = 1" in browser.js("document.getElementById('prompts').textContent")
    assert "<img src=x" in browser.js("document.getElementById('cases').textContent")


@needs_chromium
def test_a_mark_is_read_by_mouse_and_by_keyboard_and_leads_to_its_answers(browser, page):
    browser.open(page)
    browser.mouse(".mark[data-prompt=p1]")
    assert browser.js("document.getElementById('tip').hidden") is False
    assert "zebra" in browser.js("document.getElementById('tip').textContent")
    browser.js("document.querySelectorAll('[role=listbox]')[2].querySelector('[tabindex=\"0\"]').focus()")
    first = browser.js("document.activeElement.dataset.prompt")
    browser.key("ArrowRight", 39)
    second = browser.js("document.activeElement.dataset.prompt")
    assert first != second
    text = browser.js(f"data.runs[0].prompts.find((p) => p.id === '{second}').text")
    assert text in browser.js("document.getElementById('tip').textContent")
    browser.key("Escape", 27)
    assert browser.js("document.getElementById('tip').hidden") is True
    browser.key("Enter", 13)
    assert text in browser.js("document.querySelector('#detail .prompt').textContent")
    assert browser.js("document.activeElement.id") == "detail-title"


def column(browser, number):
    rows = browser.js(
        f"[...document.querySelectorAll('#prompt-table tbody tr')].map((r) => r.cells[{number}].textContent)"
    )
    return [float(v.rstrip("%")) for v in rows]


@needs_chromium
def test_prompts_are_sorted_and_filtered(browser, page):
    browser.open(page)
    assert column(browser, 4) == sorted(column(browser, 4)), "worst first under the last method"
    browser.mouse("#prompt-table th:nth-child(4) button", click=True)
    assert column(browser, 3) == sorted(column(browser, 3))
    browser.mouse("#prompt-table th:nth-child(4) button", click=True)
    assert column(browser, 3) == sorted(column(browser, 3), reverse=True)
    assert (
        browser.js("document.querySelector('#prompt-table th:nth-child(4)').getAttribute('aria-sort')")
        == "descending"
    )
    assert len(column(browser, 3)) == 6
    browser.js("document.getElementById('filter').focus()")
    browser.type("ZEBRA")
    assert browser.js("[...document.querySelectorAll('#prompt-table tbody tr')].map((r) => r.dataset.prompt)") == [
        "1"
    ]
    assert browser.js("document.getElementById('count').textContent") == "1 of 6 prompts"


@needs_chromium
def test_a_prompt_shows_the_examples_it_fails_and_what_was_answered(browser, page):
    rows = parquet.read_table(page.parent / "methods/user/predictions.parquet").to_pylist()
    wrong = [r for r in rows if r["prompt_id"] == "p1" and not r["correct"]]
    browser.open(page)
    browser.js("state.method = 1; state.prompt = 1; drawDetail()")
    assert (
        browser.js("document.querySelector('#cases p').textContent")
        == f"{len(wrong)} of 40 examples failed (user)."
    )
    browser.js(
        "document.querySelector('#cases > button').hidden || document.querySelector('#cases > button').click()"
    )
    shown = browser.js(
        "[...document.querySelectorAll('#cases tbody tr')].map((r) => [r.cells[1].textContent, r.cells[2].textContent])"
    )
    expected = [[r["target"], f"{r['prediction'] or 'could not be read'}wrote: {r['output']}"] for r in wrong]
    assert shown == expected
    browser.mouse("#detail .choice[aria-label='Which examples'] button:nth-child(3)", click=True)
    unread = sum(r["prediction"] is None for r in wrong)
    assert browser.js("document.querySelector('#cases p').textContent").startswith(
        f"{unread} of 40 examples unreadable"
    )


@needs_chromium
def test_the_heat_map_is_walked_by_keys_and_opens_a_prompt(browser, page):
    browser.open(page)
    browser.js("document.querySelector('#grid canvas').focus()")
    browser.key("ArrowDown", 40)
    browser.key("ArrowRight", 39)
    row, example = browser.js(
        "(() => { const o = gridOrder(run().methods[2]); return [o.rows[1], o.columns[1]]; })()"
    )
    found = browser.js("document.querySelector('#grid output').textContent")
    assert browser.js(f"answer(run().methods[2], {row}, {example})") in found
    assert f"thing {example}" in browser.js(f"exampleText(run().examples[{example}])")
    browser.key("Enter", 13)
    assert browser.js("state.prompt") == row
    pixel = browser.js(
        "[...document.querySelector('#grid canvas').getContext('2d').getImageData(0, 0, 1, 1).data].slice(0, 3)"
    )
    code = browser.js(
        "(() => { const m = run().methods[2], o = gridOrder(m); return cells(m)[o.rows[0] * 40 + o.columns[0]]; })()"
    )
    assert pixel == {0: [207, 227, 241], 255: [36, 41, 47]}.get(code, [213, 94, 0])


@needs_chromium
def test_training_steps_are_read_with_their_prompts(browser, page):
    browser.open(page)
    browser.js("document.querySelector('#training svg[tabindex]').focus()")
    for _ in range(5):
        browser.key("ArrowRight", 39)
    read = browser.js("document.querySelector('#training output').textContent")
    assert read.startswith("Step 5")
    assert "user: loss 0.400, prompt: train 1 {thing}" in read


@needs_chromium
def test_a_run_is_chosen_on_a_page_of_several(browser, tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"run{seed}", SKILLS, seed=seed)
    _, _, path = report_all([tmp_path / "run0", tmp_path / "run1"])
    browser.open(path)
    assert browser.js("document.querySelectorAll('[role=listbox]').length") == 6
    first = column(browser, 4)
    browser.js(
        "(() => { const s = document.getElementById('run'); s.value = '1'; s.dispatchEvent(new Event('change')); })()"
    )
    assert column(browser, 4) != first
    assert browser.logged == []
    browser.mouse(".mark[data-prompt=p2]", click=True)
    assert browser.js("document.getElementById('run').value") == "0", "the mark belongs to the first run"


@needs_chromium
def test_everything_that_can_be_used_has_a_name(browser, page):
    browser.open(page)
    browser.send("Accessibility.enable")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = {
        "button",
        "combobox",
        "searchbox",
        "listbox",
        "option",
        "image",
        "img",
        "link",
        "region",
        "DisclosureTriangle",
    }
    used = [n for n in nodes if not n.get("ignored") and n["role"]["value"] in roles]
    assert {"button", "combobox", "searchbox", "listbox", "link"} <= {n["role"]["value"] for n in used}
    assert [n["role"]["value"] for n in used if not n.get("name", {}).get("value", "").strip()] == []


@needs_chromium
@pytest.mark.parametrize("skills", [{}, {"base": [0.5] * 6}])
def test_a_run_with_little_in_it_has_a_page_too(browser, tmp_path, skills):
    folder = make_run(tmp_path, skills)
    (folder / "prompts/test.jsonl").unlink()
    (folder / "examples.jsonl").unlink()
    write_report(folder)
    browser.open(folder / "report.html")
    assert browser.logged == []
    assert browser.js("document.querySelectorAll('#prompts p, #prompts table').length") > 0


@needs_chromium
def test_fifty_prompts_thousand_examples_six_methods_open_in_two_seconds(browser, tmp_path):
    names = ["base", "user", "top-accuracy", "batprompt", "zopo", "paft"]
    skills = {name: np.linspace(0.3, 0.9, 50) for name in names}
    folder = make_run(tmp_path, skills, prompts=50, examples=1000, outputs=True, trained=names[1:])
    write_page(folder / "report.html", [read_run(folder)])
    assert (folder / "report.html").stat().st_size < 8e6
    seconds = browser.open(folder / "report.html")
    assert browser.logged == []
    assert browser.js("document.querySelectorAll('.mark').length") == 300
    started = time.perf_counter()
    browser.js("openPrompt(0, 20, 3)")
    assert time.perf_counter() - started < 1
    assert seconds < 2


def contrast(one, other):
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([light(one), light(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_in_both_schemes(scheme):
    css = (ROOT / "src/paft/reporting/page/page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme].replace("#fff;", "#ffffff;")))
    for ground in ("page", "panel"):
        assert contrast(colours["text"], colours[ground]) > 7
        assert contrast(colours["soft"], colours[ground]) >= 4.5
        assert contrast(colours["focus"], colours[ground]) >= 4.5
    for i in range(6):
        assert contrast(colours[f"m{i}"], colours["page"]) >= 3, f"m{i}"
    assert contrast(colours["wrong"], colours["right"]) >= 2.5
