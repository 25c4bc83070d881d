"""Questions that alone have no answer: named, counted, asked again or not, and no paid answer lost for them."""

import json
import shutil
import time

import pytest
from pyarrow import parquet

from conftest import COLOURS, things, write_rows
from endpoints import AZURE_FILTER, answer, error, likeliest, message
from paft.config.load import load_config
from paft.errors import UserError, WorkError
from paft.utils.console import Console
from reported_runs import evaluate

QUIET = Console(quiet=True)
FAILING = (500, {"error": {"message": "worker died"}}, {})
TOO_LONG = error(400, "This model's maximum context length is 4096 tokens")


def number(body):
    return int("".join(c for c in body["messages"][-1]["content"] if c.isdigit()))


def reply(body):
    return 200, answer(COLOURS[number(body) % 3]), {}


def but(fault, *numbers):
    """Return a server's reply that has a fault for some of the things."""
    return lambda body: fault if number(body) in numbers else reply(body)


def served(project, server, *overrides, **model):
    path = project / "served.yaml"
    text = (project / "config.yaml").read_text().split("\n", 1)[1]
    settings = {"path": "m", "base_url": server.url, "retries": 0, "timeout": 5} | model
    path.write_text(f"model: {json.dumps(settings)}\n" + text.replace("likelihood", "generate"))
    return load_config(path, list(overrides))


def rows(project):
    return parquet.read_table(project / "run/methods/base/predictions.parquet").to_pylist()


def cached(project):
    return [json.loads(line) for line in (project / "run/answers.jsonl").read_text().splitlines()]


def test_a_refused_message_is_named_after_all_others_are_answered(project, serve, capsys):
    server = serve(but(AZURE_FILTER, 103))
    with pytest.raises(WorkError, match=r"2 question\(s\) have no answer \(first: prompt \w{12}, example 3: m at .*content management policy.*model\.on_unanswered=count") as caught:  # fmt: skip
        evaluate(served(project, server), project / "run", Console())
    assert "\n" not in str(caught.value)
    assert "run the same command again" not in str(caught.value)  # it would be refused again
    assert capsys.readouterr().err.count("no answer for example 3") == 2
    assert len(server.requests) == 1 + 12
    assert sum("refusal" not in row for row in cached(project)) == 10


def test_what_was_refused_is_not_asked_again_and_can_be_counted(project, serve, capsys):
    server = serve(but(AZURE_FILTER, 103))
    for _ in range(2):
        with pytest.raises(WorkError):
            evaluate(served(project, server), project / "run", QUIET)
    assert len(server.requests) == 1 + 12
    evaluate(served(project, server, "model.on_unanswered=count"), project / "run", Console())
    assert len(server.requests) == 1 + 12
    refused = [row for row in rows(project) if row["finish"] == "refused"]
    assert [(r["example_id"], r["output"], r["score"], r["prediction"]) for r in refused] == [
        ("3", "", 0, None)
    ] * 2
    assert sum(bool(row["correct"]) for row in rows(project)) == 10
    said = capsys.readouterr().err
    assert "2 questions have no answer and count as unparsed" in said
    assert said.count("refused or failed: example 3 (refused)") == 2


def test_an_answer_that_the_filter_took_away_is_no_answer_either(project, serve):
    server = serve(but(message("content_filter", content=None), 103))
    for _ in range(2):
        with pytest.raises(
            WorkError, match=r"2 question\(s\) have no answer .*the content filter refused the answer"
        ):
            evaluate(served(project, server), project / "run", QUIET)
    assert len(server.requests) == 1 + 12


def test_what_failed_and_what_was_refused_are_told_apart(project, serve):
    def picky(body):
        return AZURE_FILTER if number(body) == 101 else FAILING if number(body) == 104 else reply(body)

    server = serve(picky)
    with pytest.raises(
        WorkError,
        match=r"4 question\(s\) have no answer \(first: .*example 4: .*\); run the same command again to ask once "
        "more for the 2 that no filter refused, remove",
    ):
        evaluate(served(project, server), project / "run", QUIET)


def test_a_row_that_is_removed_takes_no_paid_answer_with_it(project, serve):
    server = serve(but(AZURE_FILTER, 101))
    with pytest.raises(WorkError):
        evaluate(served(project, server), project / "run", QUIET)
    asked = len(server.requests)
    write_rows(project / "test.jsonl", [row for row in things(6, 100) if row["thing"] != "thing 101"])
    evaluate(served(project, server), project / "run", QUIET)
    assert len(server.requests) == asked
    assert len(rows(project)) == 10
    assert all(row["correct"] for row in rows(project))


def test_removing_a_row_that_one_prompt_has_refused_keeps_the_answers_under_the_others(project, serve):
    def picky(body):
        return AZURE_FILTER if number(body) == 103 and "Paint" in body["messages"][-1]["content"] else reply(body)

    server = serve(picky)
    with pytest.raises(WorkError, match=r"1 question\(s\) have no answer"):
        evaluate(served(project, server), project / "run", QUIET)
    write_rows(project / "test.jsonl", [row for row in things(6, 100) if row["thing"] != "thing 103"])
    with pytest.raises(UserError, match=r"remove .*methods/base to redo"):
        evaluate(served(project, server), project / "run", QUIET)
    shutil.rmtree(project / "run/methods/base")
    asked = len(server.requests)
    evaluate(served(project, server), project / "run", QUIET)
    assert len(server.requests) - asked == 1  # whether it answers at all
    assert len(rows(project)) == 10


@pytest.mark.parametrize("fault", [FAILING, TOO_LONG, message("error", content="")], ids=["500", "400", "200"])
def test_a_question_that_fails_by_itself_is_asked_again_and_its_answer_kept(project, serve, fault):
    server = serve(but(fault, 103, 104))
    with pytest.raises(WorkError, match=r"4 question\(s\) have no answer .*run the same command again"):
        evaluate(served(project, server), project / "run", QUIET)
    assert len(cached(project)) == 8
    asked = len(server.requests)
    server.replies[:] = [reply]
    evaluate(served(project, server), project / "run", QUIET)
    assert len(server.requests) - asked == 4
    assert all(row["correct"] for row in rows(project))


def test_questions_that_fail_by_themselves_can_be_counted(project, serve):
    server = serve(but(TOO_LONG, 101, 102, 103, 104))
    evaluate(served(project, server, on_unanswered="count"), project / "run", QUIET)
    found = rows(project)
    assert [r["finish"] for r in found] == ["stop", "error", "error", "error", "error", "stop"] * 2
    assert {(r["output"], r["prediction"], r["score"]) for r in found if r["finish"] == "error"} == {
        ("", None, 0.0)
    }


def test_questions_may_fail_before_the_first_slow_answer_arrives(project, serve):
    def slow(body):
        time.sleep(0.3 * (number(body) in (100, 105)))
        return but(TOO_LONG, 101, 102, 103, 104)(body)

    evaluate(served(project, serve(slow), on_unanswered="count"), project / "run", QUIET)
    assert [r["finish"] for r in rows(project)] == ["stop", *["error"] * 4, "stop"] * 2


@pytest.mark.parametrize("on_unanswered", ["stop", "count"])
@pytest.mark.parametrize("works_for", [4, 10])
def test_a_server_that_goes_down_is_never_counted(project, serve, on_unanswered, works_for):
    server = serve(*[reply] * (1 + works_for), FAILING)
    with pytest.raises(WorkError, match=r"worker died.*question\(s\) of this prompt have no answer; those that"):
        evaluate(served(project, server, on_unanswered=on_unanswered, parallel=1), project / "run", QUIET)
    assert len(cached(project)) == works_for
    assert not (project / "run/methods/base/predictions.parquet").exists()


def test_a_key_that_is_withdrawn_stops_at_once(project, serve):
    server = serve(*[reply] * 4, error(401, "expired"))
    with pytest.raises(UserError, match="refused with status 401"):
        evaluate(served(project, server, on_unanswered="count", parallel=1), project / "run", QUIET)
    assert len(server.requests) == 5


def test_the_first_question_may_be_the_one_that_is_refused(project, serve):
    for fault in (AZURE_FILTER, TOO_LONG):
        server = serve(but(fault, 100))
        with pytest.raises(WorkError, match="example 0"):
            evaluate(served(project, server), project / "run", QUIET)
        evaluate(served(project, server, on_unanswered="count"), project / "run", QUIET)
        assert len(rows(project)) == 12
        (project / "run").rename(project / f"run-{server.server_port}")


def test_refused_letters_are_unparsed(project, serve, capsys):
    def letters(body):
        return AZURE_FILTER if number(body) == 103 else likeliest((" A", -0.1), ("B", -3.0))

    server = serve(letters)
    how = ["task.answer=letter", "evaluation.mode=likelihood"]
    with pytest.raises(WorkError, match="example 3"):
        evaluate(served(project, server, *how), project / "run", QUIET)
    evaluate(served(project, server, *how, on_unanswered="count"), project / "run", Console())
    assert [r["prediction"] for r in rows(project)] == [*"AAA", None, *"AA"] * 2
    assert "2 questions have no answer and count as unparsed" in capsys.readouterr().err


def test_answers_that_are_cut_or_empty_are_counted_at_the_end(project, serve, capsys):
    def think(body):
        if number(body) < 103:
            return message("length", content=None, reasoning_content="I think")
        return message(content=None, reasoning_content="I think") if number(body) == 103 else reply(body)

    evaluate(served(project, serve(think)), project / "run", Console())
    said = " ".join(capsys.readouterr().err.split())
    assert "the first answer reached the limit of tokens before any text" in said
    assert "6 of 12 were cut by the limit of tokens (evaluation.max_new_tokens); 8 hold no text" in said
    assert [r["finish"] for r in rows(project)] == [*["length"] * 3, *["stop"] * 3] * 2
