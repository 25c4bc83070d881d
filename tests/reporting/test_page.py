"""The page of a run in a real browser: it asks for nothing, and what it offers works by mouse and by keyboard."""

import time

import numpy as np
import pytest
from pyarrow import parquet

from browser import Browser, chromium
from made_up_runs import HOSTILE, SKILLS, make_free_text_run, make_rewards, make_run
from paft.reporting.formatting import points
from paft.reporting.multi_run import read_all, write_all
from paft.reporting.page import write_page
from paft.reporting.read import read_run
from paft.reporting.report import write_report

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium here; .ci/run installs it where it can")


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


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The page of a free-text run with scores between 0 and 1, judged by a language model."""
    skills = {"base": [0.2, 0.3, 0.3, 0.3, 0.4, 0.4], "paft": [0.7] * 6}
    folder = make_free_text_run(tmp_path_factory.mktemp("graded"), skills, examples=30, judge=True)
    write_report(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def rewarded(tmp_path_factory):
    """The page of a run with a training on rewards, of which step 40 was kept."""
    folder = make_rewards(make_run(tmp_path_factory.mktemp("rewarded"), SKILLS), "paft")
    write_report(folder)
    return folder / "report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1400])
@pytest.mark.parametrize("name", ["page", "graded", "rewarded"])
def test_it_loads_without_an_error_a_request_or_a_sideways_scroll(browser, request, name, width, dark):
    page = request.getfixturevalue(name)
    browser.open(page, width, dark=dark)
    assert browser.logged == []
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert (
        browser.js("[...document.querySelectorAll('section > div')].filter((d) => !d.textContent.trim()).length")
        == 0
    )


def test_numbers_are_rounded_as_in_the_tables(browser, page):
    browser.open(page)
    shares = [n / 16 for n in range(1, 17)] + [n / 7 for n in range(1, 7)] + [0.29, 0.285]
    assert browser.js(f"{shares}.map(percent)") == [points(share) for share in shares]
    assert browser.js(f"{shares}.map((share) => points(-share))") == [points(-share) for share in shares]


def test_hostile_texts_are_shown_as_text(browser, page):
    browser.open(page)
    assert browser.js("window.bad") is None
    assert browser.js("document.querySelectorAll('img').length") == 0
    assert "</script><script>window.bad = 1" in browser.js("document.getElementById('prompts').textContent")
    assert "<img src=x" in browser.js("document.getElementById('cases').textContent")


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
        f"[...document.querySelectorAll('#prompt-table tbody tr')].map((r) => r.cells[{number}].firstChild.textContent)"
    )
    return [float(v.rstrip("%")) for v in rows]


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
    first = sorted(wrong, key=lambda r: r["prediction"] is not None)
    expected = [[r["target"], f"{r['prediction'] or 'could not be read'}wrote: {r['output']}"] for r in first]
    assert shown == expected
    browser.mouse("#detail .choice[aria-label='Which examples'] button:nth-child(3)", click=True)
    unread = sum(r["prediction"] is None for r in wrong)
    assert browser.js("document.querySelector('#cases p').textContent").startswith(
        f"{unread} of 40 examples unreadable"
    )


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


def test_graded_answers_are_shown_with_score_output_explanation_and_accepted_answers(browser, graded):
    rows = parquet.read_table(graded.parent / "methods/paft/predictions.parquet").to_pylist()
    asked = {int(r["example_id"]): r for r in rows if r["prompt_id"] == "p2"}
    browser.open(graded)
    assert browser.js("window.bad") is None, "the judge's prompt is text"
    browser.js("state.method = 1; state.prompt = 2; state.cases = 'all'; drawDetail()")
    browser.js("document.querySelector('#cases > button').click()")
    head = browser.js("[...document.querySelectorAll('#cases th')].map((c) => c.textContent)")
    assert head == ["Example", "Target", "The model\u2019s answer", "Score, %", "Mean over prompts"]
    shown = browser.js(
        "[...document.querySelectorAll('#cases tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )
    order = [int(cells[0].rpartition(" ")[2]) for cells in shown]
    read = [asked[e]["prediction"] is not None for e in order]
    assert read == sorted(read), "unparsed ones first"
    scores = [asked[e]["score"] for e in order]
    assert (np.diff(scores) > -0.005).all(), "then the lowest scores, which the page knows to half a percent"
    for e, (_, target, answer, score, mean) in zip(order, shown, strict=True):
        row = asked[e]
        assert target.startswith(row["target"])
        assert ("or: " in target) == (e % 2 == 1)
        assert answer.startswith(row["prediction"] or "could not be read")
        assert " ".join(row["output"].split()) in " ".join(answer.split())
        assert ("cut at the token limit" in answer) == (row["finish"] == "length")
        assert (f"why: {row['explanation']}" in answer) == (row["explanation"] is not None)
        assert float(score.split("includes")[0]) == pytest.approx(100 * row["score"], abs=0.5)
        assert f"rouge {score.split('rouge ')[1]}" in score
        everywhere = [r["score"] for r in rows if r["example_id"] == str(e)]
        assert float(mean) == pytest.approx(100 * np.mean(everywhere), abs=0.6)


def test_answers_that_were_cut_or_refused_can_be_listed(browser, graded, page):
    browser.open(graded)
    browser.js("state.method = 1; state.prompt = 0; drawDetail()")
    labels = "[...document.querySelectorAll(\"[aria-label='Which examples'] button\")].map((b) => b.textContent)"
    assert browser.js(labels) == ["Below 100 %", "All", "Could not be read", "Cut", "Refused or failed"]
    counts = {}
    for kind in ("unparsed", "cut", "refused"):
        browser.js(f"state.cases = '{kind}'; drawDetail()")
        counts[kind] = int(browser.js("document.querySelector('#cases p').textContent").split()[0])
    assert counts == {"unparsed": 5, "cut": 2, "refused": 1}
    assert "refused by the provider" in browser.js("document.querySelector('#cases .badge').textContent")
    assert "wrote" not in browser.js("document.querySelector('#cases tbody').textContent"), "it wrote nothing"
    browser.open(page)
    assert browser.js(labels) == ["Failed", "All", "Could not be read"], "nothing was cut or refused there"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_of_the_heat_map_go_with_the_score(browser, graded, dark):
    browser.open(graded, dark=dark)
    cells = browser.js(
        """(() => {
          const m = run().methods[1], o = gridOrder(m), c = document.querySelector('#grid canvas');
          const px = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
          return o.rows.flatMap((p, r) => o.columns.map((e, k) => [cells(m)[p * 30 + e] === UNPARSED, score(m, p * 30 + e),
            [...px.slice(4 * (r * 30 + k), 4 * (r * 30 + k) + 3)]]));
        })()"""
    )
    unparsed = {tuple(colour) for is_unparsed, _, colour in cells if is_unparsed}
    read = sorted((score, tuple(colour)) for is_unparsed, score, colour in cells if not is_unparsed)
    assert len(unparsed) == 1
    assert unparsed.isdisjoint(colour for _, colour in read)
    assert len({colour for _, colour in read}) > 20, "a scale, not two colours"
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for _, (r, g, b) in read]
    steps = np.diff(light)
    assert (steps <= 1).all() if dark else (steps >= -1).all(), "lightness alone tells the score"
    assert abs(light[-1] - light[0]) > 80
    browser.js("document.querySelector('#grid canvas').focus()")
    browser.key("ArrowRight", 39)
    assert "(target: " in browser.js("document.querySelector('#grid output').textContent")


def test_prompts_show_what_could_not_be_read_and_was_cut(browser, graded):
    browser.open(graded)
    texts = browser.js(
        "[...document.querySelectorAll('#prompt-table tbody tr')].map((r) => r.cells[2].textContent)"
    )
    assert all("% unparsed, " in text and text.endswith("% cut") for text in texts)


def test_training_steps_are_read_with_their_prompts(browser, page):
    browser.open(page)
    browser.js("document.querySelector('#training svg[tabindex]').focus()")
    for _ in range(5):
        browser.key("ArrowRight", 39)
    read = browser.js("document.querySelector('#training output').textContent")
    assert read.startswith("Step 5")
    assert "user: loss 0.400, prompt: train 1 {thing}" in read


def test_rewards_are_drawn_over_the_steps_and_read_by_keyboard(browser, rewarded):
    browser.open(rewarded)
    heads = browser.js("[...document.querySelectorAll('#rewards h3')].map((e) => e.textContent)")
    assert heads == ["Mean reward", "Mean length of an answer, tokens", "Groups without spread, %"]
    assert browser.js("document.querySelectorAll('#rewards .legend span').length") == 1, "only what has rewards"
    assert browser.js("document.querySelectorAll('#rewards svg[tabindex] .hollow').length") == 5
    heights = browser.js(
        "[...document.querySelectorAll('#rewards svg[tabindex] :is(.hollow, .point)')].map((e) => -e.getBBox().y)"
    )
    assert max(heights) == heights[3], "the kept step is the highest mark"
    browser.js("document.querySelectorAll('#rewards svg[tabindex]')[2].focus()")
    for _ in range(43):
        browser.key("ArrowRight", 39)
    assert browser.js("document.querySelector('#rewards output').textContent") == (
        "Step 43paft: reward 0.730 ± 0.450, on validation prompts 0.700 (step 40, kept), 12.8 tokens, "
        "50.0% of the groups without spread"
    )
    assert browser.js("new Set([...document.querySelectorAll('#rewards .cursor')].map((c) => c.getAttribute('visibility'))).size") == 1  # fmt: skip


def test_a_page_without_a_training_on_rewards_has_no_section_of_it(browser, page):
    browser.open(page)
    assert browser.js("document.querySelectorAll('#rewards, a[href=\"#rewards\"]').length") == 0
    assert browser.logged == []


def test_the_scale_of_a_loss_over_many_powers_of_ten_has_marks_down_to_the_lowest(browser, page):
    browser.open(page)
    assert browser.js("logTicks(0.0003, 12)") == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert browser.js("logTicks(0.04, 2.5)") == pytest.approx([0.05, 0.1, 0.2, 0.5, 1, 2])


def test_the_marks_of_a_run_come_before_its_tables(browser, page):
    browser.open(page, 390)
    tops = "['#distribution svg', '.differences', '.figures'].map((s) => document.querySelector(s).getBoundingClientRect().top)"
    marks, differences, table = browser.js(tops)
    assert 0 < marks < differences < table


def test_a_run_without_training_has_no_chart_and_no_column_of_it(browser, tmp_path):
    folder = make_run(tmp_path, {"base": [0.5] * 6}, trained=())
    write_report(folder)
    browser.open(folder / "report.html")
    assert browser.js("document.querySelectorAll('#cost svg').length") == 0
    assert "Training" not in browser.js("document.querySelector('#cost thead').textContent")
    assert browser.js("document.querySelector('#training p').textContent") == "No finished method was trained."
    heads = browser.js("[...document.querySelectorAll('#compare .changes th')].map((th) => th.textContent)")
    assert heads[-2:] == ["First prompt", "Second prompt"]


def test_a_run_is_chosen_on_a_page_of_several(browser, tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"run{seed}", SKILLS, seed=seed)
    path = write_all(*read_all([tmp_path / "run0", tmp_path / "run1"]))
    browser.open(path)
    unpacked = "new Promise((then) => setTimeout(then, 200))"
    browser.js(unpacked)
    assert browser.js("document.querySelectorAll('[role=listbox]').length") == 6
    first = column(browser, 4)
    browser.js(
        "(() => { const s = document.getElementById('run'); s.value = '1'; s.dispatchEvent(new Event('change')); })()"
    )
    browser.js(unpacked)
    assert column(browser, 4) != first
    assert browser.logged == []
    browser.mouse(".mark[data-prompt=p2]", click=True)
    browser.js(unpacked)
    assert browser.js("document.getElementById('run').value") == "0", "the mark belongs to the first run"


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


@pytest.mark.parametrize("make", [make_run, make_free_text_run])
def test_a_run_of_one_prompt_has_a_page_without_a_spread(browser, tmp_path, make):
    folder = make(tmp_path, {"base": [0.5], "paft": [0.8]}, prompts=1)
    write_report(folder)
    browser.open(folder / "report.html")
    assert browser.logged == []
    shown = browser.js(
        "document.getElementById('distribution').textContent + document.querySelector('h1 ~ *, #answer p').textContent"
    )
    assert "±" not in shown
    assert "NaN" not in browser.js("document.body.innerText")
    assert browser.js("document.querySelectorAll('.mark').length") == 2


@pytest.mark.parametrize("skills", [{}, {"base": [0.5] * 6}])
def test_a_run_with_little_in_it_has_a_page_too(browser, tmp_path, skills):
    folder = make_run(tmp_path, skills)
    (folder / "prompts/test.jsonl").unlink()
    (folder / "examples.jsonl").unlink()
    write_report(folder)
    browser.open(folder / "report.html")
    assert browser.logged == []
    assert browser.js("document.querySelectorAll('#prompts p, #prompts table').length") > 0


@pytest.mark.parametrize(("make", "examples"), [(make_run, 1000), (make_free_text_run, 300)])
def test_fifty_prompts_and_six_methods_open_in_two_seconds(browser, tmp_path, make, examples):
    names = ["base", "user", "top-accuracy", "batprompt", "zopo", "paft"]
    skills = {name: np.linspace(0.3, 0.9, 50) for name in names}
    more = {"outputs": True} if make is make_run else {}
    folder = make(tmp_path, skills, prompts=50, examples=examples, trained=names[1:], **more)
    write_page(folder / "report.html", [read_run(folder)])
    assert (folder / "report.html").stat().st_size < 8e6
    opening, choosing = [], []  # the fastest of three is the page's own time; the rest are the machine's pauses
    for prompt in (20, 21, 22):
        opening.append(browser.open(folder / "report.html"))
        assert browser.logged == []
        assert browser.js("document.querySelectorAll('.mark').length") == 300
        started = time.perf_counter()
        browser.js(f"openPrompt(0, {prompt}, 3)")
        choosing.append(time.perf_counter() - started)
    assert min(opening) < 2
    assert min(choosing) < 1
