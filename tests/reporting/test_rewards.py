"""Trainings on rewards in a report: which step's adapter was kept, and curves that stay small and true."""

import json
import statistics

import pytest
import yaml

from conftest import write_rows
from made_up_runs import SKILLS, make_rewards, make_run
from paft.reporting.page import run_data
from paft.reporting.read import read_run
from paft.reporting.report import write_report
from paft.reporting.rewards import POINTS

KEPT = "paft: the adapter is that of step 40 of 60, which has the highest mean reward on the validation prompts, 0.700."


def rewards_of(folder, method="paft"):
    return {found["name"]: found["rewards"] for found in run_data(read_run(folder))["methods"]}[method]


def rewrite(folder, change):
    file = folder / "methods/paft/train.jsonl"
    write_rows(file, [change(json.loads(line)) for line in file.open()])


def test_every_report_says_which_step_was_kept(tmp_path):
    folder = make_rewards(make_run(tmp_path, SKILLS), "paft")
    write_report(folder)
    methods = json.loads((folder / "report.json").read_text())["methods"]
    assert methods["paft"]["kept_step"] == {"step": 40, "of": 60, "reward": 0.7}
    assert methods["user"]["kept_step"] is None
    assert all(KEPT in (folder / name).read_text() for name in ("report.md", "report.html"))


def test_only_what_was_trained_on_rewards_has_curves(tmp_path):
    folder = make_rewards(make_run(tmp_path, SKILLS), "paft")
    assert rewards_of(folder, "user") is None
    found = rewards_of(folder)
    assert (found["points"][0], found["points"][-1]) == ([1, 0.31, 0.45, 19.8333, 0.5], [60, 0.9, 0.45, 10, 0])
    assert found["validation"][3] == [40, 0.7]
    assert (found["kept"], found["isScore"]) == (40, True)


@pytest.mark.parametrize("where", ["section", "entry"])
def test_the_reward_of_a_users_own_function_is_not_drawn_as_a_score(tmp_path, where):
    folder = make_rewards(make_run(tmp_path, SKILLS), "paft")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    own = {"reward": "rewards:length"}
    if where == "section":
        config["baselines"] = {"grpo": own}
    else:
        config["methods"] = [
            e if e != "paft" else {"name": "paft", "method": "grpo"} | own for e in config["methods"]
        ]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert rewards_of(folder)["isScore"] is False


def test_a_point_for_several_steps_has_the_spread_of_all_their_answers(tmp_path):
    folder = make_rewards(make_run(tmp_path, SKILLS), "paft", steps=2 * POINTS)
    rewrite(folder, lambda row: row | ({"reward": 0.2, "reward_std": 0.1} if row["step"] % 2 else {"reward": 0.6, "reward_std": 0.3}))  # fmt: skip
    points = rewards_of(folder)["points"]
    assert len(points) == POINTS
    answers = [0.1, 0.3, 0.3, 0.9]
    assert points[0][1:3] == [0.4, round(statistics.pstdev(answers), 4)]


def test_rows_without_a_number_are_left_out_of_the_curves(tmp_path):
    folder = make_rewards(make_run(tmp_path, SKILLS), "paft")
    rewrite(folder, lambda row: row | ({"reward": None} if row["step"] == 1 else {"length": float("nan")} if row["step"] == 2 else {}))  # fmt: skip
    write_report(folder)
    assert [point[0] for point in rewards_of(folder)["points"]][:2] == [3, 4]
