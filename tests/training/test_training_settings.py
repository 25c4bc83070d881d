"""The keys of ``training`` for samplers and objectives, as whole runs read them."""

import json

import pytest

from conftest import write_rows
from paft.config.load import load_config
from paft.errors import UserError
from paft.training.samplers import with_prompts_per_step
from paft.utils.console import Console
from reported_runs import run

QUIET = Console(quiet=True)
QUICK = ("evaluation.examples=1", "training.epochs=1")


def start(project, *overrides):
    run(load_config(project / "config.yaml", [*QUICK, *overrides]), project / "run", QUIET)
    return project / "run"


def variant(training, name="new"):
    return f"methods=[{{name: {name}, method: paft, training: {{{training}}}}}]"


def log(folder, name="new"):
    return [json.loads(line) for line in (folder / f"methods/{name}/train.jsonl").read_text().splitlines()]


def fingerprint(folder, name="new"):
    return json.loads((folder / f"methods/{name}/fingerprint").read_text())["training"]


def test_a_variant_sets_the_sampler_and_the_prompts_of_a_step(project):
    folder = start(project, variant("sampler: mixed, prompts_per_step: 3"))
    assert all(len(row["prompt_ids"]) == 3 for row in log(folder))
    assert fingerprint(folder)["training.prompts_per_step"] == 3


def test_the_number_of_prompts_given_twice_is_refused():
    with pytest.raises(UserError, match=r"training\.prompts_per_step: 3 here, 2 in training\.sampler; leave one"):
        with_prompts_per_step({"name": "mixed", "prompts_per_step": 2}, 3)
    assert with_prompts_per_step("uniform", None) == "uniform"


@pytest.mark.parametrize(
    ("training", "line"),
    [
        (
            "sampler: mixed, prompts_per_step: 5",
            r"5 prompts for the 4 examples of an optimiser step; use at most 4",
        ),
        ("prompts_per_step: 2", r"training\.prompts_per_step: the sampler 'uniform' takes none"),
        (
            "objective: consistency",
            r"Consistency compares 2 prompts .* but the sampler UniformSampler gives a step 1",
        ),
        ("objective: calibration, gradient_accumulation_steps: 2", r"all rows of a step in one forward, .* are 2"),
        ("prompt_noise: 0", r"training\.prompt_noise: .*greater than 0"),
        ("neftune_noise_alpha: 5", r"training\.neftune_noise_alpha cannot be set: use training\.prompt_noise"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_trained(project, training, line):
    with pytest.raises(UserError, match=line):
        start(project, variant(training))
    assert not list(project.glob("run/methods/*/train.jsonl"))


def test_traits_that_all_training_prompts_share_are_refused_before_anything_is_trained(project):
    write_rows(project / "prompts/train.jsonl", [{"text": f"Now {word}: {{thing}}"} for word in "abcde"])
    with pytest.raises(UserError, match=r"group-dro needs prompts that differ in a trait"):
        start(project, "prompts.user=null", variant("sampler: group-dro"))


def test_a_method_of_one_prompt_keeps_its_sampler_and_is_checked_with_it(project):
    folder = start(project, "methods=[user]", "training.sampler=group-dro")
    assert {len(row["prompt_ids"]) for row in log(folder, "user")} == {1}
    shared = ("training.sampler=mixed", "training.objective=consistency")
    for method in ("user", "top-accuracy"):
        with pytest.raises(UserError, match=r"the sampler UniformSampler gives a step 1; .* on several prompts"):
            run(load_config(project / "config.yaml", [f"methods=[{method}]", *shared]), project / method, QUIET)
        assert not list(project.glob(f"{method}/methods/*/evaluations.jsonl"))


DROPPING = """
from paft.methods.paft import Paft

class Dropping(Paft):
    fixed_training = {"sampler": {"name": "dropout", "p": 0.5}}
"""


def test_a_sampler_that_a_method_always_trains_with_is_checked_against_the_test_prompts_too(project, monkeypatch):
    (project / "dropping.py").write_text(DROPPING)
    monkeypatch.syspath_prepend(project)
    write_rows(project / "prompts/test.jsonl", [{"text": "{thing}!"}, {"text": "What is {thing}?"}])
    with pytest.raises(
        UserError, match=r"the sampler of Dropping would train on the test prompt .*must be unseen"
    ):
        start(project, "methods=['dropping:Dropping']")


def test_the_bare_prompt_must_not_be_a_test_prompt(project):
    write_rows(project / "prompts/test.jsonl", [{"text": "{thing}!"}, {"text": "What is {thing}?"}])
    with pytest.raises(UserError, match=r"the sampler of new would train on the test prompt .*must be unseen"):
        start(project, variant("sampler: dropout"))
    start(project, variant("sampler: mixed"))


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        (
            "sampler: mixed",
            "sampler: mixed, prompts_per_step: 2",
            r"training\.prompts_per_step \(was not set, now 2\)",
        ),
        (
            "sampler: {name: dropout, p: 0.1}",
            "sampler: {name: dropout, p: 0.2}",
            r"training\.sampler\.p \(was 0\.1",
        ),
        (
            "sampler: group-dro",
            "sampler: {name: group-dro, eta: 1}",
            r"training\.sampler\.eta \(was not set, now 1",
        ),
        (
            "sampler: mixed, objective: consistency",
            "sampler: mixed, objective: {name: consistency, weight: 3}",
            r"training\.objective\.weight \(was not set, now 3",
        ),
        ("prompt_noise: 5", "prompt_noise: 6", r"training\.prompt_noise \(was 5\.0, now 6\.0"),
    ],
)
def test_a_changed_setting_of_a_sampler_or_objective_makes_another_result(project, first, second, key):
    folder = start(project, variant(first))
    with pytest.raises(UserError, match=key):
        start(project, variant(second))
    assert len(log(folder)) == 5


def test_settings_left_out_are_not_part_of_a_fingerprint(project):
    """So that runs that were started before a setting existed go on."""
    keys = fingerprint(start(project, "methods=[paft]"), "paft")
    assert not {key for key in keys if "prompts_per_step" in key or "prompt_noise" in key}


def test_a_variant_that_names_another_sampler_takes_none_of_the_first_ones_settings(project):
    folder = start(
        project,
        "training.sampler={name: importance, power: 2}",
        variant("sampler: {name: dropout, p: 0.5}"),
    )
    assert fingerprint(folder)["training.sampler.p"] == 0.5
    assert "training.sampler.power" not in fingerprint(folder)
