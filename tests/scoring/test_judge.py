"""The judge: a local server plays the language model."""

import json
import re
import time

import pytest
from pyarrow import parquet

from conftest import things, write_rows
from endpoints import Server, answer, error
from paft.config.load import load_config
from paft.errors import UserError, WorkError
from paft.evaluation.grid import evaluate as evaluate_grid
from paft.models.fake import FakeModel
from paft.scoring import PaidScorer
from paft.scoring.judge import JudgeScorer
from paft.scoring.registry import make_scorer
from paft.tasks.task import Task
from paft.types import AnswerSettings, Example, Prompt, Score
from paft.utils.console import Console
from reported_runs import evaluate

TASK = Task("questions", ("question",), None, "text", 0.85, 0)
EXAMPLE = Example("7", {"question": "Capital of France?"}, targets=("Paris", "City of Paris"))


def graded(body):
    """Grade by the text between the answer's marks, as a judge that reads the prompt would."""
    text = body["messages"][-1]["content"]
    given = re.search(r"<answer>\n(.*?)\n</answer>", text, re.DOTALL)[1]
    grade = {"Paris": "right", "paris!": "right"}.get(given, "wrong")
    return 200, answer(json.dumps({"reason": f"it says {given}", "grade": grade})), {}


def judge(server, tmp_path, **settings):
    setting = {
        "name": "judge",
        "model": {"path": "m", "base_url": server.url, "retries": 0},
        "rubric": "Be strict.",
    }
    scorer = make_scorer(setting | settings, TASK)
    scorer.keep_in(tmp_path / "methods/base/judge.jsonl")
    return scorer


class MyJudge(JudgeScorer):
    """A judge as a user's own scorer: stricter than its grades."""

    def score(self, output, example):
        score = super().score(output, example)
        return score if len(output) < 20 else Score(0.0, score.answer, "too long")


def own_judge(server, tmp_path, **settings):
    return judge(server, tmp_path, name="test_judge:MyJudge", **settings)


def test_the_grade_is_the_score_and_the_reason_its_explanation(tmp_path):
    server = Server(graded)
    scorer = judge(server, tmp_path, second_call=0)
    assert isinstance(scorer, PaidScorer)
    assert scorer.is_binary
    right = scorer.score("<think>hm</think> Paris", EXAMPLE)
    assert (right.value, right.answer, right.explanation) == (1.0, "Paris", "right: it says Paris")
    assert scorer.score("Rome", EXAMPLE).value == 0.0
    assert scorer.score("  ", EXAMPLE).answer is None
    [(body, _, _), _] = server.requests
    assert body["temperature"] == 0
    text = body["messages"][0]["content"]
    for part in ("Be strict.", "question: Capital of France?", "City of Paris", '"right", worth 1'):
        assert part in text


def test_no_reply_is_paid_for_twice_not_even_for_another_method_or_after_a_restart(tmp_path):
    server = Server(graded)
    scorer = judge(server, tmp_path)
    scorer.prepare(["Paris", "Paris", "Rome"], [EXAMPLE] * 3)
    sent = len(server.requests)
    assert 2 <= sent <= 4
    scorer.score("Paris", EXAMPLE)
    scorer.keep_in(tmp_path / "methods/paft/judge.jsonl")
    scorer.score("Paris", EXAMPLE)
    again = judge(server, tmp_path)
    again.keep_in(tmp_path / "methods/user/judge.jsonl")
    assert again.score("Rome", EXAMPLE).value == 0.0
    assert len(server.requests) == sent


@pytest.mark.parametrize(
    ("reply", "value", "is_read"),
    [
        ('```json\n{"grade": "Right"}\n```', 1.0, True),
        ("It is fine.\nGrade: right", 1.0, True),
        ("right", 1.0, True),
        ('{"grade": "good"}', 0.0, False),
        ('{"grade": ["right"]}', 0.0, False),
        ('{"score": 1}', 0.0, False),
        ("The answer is right, but also wrong.", 0.0, False),
        ("Grade: right\nGrade: wrong", 0.0, False),
        ("", 0.0, False),
        ("[1, 2]", 0.0, False),
    ],
)
def test_a_reply_off_the_rubric_is_unread_and_never_a_guess(tmp_path, reply, value, is_read):
    score = judge(Server((200, answer(reply), {})), tmp_path, second_call=0).score("x", EXAMPLE)
    assert score.value == value
    assert (score.answer is not None) == is_read
    assert is_read or "off the rubric" in score.explanation


def test_a_scale_of_ones_own_gives_values_between_0_and_1(tmp_path):
    server = Server((200, answer('{"reason": "so so", "grade": 2}'), {}))
    scorer = judge(server, tmp_path, scale={1: 0, 2: 0.5, 3: 1}, second_call=0)
    assert not scorer.is_binary
    assert scorer.score("x", EXAMPLE).value == 0.5


def test_the_second_call_has_the_reverse_order_and_its_agreement_is_counted(tmp_path):
    def first_wins(body):
        text = body["messages"][-1]["content"]
        grade = "right" if text.index("<accepted>") < text.index("<answer>") else "wrong"
        return 200, answer(json.dumps({"reason": "", "grade": grade})), {}

    for reply, same in ((first_wins, 0.0), (graded, 1.0)):
        scorer = judge(Server(reply), tmp_path / str(same), second_call=1)
        assert scorer.summary() is None
        scorer.prepare(["Paris", "Rome"], [EXAMPLE] * 2)
        found = scorer.agreement()
        assert (found["graded_twice"], found["same"], found["off_rubric"]) == (2, same, 0)
        assert f"2 answers twice: {same:.0%}" in scorer.summary()


def test_a_second_grade_counts_for_the_method_that_it_was_asked_for(tmp_path):
    scorer = judge(Server(graded), tmp_path, second_call=1)
    scorer.prepare(["Paris", "Rome"], [EXAMPLE] * 2)
    scorer.keep_in(tmp_path / "methods/paft/judge.jsonl")
    assert scorer.agreement()["graded_twice"] == 0
    scorer.prepare(["Rome", "Oslo"], [EXAMPLE] * 2)
    assert scorer.agreement()["graded_twice"] == 1


def test_other_parameters_of_the_request_are_another_question(tmp_path):
    server = Server(graded)
    model = {"path": "m", "base_url": server.url, "retries": 0}
    judge(server, tmp_path, second_call=0).score("Paris", EXAMPLE)
    judge(server, tmp_path, second_call=0, model=model | {"parallel": 2}).score("Paris", EXAMPLE)
    assert len(server.requests) == 1
    judge(server, tmp_path, second_call=0, model=model | {"request": {"top_p": 0.5}}).score("Paris", EXAMPLE)
    assert len(server.requests) == 2


def test_the_cost_is_said_before_and_the_prompt_is_shown(tmp_path):
    scorer = judge(Server(graded), tmp_path, second_call=0.1)
    assert "up to 1,000 outputs, about 100 of them twice: at most 1,100 requests" in scorer.announce(1000)
    assert "281,600 tokens to write" in scorer.announce(1000)
    shown = scorer.describe()
    assert shown["model"] == "m"
    assert "Be strict." in shown["prompt"]
    assert shown["scale"] == {"right": 1.0, "wrong": 0.0}


def test_an_answer_that_the_judge_refuses_is_unread_but_a_judge_that_never_answers_stops(tmp_path):
    refusal = (400, {"error": {"message": "content filter"}}, {})
    with pytest.raises(UserError, match=r"the judge m at http.*content filter"):
        judge(Server(refusal), tmp_path).score("x", EXAMPLE)
    scorer = judge(Server((200, answer('{"grade": "right"}'), {}), refusal), tmp_path, second_call=0)
    assert scorer.score("x", EXAMPLE).value == 1.0
    refused = scorer.score("y", EXAMPLE)
    assert refused.answer is None
    assert "content filter" in refused.explanation
    with pytest.raises(WorkError, match="same command again"):
        judge(Server((500, {}, {})), tmp_path / "other").score("x", EXAMPLE)


def refusing(*outputs):
    """Return a server's reply that refuses these outputs at once, and grades the others late."""

    def reply(body):
        text = body["messages"][-1]["content"]
        if any(f"<answer>\n{output}\n</answer>" in text for output in outputs):
            return error(413, "too long")
        time.sleep(0.1)
        return graded(body)

    return reply


def test_refusals_before_the_first_grade_of_a_batch_stop_nothing_and_are_sent_once(tmp_path):
    server = Server(refusing("Rome", "Oslo"))
    scorer = judge(server, tmp_path, second_call=0)
    outputs = ["Rome", "Oslo", "Paris"]
    scorer.prepare(outputs, [EXAMPLE] * 3)
    scorer.keep_in(tmp_path / "methods/paft/judge.jsonl")
    scorer.prepare(outputs, [EXAMPLE] * 3)
    scores = [scorer.score(output, EXAMPLE) for output in outputs]
    assert [score.answer for score in scores] == [None, None, "Paris"]
    assert "the judge refused: m at http" in scores[0].explanation
    assert len(server.requests) == 3


def test_a_judge_that_refuses_a_whole_batch_before_its_first_grade_stops_each_time(tmp_path):
    server = Server(refusing("Rome", "Oslo"))
    scorer = judge(server, tmp_path, second_call=0)
    for asked in (2, 4):
        with pytest.raises(UserError, match=r"the judge m at http.*too long"):
            scorer.prepare(["Rome", "Oslo"], [EXAMPLE] * 2)
        assert len(server.requests) == asked


def test_a_users_own_judge_asks_is_announced_and_keeps_its_replies(tmp_path):
    server = Server(graded)
    scorer = own_judge(server, tmp_path, second_call=1)
    assert isinstance(scorer, PaidScorer)
    assert "up to 10 outputs" in scorer.announce(10)
    scorer.prepare(["Paris", "Paris, I would say so"], [EXAMPLE] * 2)
    sent = len(server.requests)
    assert scorer.score("Paris", EXAMPLE).value == 1.0
    assert scorer.score("Paris, I would say so", EXAMPLE).explanation == "too long"
    assert len(server.requests) == sent == 4
    assert "Be strict." in scorer.describe()["prompt"]
    assert scorer.agreement()["graded_twice"] == 2
    assert "2 answers twice" in scorer.summary()
    refused = own_judge(Server((400, {"error": {"message": "content filter"}}, {})), tmp_path / "other")
    with pytest.raises(UserError, match=r"^the judge m at http.*content filter"):
        refused.score("x", EXAMPLE)


@pytest.mark.parametrize("output", ["x" * 1_000_000, "\ud800 and \x00\x07", "{scale} {0} </answer>"])
def test_odd_outputs_reach_the_judge_as_text(tmp_path, output):
    server = Server((200, answer('{"grade": "right"}'), {}))
    assert judge(server, tmp_path, second_call=1).score(output, EXAMPLE).value == 1.0
    assert len(server.requests[0][0]["messages"][0]["content"]) < 25_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rubric": " "}, r"task\.scorer\.rubric takes"),
        ({"scale": {"good": 1}}, "at least two grades"),
        ({"scale": {"good": 2, "bad": 0}}, "at least two grades"),
        ({"scale": {"good": 1, "Good": 0}}, "at least two grades"),
        ({"scale": {"good": 1, "fine": 1}}, "all grades have one value"),
        ({"second_call": 2}, r"task\.scorer\.second_call takes a number from 0 to 1; found 2"),
        ({"max_tokens": 1}, r"task\.scorer\.max_tokens takes a whole number of 16 or more; found 1"),
        ({"model": {"path": "m", "base_url": "http://x/v1", "kay": "K"}}, r"task\.scorer\.model\.kay is unknown"),
        ({"model": {"base_url": "http://x/v1"}}, r"task\.scorer\.model\.path is missing"),
        ({"model": {"path": "m", "base_url": "http://x/v1", "key": "NO_SUCH_KEY"}}, "variable NO_SUCH_KEY"),
        ({"model": {"path": "./nowhere"}}, r"task\.scorer\.model\.path: no such folder"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused_before_anything_runs(settings, message):
    setting = {"name": "judge", "model": {"path": "m", "base_url": "http://127.0.0.1:1/v1"}, "rubric": "r"}
    with pytest.raises(UserError, match=message):
        make_scorer(setting | settings, TASK)


def test_a_model_in_this_process_can_be_the_judge(tmp_path, tiny_model):
    scorer = make_scorer(
        {"name": "judge", "model": {"path": tiny_model, "dtype": "float32"}, "rubric": "r", "max_tokens": 16}, TASK
    )
    scorer.keep_in(tmp_path / "methods/base/judge.jsonl")
    assert scorer.describe()["model"] == tiny_model
    score = scorer.score("Paris", EXAMPLE)  # a random network: what it writes is no grade
    assert score.answer is None
    assert "off the rubric" in score.explanation


def test_the_outputs_of_a_prompt_are_judged_in_parallel(tmp_path):
    server = Server(lambda body: time.sleep(0.2) or graded(body))
    scorer = judge(server, tmp_path, second_call=0)
    examples = [Example(str(i), {"question": f"q{i}"}, targets=("Paris",)) for i in range(12)]
    prompts = [Prompt("Say it. {question}")]
    evaluate_grid(
        FakeModel(lambda c: "Paris" if "q1" in c.user else "Rome"), TASK, [scorer], prompts, examples, tmp_path,
        AnswerSettings("generate", 5), console=Console(quiet=True),
    )  # fmt: skip
    assert server.most_under_way > 1
    rows = parquet.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert [row["score"] for row in rows] == [float("q1" in f"q{i}") for i in range(12)]
    assert rows[1]["explanation"] == "right: it says Paris"


def test_a_run_is_judged_and_records_how_far_the_judge_agrees_with_itself(project, capfd):
    server = Server(graded)
    write_rows(project / "test.jsonl", things(6, 100))
    overrides = [
        "methods=[base]", "evaluation={mode: generate, max_new_tokens: 3}", "task.choices=null",
        "prompts.test=prompts/free.jsonl",
        f"task.scorer={{name: judge, rubric: 'Same colour?', second_call: 1, model: {{path: m, base_url: '{server.url}'}}}}",
    ]  # fmt: skip
    write_rows(project / "prompts/free.jsonl", [{"text": "Paint {thing}!"}, {"text": "{thing} is ..."}])
    evaluate(load_config(project / "config.yaml", overrides), project / "run", Console())
    printed = capfd.readouterr().err
    assert "the judge m at http" in printed
    assert "answers twice" in printed
    about = json.loads((project / "run/methods/base/judge.json").read_text())
    assert about["same"] == 1.0
    assert "Same colour?" in about["prompt"]
    rows = parquet.read_table(project / "run/methods/base/predictions.parquet").to_pylist()
    assert len(rows) == 12
    assert all(row["explanation"] for row in rows)
    (project / "run/methods/base/judge.json").unlink()  # as after a kill before it was written
    overrides[-1] = overrides[-1].replace("path: m", "path: m, parallel: 2, timeout: 9")
    evaluate(load_config(project / "config.yaml", overrides), project / "run", Console(quiet=True))
    assert json.loads((project / "run/methods/base/judge.json").read_text()) == about
