"""The page of runs of axes: shares with their intervals and the mean of each level, without a script."""

import pytest

from browser import Browser, chromium
from made_up_runs import make_axes_run
from paft.reporting.axes import sentence
from paft.reporting.page_axes import write_axes_page, write_axes_report

EFFECTS = {"wording": [-0.25, -0.1, 0, 0.05, 0.1, 0.2], "typos": [0, -0.05, -0.1], "a | <b>": [0, 0.02]}

needs_browser = pytest.mark.skipif(chromium() is None, reason="no chromium here; .ci/run installs it where it can")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("axes")
    flat = {name: [0.1] * len(effects) for name, effects in EFFECTS.items()}
    base, paft = make_axes_run(folder / "base", EFFECTS), make_axes_run(folder / "paft", flat, seed=1)
    results = [write_axes_report(base), write_axes_report(paft)]
    write_axes_page(folder / "both.html", results)
    return folder, results


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def test_the_sentence_says_where_the_mean_score_may_be_the_same_and_that_answers_may_change_all_the_same(runs):
    base, paft = (sentence(result) for result in runs[1])
    assert base.endswith(" may be the same under all levels of typos, a | <b>."), "the wording moves the mean"
    assert "An axis may change which answers are right and not how many" in base
    assert paft.endswith("under all levels of wording, typos, a | <b>.")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", ["base/report.html", "both.html"])
def test_it_loads_without_an_error_a_request_or_a_sideways_scroll(browser, runs, page, width, dark):
    browser.open(runs[0] / page, width, dark=dark)
    assert browser.logged == []
    assert browser.requests == [(runs[0] / page).resolve().as_uri()]
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js("window.bad") is None
    assert browser.js("document.scripts.length") == 0


@needs_browser
def test_bars_and_lines_are_the_shares_and_their_intervals(browser, runs):
    folder, (base, paft) = runs
    browser.open(folder / "both.html")
    drawn = browser.js(
        """[...document.querySelectorAll('#shares tbody svg[role=img]')].map((svg) => {
          const box = svg.getBoundingClientRect(), at = (v) => (v - box.left) / box.width;
          return [...svg.querySelectorAll('g')].map((g) => {
            const [bar, line] = ['rect', 'line'].map((tag) => g.querySelector(tag).getBoundingClientRect());
            return [bar.right, line.left, line.right].map(at);
          });
        })"""
    )
    scale = float(browser.js("[...document.querySelectorAll('#shares text')].at(-1).textContent")) / 100
    wanted = [
        [share for result in (base, paft) for share in [(*result.shares.with_examples, result.shares.examples)[i]]]
        for i in range(len(EFFECTS) + 1)
    ]
    for bars, shares in zip(drawn, wanted, strict=True):
        for bar, share in zip(bars, shares, strict=True):
            ends = (share.value, share.interval.low, share.interval.high)
            assert [x * scale for x in bar] == pytest.approx(ends, abs=0.001)
    assert wanted[0][0].value > 5 * wanted[0][1].value, (
        "the made-up base depends on the wording, the other does not"
    )


@needs_browser
def test_marks_are_the_means_of_the_levels(browser, runs):
    folder, (base, _) = runs
    browser.open(folder / "base/report.html")
    marks, ticks = (
        browser.js(f"[...document.querySelectorAll('{what}')].map((e) => e.textContent)")
        for what in ("#levels .mark title", "#levels text")
    )
    means = [mean for axis in base.shares.level_means for mean in axis]
    levels = [level for axis in base.axes.values() for level in axis]
    assert marks == [f"{level}: {100 * mean:.1f} %" for level, mean in zip(levels, means, strict=True)]
    assert float(ticks[0]) <= 100 * min(means)
    assert float(ticks[-1]) >= 100 * max(means)


def test_a_run_without_any_variance_has_a_page_too(tmp_path):
    result = write_axes_report(make_axes_run(tmp_path, {"wording": [0.9, 0.9]}))
    assert result.shares.variance == 0
    html = (tmp_path / "report.html").read_text()
    assert "wording 1: 100.0 %" in html
    assert "nan" not in html
