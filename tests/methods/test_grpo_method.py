"""GRPO as a method of a run: beside others, from their adapters, and every mistake is one line before it starts."""

import json
import shutil
import sys

import pytest

from command import assert_refused, paft_here
from paft.config.load import load_config
from paft.utils.console import Console
from reported_runs import run

SETTINGS = "num_generations: 4, max_completion_length: 8, reward: 'rewards:odd'"
REWARDS = """\
def odd(completion_ids, thing, target, options, prompts):
    assert all(name in prompt for name, prompt in zip(thing, prompts)) and target[0] in options[0]
    return [sum(token % 2 for token in ids) / len(ids) for ids in completion_ids]

def constant(completions):
    return [0.5] * len(completions)

def priced(completions, price):
    return [0.0] * len(completions)
"""


@pytest.fixture
def rewarded(project, monkeypatch):
    monkeypatch.delitem(sys.modules, "rewards", raising=False)  # of an earlier test
    (project / "rewards.py").write_text(REWARDS)
    return project


def grpo(more="", settings=SETTINGS, before="base, paft, "):
    return f"methods=[{before}{{name: grpo-after, method: grpo, {settings}{more}}}]"


def work(project, output, *overrides):
    run(load_config(project / "config.yaml", list(overrides)), project / output, Console(quiet=True))
    return json.loads((project / output / "report.json").read_text())


def log(project, output, method):
    return [json.loads(line) for line in (project / output / "methods" / method / "train.jsonl").open()]


def test_grpo_is_trained_from_paft_and_reported_beside_it(rewarded):
    report = work(rewarded, "out", grpo(", init: paft"), "training.sampler=mixed")
    assert list(report["methods"]) == ["base", "paft", "grpo-after"]
    rows = log(rewarded, "out", "grpo-after")
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert len(rows[0]["prompt_ids"]) == 4
    before = (rewarded / "out/report.json").read_text()
    work(rewarded, "out", grpo(", init: paft"), "training.sampler=mixed")  # nothing is left to do
    assert (rewarded / "out/report.json").read_text() == before


def test_the_step_with_the_highest_validation_reward_is_kept_and_reported(rewarded):
    report = work(rewarded, "out", grpo(", eval_steps: 3", before="base, "), "training.sampler=mixed")
    rows = [row for row in log(rewarded, "out", "grpo-after") if "eval_reward" in row]
    assert [row["step"] for row in rows] == [3, 6, 9, 10]
    best = max(rows, key=lambda row: row["eval_reward"])
    kept = {"step": best["step"], "of": 10, "reward": best["eval_reward"]}
    assert report["methods"]["grpo-after"]["kept_step"] == kept
    trained_on = {prompt for row in log(rewarded, "out", "grpo-after") for prompt in row["prompt_ids"]}
    assert len(trained_on) == 4, "one of the five is held back"


def test_what_grpo_starts_from_and_is_rewarded_by_is_part_of_its_result(rewarded):
    work(rewarded, "out", grpo(", init: paft"))
    shutil.rmtree(rewarded / "out/methods/paft")
    (rewarded / "rewards.py").write_text(REWARDS.replace("% 2", "% 3"))
    refused = paft_here("run", "config.yaml", grpo(", init: paft"), "training.epochs=1", "-o", "out", cwd=rewarded)
    assert_refused(
        refused, "methods.grpo-after.init (what it starts from)", "methods.grpo-after.reward (its code)"
    )
    refused = paft_here("run", "config.yaml", grpo(", init: paft"), "evaluation.max_new_tokens=9", "-o", "out",
                        cwd=rewarded)  # fmt: skip
    assert_refused(refused, "evaluation.max_new_tokens (was 256, now 9)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([grpo(settings="num_generations: 1")], ["methods.grpo-after.num_generations", "1 answer has no other"]),
        ([grpo(", max_completion_length: 3", settings="num_generations: 4")],
         ["methods.grpo-after.max_completion_length: no answer of 3 tokens can be right", "has 4"]),
        ([grpo(settings="num_generations: 4"), "evaluation.max_new_tokens=2"],
         ["evaluation.max_new_tokens: no answer of 2 tokens"]),
        ([grpo(", init: paff")], ["methods.grpo-after.init: 'paff' is no method", "did you mean 'paft'?"]),
        ([grpo(", init: base")], ["'base' is not trained; leave init out"]),
        (["methods=[{name: first, method: grpo, init: paft}, paft]"], ["list 'paft' before 'first'"]),
        ([grpo(", init: other")], ["was made for another model", "some/model"]),
        ([grpo(", init: wide")], ["has lora_alpha 32, training.lora.alpha is 16; set it to the adapter's"]),
        ([grpo(settings="reward: 'rewards:none'")], ["methods.grpo-after.reward: 'rewards' has no 'none'"]),
        ([grpo(settings="reward: 'rewards:priced'")], ["needs the argument 'price'", "thing"]),
        ([grpo(settings="max_completion_length: 4, reward: 'rewards:constant'", before="")],
         ["nothing can be learned", "all have the reward 0.5", "start from PAFT with init: paft"]),
        ([grpo(), "training.objective=consistency", "training.sampler=mixed"], ["has a loss of its own"]),
        ([grpo(", num_iterations: 3")], ["training.save_steps: 4 is no multiple"]),
        ([grpo(", eval_steps: 2, eval_prompts: 9")], ["methods.grpo-after.eval_prompts: 9 of", "lower it"]),
        ([grpo(", eval_examples: 2")], ["methods.grpo-after.eval_examples", "without methods.grpo-after.eval_steps"]),
        ([grpo(), "training.eval_steps=2"], ["training.eval_steps cannot be set", "method grpo has a setting"]),
        ([grpo(), "training.sampler=importance"], ["learns from the loss of the right answer"]),
        ([grpo(", epsilon: -1")], ["methods.grpo-after.epsilon"]),
        ([grpo(), "model={path: some, base_url: 'http://localhost:1/v1'}"], ["cannot be fine-tuned"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(rewarded, changes, words):
    for name, base, alpha in (("other", "some/model", 16), ("wide", None, 32)):
        shutil.copytree(_adapter(rewarded), rewarded / name)
        file = rewarded / name / "adapter_config.json"
        config = json.loads(file.read_text())
        file.write_text(
            json.dumps(config | {"lora_alpha": alpha} | ({"base_model_name_or_path": base} if base else {}))
        )
    result = paft_here("run", "config.yaml", *changes, "training.epochs=1", "-o", "out", cwd=rewarded)
    assert_refused(result, *words)


def _adapter(project):
    """A real adapter of the tiny model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = project / "made"
    if not folder.is_dir():
        path = load_config(project / "config.yaml", []).model.path
        model = AutoModelForCausalLM.from_pretrained(path)
        settings = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        get_peft_model(model, settings).save_pretrained(folder)
    return folder
