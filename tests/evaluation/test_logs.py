"""Logs that lm-evaluation-harness 0.4.13 and inspect-ai 0.3.285 have written, on questions of our own."""

import json
from pathlib import Path

import numpy as np
import pytest

from paft.errors import UserError
from paft.evaluation.logs import read_logs

LOGS = Path(__file__).parent / "logs"
COLOURS = sorted(LOGS.glob("samples_colour_*.jsonl"))
SAY = next(LOGS.glob("samples_say_0*.jsonl"))


def changed(tmp_path, file, change):
    """Write a log again with each row, or the whole tree, changed."""
    copy = tmp_path / file.name
    if file.suffix == ".json":
        copy.write_text(json.dumps(change(json.loads(file.read_text()))))
    else:
        rows = [change(json.loads(line)) for line in file.read_text().splitlines()]
        copy.write_text("".join(json.dumps(row) + "\n" for row in rows if row))
    return copy


def test_the_samples_of_lm_eval_are_a_grid_of_tasks_and_questions():
    logged = read_logs(COLOURS, "acc")
    assert logged.scores.shape == (3, 12)
    assert logged.scores.mean(axis=1) == pytest.approx([0.25, 7 / 12, 0.25])  # as its results.json says
    assert logged.subject == "colour_0 and 2 more"


def test_a_score_of_lm_eval_has_the_name_of_its_filter_where_there_are_several():
    assert read_logs([SAY], "exact_match,strict").scores.shape == (1, 4)
    with pytest.raises(UserError, match=r"several scores \(exact_match,strict, exact_match,flexible\)"):
        read_logs([SAY])


def test_the_samples_of_inspect_are_a_grid_of_logs_and_questions():
    logged = read_logs([LOGS / "inspect-0.json", LOGS / "inspect-1.json"], "match")
    assert logged.scores.mean(axis=1) == pytest.approx([10 / 12, 8 / 12])  # as its results say
    assert logged.subject == "mockllm/model on colours"


def test_only_the_questions_of_all_logs_count_and_the_epochs_of_a_sample_are_averaged(tmp_path):
    def twice(tree):
        [first, *others] = tree["samples"]
        again = json.loads(json.dumps(first)) | {"epoch": 2}
        first["scores"]["match"]["value"], again["scores"]["match"]["value"] = "C", "I"
        return tree | {"samples": [first, again, *others[:6]]}

    files = [LOGS / "inspect-0.json", changed(tmp_path, LOGS / "inspect-1.json", twice)]
    logged = read_logs(files, "match")
    assert logged.scores.shape == (2, 7)
    assert logged.scores[1, 0] == 0.5
    assert logged.notes == ("7 of 12 questions: the others are not in all logs",)


def test_a_question_that_the_data_hold_twice_counts_twice(tmp_path):
    def same(row):
        return row | {"doc_hash": "h"} if row["doc_id"] < 2 else row

    files = [changed(tmp_path, file, same) for file in COLOURS]
    assert (read_logs(files, "acc").scores == read_logs(COLOURS, "acc").scores).all()


REFUSED = {
    "results without samples": (LOGS / "results.json", lambda tree: tree, "--log_samples"),
    "no samples": (LOGS / "inspect-0.json", lambda tree: tree | {"samples": None}, "--no-log-samples"),
    "unfinished": (LOGS / "inspect-0.json", lambda tree: tree | {"status": "error"}, "did not finish"),
    "another JSON": (LOGS / "inspect-0.json", lambda tree: [1], "no log of inspect-ai"),
    "other rows": (COLOURS[0], lambda row: {"text": "x"}, "--log_samples"),
    "a score above 1": (COLOURS[0], lambda row: row | {"acc": 7}, "from 0 to 1"),
    "no score": (COLOURS[0], lambda row: row | {"metrics": []}, "score of its own"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_judged_is_refused_with_the_fix(tmp_path, case):
    file, change, words = REFUSED[case]
    with pytest.raises(UserError, match=words):
        read_logs([changed(tmp_path, file, change)], "acc" if file.suffix == ".jsonl" else "match")


def test_logs_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(UserError, match="no question is in all logs"):
        read_logs([COLOURS[0], changed(tmp_path, COLOURS[1], lambda row: row | {"doc_hash": "x"})], "acc")
    other = changed(tmp_path, LOGS / "inspect-1.json", lambda t: t | {"eval": t["eval"] | {"model": "b"}})
    with pytest.raises(UserError, match="different models"):
        read_logs([LOGS / "inspect-0.json", other], "match")
    with pytest.raises(UserError, match="named twice"):
        read_logs([COLOURS[0], COLOURS[0]], "acc")
    with pytest.raises(UserError, match="no score 'accuracy'"):
        read_logs(COLOURS, "accuracy")
    (tmp_path / "log.eval").write_bytes(b"PK")
    with pytest.raises(UserError, match="inspect log convert"):
        read_logs([tmp_path / "log.eval"])
    assert np.isfinite(read_logs(COLOURS, "acc_norm").scores).all()
