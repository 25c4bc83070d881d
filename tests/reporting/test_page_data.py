"""What the page of a run says: every text as text, every answer, known effects, and what is damaged by name."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from command import assert_refused, paft_here
from conftest import ROOT
from made_up_runs import HOSTILE, LABELS, SKILLS, make_free_text_run, make_run
from paft.errors import UserError
from paft.evaluation.paired import differences, holm, signed_rank
from paft.prompts.traits import contrasts, traits_of
from paft.reporting.answers import UNPARSED
from paft.reporting.multi_run import compare, read_all, write_all
from paft.reporting.page import island, render, run_data
from paft.reporting.read import read_run
from paft.reporting.report import write_report
from paft.reporting.sentences import sentence
from paft.reporting.trait_effects import effect, trait_effects
from paft.training.samplers import SAMPLERS, MixedSampler
from paft.types import Prompt
from paft.utils.io import write_text


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


def test_the_training_of_each_method_is_shown_and_k_only_where_prompts_were_kept_for_k_steps(tmp_path):
    names = ("user", "paft", "short", "mix", "own", "over", "fixed")
    folder = make_run(tmp_path, {name: [0.6] * 6 for name in names})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["training"] |= {"K": 4, "epochs": 3, "sampler": "uniform"}
    config["training"]["lora"] = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
    config["methods"] = [
        "user",
        "paft",
        {"name": "short", "method": "paft", "training": {"K": 1, "lora": {"target_modules": "all-linear"}}},
        {"name": "mix", "method": "paft", "training": {"sampler": {"name": "mixed"}, "epochs": 1}},
        {"name": "own", "method": "paft", "training": {"sampler": "shuffled:OnePerExample"}},
        {"name": "over", "method": "paft", "training": {"sampler": {"name": "dropout", "over": "uniform"}}},
        "fixed",
    ]
    config["run"]["fixed_training"] = {"fixed": {"K": 1}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows = [json.dumps({"step": i, "epoch": 1, "prompt_ids": [f"p{i}"], "loss": 1.0, "learning_rate": 1.0,
                        "examples": 8, "tokens": 8, "seconds": 1.0, "prepare_seconds": 0.0}) for i in (1, 2)]  # fmt: skip
    for name in names:
        log = rows[:1] if name == "user" else rows
        write_text(folder / "methods" / name / "train.jsonl", "\n".join(log) + "\n")
    html = render([read_run(folder)])
    assert (
        "epochs 3 (user, paft, short, own, over, fixed) and 1 (mix), K 4 (paft, over) and 1 (short, fixed)" in html
    )
    assert "LoRA on q_proj + v_proj (user, paft, mix, own, over, fixed) and all-linear (short)" in html


def test_no_sampler_but_uniform_has_k():
    kinds = {name: SAMPLERS.get(name, "training.sampler") for name in SAMPLERS.names}
    without = {name for name, kind in kinds.items() if issubclass(kind, MixedSampler)}
    assert kinds.keys() - without == {"uniform", "dropout"}  # dropout over uniform or mixed


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


def test_a_run_of_the_first_version_is_read_like_one_of_this_version(tmp_path):
    first, now = (
        read_run(make_run(tmp_path / name, SKILLS, outputs=True, first=name == "first"))
        for name in ("first", "now")
    )
    assert [m.summary for m in first.methods] == [m.summary for m in now.methods]
    assert (first.mode, first.trains) == (now.mode, now.trains) == ("generate", True)
    assert run_data(first) == run_data(now)
    assert sentence(first) == sentence(now)
    assert sentence(first).startswith("Accuracy on 6 unseen prompts: paft ")


def test_variants_with_settings_of_their_own_are_read_by_their_names(tmp_path):
    folder = make_run(tmp_path, {"base": [0.2] * 6, "mixed": [0.8] * 6}, trained=("mixed",))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["methods"] = ["base", {"name": "mixed", "method": "paft", "training": {"K": 2}}]
    config["run"]["method_titles"]["mixed"] = "PAFT (mixed)"
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    result = read_run(folder)
    assert [m.name for m in result.methods] == ["base", "mixed"]
    assert ": mixed (PAFT (mixed)) " in sentence(result)
    assert result.trains
    config["run"]["trained"] = []
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    assert read_run(folder).test_prompts == "prompts"


def test_the_training_curve_marks_where_the_prompts_of_a_step_change(tmp_path):
    folder = make_run(tmp_path, {"paft": [0.8] * 6})
    ids = [["t0", "t1"], ["t0", "t1"], ["t1"], 3, ["t0", "t1"]]
    log = [
        {"step": s, "loss": 1.0, "seconds": 1, "examples": 4, "prompt_ids": p} for s, p in enumerate(ids, start=1)
    ]
    write_text(folder / "methods/paft/train.jsonl", "".join(json.dumps(row) + "\n" for row in log))
    found = run_data(read_run(folder))
    assert found["methods"][0]["changes"] == [[1, ["t0", "t1"]], [3, ["t1"]], [5, ["t0", "t1"]]]
    assert list(found["trainPrompts"]) == ["t0", "t1"]


def test_a_right_answer_in_other_words_is_right_on_the_page_and_its_output_is_shown(tmp_path):
    folder = make_run(tmp_path, {"base": [1.0] * 6}, outputs=True)
    path = folder / "methods/base/predictions.parquet"
    table = parquet.read_table(path)
    said = pa.array(["Scarlet!"] * len(table), pa.string())
    for name in ("prediction", "output"):
        table = table.set_column(table.schema.get_field_index(name), name, said)
    parquet.write_table(table, path)
    found = run_data(read_run(folder))
    assert set(base64.b64decode(found["methods"][0]["cells"])) == {1}
    assert {(*e["choices"], *e["right"]) for e in found["examples"]} == {
        (label, "Scarlet!", 1) for label in LABELS
    }


def test_more_different_answers_than_a_byte_holds_share_one_code(tmp_path):
    folder = make_run(tmp_path, {"base": [0.0] * 300}, prompts=300, examples=1)
    path = folder / "methods/base/predictions.parquet"
    table = parquet.read_table(path)
    said = pa.array([f"answer {i}" for i in range(300)], pa.string())
    parquet.write_table(table.set_column(table.schema.get_field_index("prediction"), "prediction", said), path)
    found = run_data(read_run(folder))
    choices, cells = found["examples"][0]["choices"], base64.b64decode(found["methods"][0]["cells"])
    assert [choices[code] for code in cells] == [*(f"answer {i}" for i in range(251)), *["another answer"] * 49]


SCORES = {"base": [0.2] * 6, "paft": [0.8] * 6}


@pytest.mark.parametrize("binary", [True, False])
def test_the_page_has_everything_of_the_predictions_of_free_text(tmp_path, binary):
    folder = make_free_text_run(tmp_path, SCORES, binary=binary)
    found = run_data(read_run(folder))
    assert (found["binary"], found["freeText"], found["chance"]) == (binary, True, None)
    assert found["examples"][1]["targets"] == ["the city of Lagos", "the city of Lagos City"]
    assert [e["options"] for e in found["examples"]] == [[]] * 10
    for method in found["methods"]:
        rows = parquet.read_table(folder / "methods" / method["name"] / "predictions.parquet").to_pylist()
        codes, finish = base64.b64decode(method["cells"]), base64.b64decode(method["finish"])
        assert (method["scores"] is None) == binary
        for i, row in enumerate(rows):
            example, code = found["examples"][i % 10], codes[i]
            assert (None if code == UNPARSED else example["choices"][code]) == row["prediction"]
            if binary:
                assert (code == 0 or code in example["right"]) == (row["score"] == 1)
            else:
                assert base64.b64decode(method["scores"])[i] / 200 == pytest.approx(row["score"], abs=0.005)
                assert (base64.b64decode(method["scores"])[i] == 200) == (row["score"] == 1)
            rouge = base64.b64decode(method["others"]["rouge"])[i] / 200
            assert rouge == pytest.approx(row["other_scores"][1], abs=0.005)
            assert found["texts"][method["outputs"][i]] == row["output"]
            assert (i in method["explanations"]) == (row["explanation"] is not None)
            assert {0: "stop", 1: "length", 2: "refused"}[finish[i]] == row["finish"]


def test_outputs_that_could_not_be_read_and_wrong_ones_come_first_where_there_is_little_room(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("paft.reporting.answers.OUTPUT_BUDGET", 10_000)
    result = read_run(make_free_text_run(tmp_path, SCORES))
    found = run_data(result)
    assert found["outputsLeftOut"] > 0
    for method, read in zip(found["methods"], result.methods, strict=True):
        unparsed = {int(i) for i in np.flatnonzero(read.grid.unparsed)}
        assert unparsed <= method["outputs"].keys(), "of every method, not of the first one only"
    assert sum(map(len, found["texts"])) <= 10_000


def test_answers_without_room_are_another_answer_and_keep_their_outputs(tmp_path, monkeypatch):
    monkeypatch.setattr("paft.reporting.answers.ANSWER_BUDGET", 30)
    found = run_data(read_run(make_free_text_run(tmp_path, SCORES)))
    labels = [choice for example in found["examples"] for choice in example["choices"][1:]]
    assert sum(len(label) for label in labels if label != "another answer") <= 30
    assert "another answer" in labels
    assert all(len(method["outputs"]) == 60 for method in found["methods"])


def test_free_text_has_no_traits_about_options(tmp_path):
    found = run_data(read_run(make_free_text_run(tmp_path, SCORES)))
    assert not any("option" in trait["name"] for trait in found["traits"])
    assert [p["traits"] for p in found["prompts"]][:2] == ["5 words, ends with a slot", "6 words, ends with a cue"]
    assert not any("option" in str(trait) for trait in (p["traits"] for p in found["prompts"]))


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
    found = traits_of(Prompt(text, system), ["thing"], LABELS, {})
    assert (found.options, found.options_in, found.first, found.ending) == expected
    assert found.system == (system is not None)


def test_aliases_stand_for_their_slots():
    assert traits_of(Prompt("{sol1} {sol2} {goal}"), ["goal"], None, {"sol1": "A", "sol2": "B"}).first == "options"


def test_a_known_effect_is_found_and_no_other():
    texts = [f"{'word ' * (i % 7)}{{thing}} {'Colour:' if i % 2 else 'go.'}" for i in range(40)]
    prompt_traits = [traits_of(Prompt(text), ["thing"], LABELS, {}) for text in texts]
    noise = np.random.default_rng(1).normal(0, 0.03, (2, 40))
    cue = np.arange(40) % 2
    found = {
        t.name: t
        for t in trait_effects(prompt_traits, {"fragile": 0.5 + 0.2 * cue + noise[0], "robust": 0.9 + noise[1]})
    }
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
        for _ in range(200)
        for e in [effect(rng.normal(0.7, 0.08, 8), rng.normal(0.6, 0.08, 12))]
    )
    assert 0.88 <= hits / 200 <= 1.0


def test_a_trait_of_few_prompts_without_an_effect_is_rarely_called_clear():
    rng = np.random.default_rng(0)
    drawn = ((rng.normal(0.7, 0.1, 4), rng.normal(0.7, 0.1, 20)) for _ in range(2000))
    assert sum(effect(*groups, comparisons=9).clear for groups in drawn) / 2000 < 0.02
    assert not effect(np.full(4, 0.5), np.full(20, 0.5)).clear
    assert effect(np.full(4, 0.5), np.full(20, 0.4)).clear


def test_every_trait_divides_prompts_by_what_it_says():
    prompt_traits = [
        traits_of(Prompt(t, s), ["thing"], LABELS, {})
        for t, s in (("{thing}", None), ("{choices} {thing}\nSay:", "Hi"))
    ]
    found = {name: has for name, (_, has) in contrasts(prompt_traits).items()}
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


@pytest.mark.parametrize(
    ("differences", "p"), [([0.1, 0.2, 0.3, 0.4], 2 / 16), ([0.1] * 5, 2 / 32), ([0.1, -0.1, 0.2, 0.2], 6 / 16)]
)
def test_the_signed_rank_test_is_exact_for_few_prompts_also_beside_many_that_do_not_differ(differences, p):
    """Values counted by hand over all signs."""
    assert signed_rank(np.array(differences)) == pytest.approx(p)
    assert signed_rank(np.array([*differences, *[0.0] * 46])) == pytest.approx(p)
    assert signed_rank(np.zeros(50)) == 1


def test_holm_corrects_as_the_procedure_says():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_rows(path):
    parquet.write_table(parquet.read_table(path).slice(0, 50), path)


def overscore(path):
    table = parquet.read_table(path)
    scores = pa.array([1.5] * len(table), pa.float32())
    parquet.write_table(table.set_column(table.schema.get_field_index("score"), "score", scores), path)


def uneven(path):
    table = parquet.read_table(path)
    place = table.schema.get_field_index("other_scores")
    values = pa.array([[0.5]] * (len(table) - 1) + [[0.5, 0.5]], table.schema.field(place).type)
    parquet.write_table(table.set_column(place, "other_scores", values), path)


DAMAGE = {
    "cut in half": ("methods/paft/predictions.parquet", halve),
    "rows are missing": ("methods/paft/predictions.parquet", drop_rows),
    "another table": ("methods/paft/predictions.parquet", lambda p: parquet.write_table(pa.table({"x": [1]}), p)),
    "a score beyond 1": ("methods/paft/predictions.parquet", overscore),
    "uneven scores": ("methods/paft/predictions.parquet", uneven),
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
    for i, said in enumerate(["1 test prompt answered so far", "2 test prompts answered so far"]):
        (folder / f"methods/user/predictions/{i:04}.parquet").write_bytes(b"")
        assert read_run(folder).unfinished["user"] == said
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
    with pytest.raises(UserError, match=r"thesis\.html: this file exists and is not a paft report"):
        write_all(*read_all([folder]), tmp_path / "thesis.html")
    assert "years of work" in (tmp_path / "thesis.html").read_text()
    write_all(*read_all([folder]), tmp_path / "page.html")
    write_all(*read_all([folder]), tmp_path / "page.html")


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("trec/run", "sst2/run"):
        make_run(tmp_path / name, SKILLS)
    runs = [read_run(tmp_path / name) for name in ("trec/run", "sst2/run")]
    assert [r["name"] for r in island_of(render(runs))["runs"]] == ["trec/run", "sst2/run"]
    assert "| sst2/run | base |" in compare(runs)
    assert island_of(render(runs[:1]))["runs"][0]["name"] == "run"
    assert len(island_of(render([runs[0], runs[0]]))["runs"]) == 2


def test_runs_of_tasks_with_other_thresholds_each_say_their_own(tmp_path):
    runs = []
    for name, top in (("one", 0.5), ("other", 0.8)):
        make_run(tmp_path / name, SKILLS)
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        config["run"]["top"] = top
        write_text(tmp_path / name / "config.yaml", yaml.safe_dump(config))
        runs.append(read_run(tmp_path / name))
    assert "a threshold of the task (one 50%, other 80%)" in render(runs)
    assert "share of prompts at 50% or more" in render(runs[:1])


def test_runs_stand_side_by_side_and_a_folder_that_is_none_is_named(tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"run{seed}", SKILLS, seed=seed)
    done = paft_here("report", "run0", "run1", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "paft: nowhere: no run directory" in done.stderr
    assert "comparison.html" in done.stdout
    html = (tmp_path / "comparison.html").read_text()
    assert "nowhere: no run directory" in html
    assert "Over 2 seeds" in html
    assert [r["name"] for r in island_of(html)["runs"]] == ["run0", "run1"]
    assert_refused(paft_here("report", "nowhere", "nothing", cwd=tmp_path), "nowhere", "nothing")


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
