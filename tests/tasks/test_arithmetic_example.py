"""``examples/arithmetic.py``: what it writes can be run."""

import subprocess
import sys

from conftest import ROOT
from paft.config.load import load_config
from paft.prompts.prepare import prepare_prompts
from paft.scoring.registry import make_scorers
from paft.tasks.load import load_task


def test_the_example_writes_a_task_that_fits_its_prompts_and_its_scorer(tmp_path):
    subprocess.run([sys.executable, ROOT / "examples/arithmetic.py", tmp_path], check=True, capture_output=True)
    config = load_config(tmp_path / "config.yaml")
    task, train, test = load_task(config.task)
    assert (len(train), len(test)) == (800, 200)
    assert not {e.fields["problem"] for e in train} & {e.fields["problem"] for e in test}
    sets = prepare_prompts(config.prompts, task, train + test, {"prompts.train": ["paft"]}, 0)
    assert (len(sets.train), len(sets.test), sets.screened) == (40, 12, [])
    [scorer] = make_scorers(config.task.scorer, task)
    assert all(scorer.score(f"It is {task.target(e)}.", e).value == 1 for e in test)
