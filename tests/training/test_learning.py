"""Real learning: the embedded model, real text, a few dozen steps."""

import json
from functools import cache
from importlib import resources
from pathlib import Path

import pytest

from conftest import ROOT
from paft.config.load import load_config
from paft.utils.console import Console
from reported_runs import run

DEMO = Path(str(resources.files("paft.tasks"))) / "demo/config.yaml"
pytestmark = pytest.mark.embedded


def test_a_few_dozen_steps_of_the_embedded_model_learn_and_move_every_lora_weight(embedded, tmp_path):
    from safetensors.torch import load_file

    config = load_config(
        DEMO,
        ["methods=[paft]", "training.examples=144", "training.batch_size=6", "training.warmup_steps=0.05",
         "prompts.train={bank: trec, size: 12}", "prompts.test={bank: trec, size: 2}", "evaluation.examples=4"],
    )  # fmt: skip
    run(config, tmp_path / "run", Console(quiet=True))
    log = [json.loads(line) for line in (tmp_path / "run/methods/paft/train.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in log]
    assert len(losses) == 24
    assert sum(losses[-6:]) / 6 < 0.6 * sum(losses[:3]) / 3
    weights = load_file(tmp_path / "run/methods/paft/adapter/adapter_model.safetensors")
    assert len(weights) == 30 * 7 * 2
    assert all(tensor.abs().max() > 0 for tensor in weights.values())
    share = sum(row["prepare_seconds"] for row in log) / sum(row["seconds"] for row in log)
    assert share < 0.02


@pytest.fixture(scope="module")
def scores(embedded):
    """Return the scores of the options of 24 questions of the demo task, in a layout; None is the engine's."""
    from paft.config.model import ModelConfig
    from paft.engine.engine import Engine
    from paft.models.chat import ChatFormat
    from paft.models.load import load_model
    from paft.prompts.files import load_prompts
    from paft.prompts.template import render
    from paft.tasks.load import load_task

    config = load_config(DEMO)
    task, _, test = load_task(config.task)
    prompt = load_prompts(config.prompts.test, "test", 0)[0]

    @cache
    def scores_of(dtype, layout):
        model, tokenizer = load_model(ModelConfig(dtype=dtype))
        engine = Engine(model, ChatFormat(tokenizer))
        engine.batch_format = layout or engine.batch_format
        asked = test[:24]
        batches = engine.score([render(prompt, task, e) for e in asked], [task.candidates(e) for e in asked])
        found = [question for batch in batches for question in batch]
        assert layout or engine.batch_format == "tree"
        return found

    return scores_of


def test_the_embedded_model_scores_the_same_packed_and_padded(scores):
    """In float32 to the digit; in bfloat16, where every layout rounds in its own way, no worse than padded does."""
    import torch

    true = torch.tensor(scores("float32", "padded"))
    torch.testing.assert_close(torch.tensor(scores("float32", None)), true, atol=1e-3, rtol=1e-4)
    padded, tree = (torch.tensor(scores("bfloat16", layout)) for layout in ("padded", None))
    assert (tree - true).abs().mean() < 1.3 * (padded - true).abs().mean()


def test_in_bfloat16_packed_and_padded_pick_the_same_answer_but_once_in_24(scores):
    one, other = (scores("bfloat16", layout) for layout in (None, "padded"))
    assert sum(a.index(max(a)) == b.index(max(b)) for a, b in zip(one, other, strict=True)) >= 23


@pytest.mark.slow
def test_on_trec_paft_beats_the_fixed_prompt_on_unseen_prompts(embedded, shared, tmp_path):
    config = load_config(ROOT / "examples/trec.yaml", ["prompts.test={bank: trec, size: 12}"])
    config.evaluation.examples = 80
    run(config, tmp_path / "run", Console(quiet=True))
    report = json.loads((tmp_path / "run/report.json").read_text())["methods"]
    assert report["base"]["mean"] < 0.4 < report["user"]["mean"] < report["paft"]["mean"]
    assert report["paft"]["std"] < report["user"]["std"]
    assert report["paft"]["worst"] > report["user"]["worst"]
