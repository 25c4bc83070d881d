"""The page compares any two methods or prompts, with the figures of `paft report --compare`."""

import json
import time

import numpy as np
import psutil
import pytest
import yaml

from browser import Browser, chromium
from made_up_runs import SKILLS, keep_cells, make_free_text_run, make_run
from paft.evaluation.paired import over_examples
from paft.reporting.formatting import bracket, points
from paft.reporting.multi_run import read_all
from paft.reporting.page import write_page
from paft.reporting.pairs import changes, compare_sides, find_side
from paft.reporting.read import read_run
from paft.utils.io import write_text

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium here; .ci/run installs it where it can")

LATER = "new Promise((then) => setTimeout(then, 200))"
"""Time for what a page of several runs unpacks when it is needed."""
OUTCOME = "document.querySelector('#compare .outcome').textContent"
NOTE = "document.querySelector('#compare .note').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("compare"), SKILLS, outputs=True, examples=40)
    write_page(folder / "report.html", [read_run(folder)])
    return folder / "report.html"


def pick(browser, label, value):
    browser.js(
        f"(() => {{ const s = document.querySelector(`#compare select[aria-label='{label}']`); s.value = '{value}';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    browser.js(LATER)


def figures(comparison):
    difference = comparison.difference
    sign = 1 if difference.difference >= 0 else -1
    low, high = sorted(sign * end for end in (difference.interval.low, difference.interval.high))
    shown = bracket(type(difference.interval)(low, high)).replace("-0.0", "0.0")
    return f"by {points(abs(difference.difference))} points {shown}"


def rows_shown(browser):
    browser.js("document.querySelector('#compare > div > button').click()")
    return browser.js(
        "[...document.querySelectorAll('#compare tbody tr')].map((r) => [...r.cells].map((c) => c.firstChild.textContent))"
    )


def test_two_methods_are_chosen_and_the_figures_are_those_of_the_command(browser, page):
    run = read_run(page.parent)
    browser.open(page)
    comparison = compare_sides(find_side("user", [run]), find_side("paft", [run]))
    assert browser.js(OUTCOME).startswith("paft is above user " + figures(comparison))
    pick(browser, "First method", 2)
    pick(browser, "Second method", 0)
    comparison = compare_sides(find_side("paft", [run]), find_side("base", [run]))
    assert browser.js(OUTCOME).startswith("base is below paft " + figures(comparison))
    assert "On 6 prompts and 40 examples." in browser.js(NOTE)
    browser.js("document.querySelector(`#compare [aria-label='Which changes'] button`).click()")
    browser.js(LATER)
    expected = list(changes(comparison, rises=False))
    shown = rows_shown(browser)
    assert len(shown) == len(expected) > 0
    assert [row[2] for row in shown] == [f"{change.count} of 6" for change in expected]
    for row, change in zip(shown, expected, strict=True):
        assert row[1] == change.target
        assert change.question.startswith(row[0])
        assert row[3:] == [answer or "could not be read" for answer in change.answers]
    assert browser.logged == []


def test_two_prompts_are_chosen_and_the_figures_are_those_of_the_command(browser, page):
    run = read_run(page.parent)
    browser.open(page)
    pick(browser, "First method", 1)
    pick(browser, "Second method", 1)
    pick(browser, "First prompt", 1)
    pick(browser, "Second prompt", 4)
    comparison = compare_sides(find_side("user:p1", [run]), find_side("user:p4", [run]))
    assert f"The second prompt is above the first prompt {figures(comparison)}" in browser.js(OUTCOME)
    assert "exact sign test" in browser.js(NOTE)
    assert len(rows_shown(browser)) == len(list(changes(comparison, rises=True)))
    pick(browser, "First prompt", "")
    assert browser.js("compared.prompts") == [None, None], "a method is compared with a method"


def test_interval_and_test_over_examples_are_those_of_python(browser, page):
    browser.open(page)
    rng = np.random.default_rng(0)
    for examples, graded in ((1, False), (7, False), (300, False), (300, True), (2000, False)):
        left, right = rng.random((2, examples))
        left, right = (left, right) if graded else (np.round(left), np.round(right))
        expected = over_examples("left", "right", left, right)
        found = browser.js(f"overExamples({json.dumps(np.round(right - left, 12).tolist())})")
        interval = expected.interval
        assert found == pytest.approx([expected.difference, interval.low, interval.high, expected.p], abs=1e-9)


def test_two_runs_are_compared_on_what_both_have(browser, tmp_path):
    make_run(tmp_path / "large", {"base": [0.3] * 6}, examples=40)
    make_run(tmp_path / "small", {"base": [0.8] * 4}, prompts=4, examples=30, seed=1)
    make_free_text_run(tmp_path / "other", {"base": [0.5] * 6})
    results, errors = read_all([tmp_path / name for name in ("large", "small", "other")])
    write_page(tmp_path / "all.html", results, errors)
    browser.open(tmp_path / "all.html", 360)
    browser.js(LATER)
    comparison = compare_sides(find_side("large", results), find_side("small", results))
    assert browser.js(OUTCOME).startswith("small, base is above large, base " + figures(comparison))
    assert "the 4 prompts that both have (of 6 and 4)" in browser.js(NOTE)
    assert "the 30 examples that both have (of 40 and 30)" in browser.js(NOTE)
    assert browser.js("document.documentElement.scrollWidth") <= 360
    pick(browser, "First method", 2)
    assert browser.js("compared.sides") == [2, 2], "no other run has its task"
    assert browser.logged == []


def test_of_partial_grids_the_page_compares_the_cells_that_both_have_answered(browser, tmp_path):
    folder = make_run(tmp_path, {"base": [0.3] * 6, "paft": [0.8] * 6}, outputs=True, examples=40)
    for seed, method in enumerate(("base", "paft")):
        keep_cells(folder, method, 0.5, seed)
    run = read_run(folder)
    write_page(folder / "report.html", [run])
    browser.open(folder / "report.html")
    for left, right, prompts in (("base", "paft", ("", "")), ("base:p1", "paft:p2", (1, 2))):
        pick(browser, "First prompt", prompts[0])
        pick(browser, "Second prompt", prompts[1])
        comparison = compare_sides(find_side(left, [run]), find_side(right, [run]))
        assert browser.js(OUTCOME).startswith("paft is above base " + figures(comparison))
        assert f" {comparison.difference.cells} of {comparison.change.size} cells answered by both" in browser.js(
            NOTE
        )
        assert len(rows_shown(browser)) == len(list(changes(comparison, rises=True)))
    assert browser.logged == []


def seconds_of(browser):
    """Return the processor seconds of all processes of the browser, which do not depend on what else runs."""
    process = psutil.Process(browser.process.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


@pytest.mark.slow
def test_a_matrix_of_six_models_and_five_tasks_is_made_and_opens_in_two_seconds_each(browser, tmp_path):
    for model in range(6):
        for task in range(5):
            folder = tmp_path / f"m{model}-t{task}"
            skill = np.linspace(0.4 + 0.05 * model, 0.6 + 0.05 * model, 50)
            make_run(
                folder,
                {"base": skill},
                prompts=50,
                examples=1000,
                outputs=True,
                seed=10 * model + task,
                trained=(),
            )
            config = yaml.safe_load((folder / "config.yaml").read_text())
            config["model"]["path"], config["task"]["name"] = f"model {model}", f"task {task}"
            write_text(folder / "config.yaml", yaml.safe_dump(config))
    started = time.process_time()
    results, errors = read_all(sorted(tmp_path.glob("m*")))
    reading = time.process_time() - started
    path, making, opening = tmp_path / "all.html", [], []
    for _ in range(3):
        started = time.process_time()
        write_page(path, results, errors)
        making.append(time.process_time() - started)
        started = seconds_of(browser)
        browser.open(path)
        opening.append(seconds_of(browser) - started)
    figures = f"read {reading:.2f} s, made {min(making):.2f} s, opened {min(opening):.2f} s"
    print(f"{path.stat().st_size:,} bytes; {figures}")
    assert browser.logged == []
    assert browser.js("document.querySelectorAll('.matrix tbody td').length") == 30
    assert path.stat().st_size < 8e6
    assert min(making) < 2
    assert min(opening) < 2
