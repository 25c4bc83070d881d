"""The built-in samplers: what each draws, and that each is seeded, resumable and blind to accumulation."""

import math
from collections import Counter

import pytest
from test_training import EXAMPLES, TASK, adapter, engine, fit, losses, stopped_at

from paft.errors import UserError, WorkError
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.training.samplers import MixedSampler, UniformSampler, draw_prompts, make_sampler
from paft.training.samplers.dropout import bare_prompt
from paft.types import Conversation, Example, Prompt

PROMPTS = [
    Prompt("form 0: {thing}"),
    Prompt("Which colour has the following thing, please?\n{thing}\nColour:"),
    Prompt("{thing}", system="Say one of: {choices}"),
    Prompt("{choices}: which of them is the colour of {thing}?"),
    Prompt("{thing}. Say red, green or blue."),
    Prompt("colour of {thing} =>"),
    Prompt("Options\n{choices}\n\n{thing}"),
]
SAMPLERS = {
    "mixed": {"name": "mixed", "prompts_per_step": 3},
    "mixed, one per example": "mixed",
    "dropout": {"name": "dropout", "p": 0.4, "prompts_per_step": 2},
    "dropout over uniform": {"name": "dropout", "over": "uniform", "p": 0.4},
    "curriculum by loss": {"name": "curriculum", "start": 0.3, "prompts_per_step": 2},
    "curriculum by number": {"name": "curriculum", "order": "few-to-many", "start": 0.3},
    "importance by prompt": {"name": "importance", "power": 4},
    "importance by trait": {"name": "importance", "by": "trait", "power": 4},
    "group-dro": {"name": "group-dro", "eta": 1.0, "prompts_per_step": 3},
    "hardest": {"name": "hardest", "prompts_per_step": 3},
}


def make(setting, prompts=PROMPTS, *, task=TASK, size=8, K=2, steps=10, seed=0):
    return make_sampler(setting, prompts, K=K, steps_per_epoch=steps, seed=seed, task=task, examples_per_step=size)


def ids(log):
    return [row["prompt_ids"] for row in log]


def by_length(prompts, examples):
    """Losses that stand in for a model's: long prompts are hard."""
    return [[len(prompt.text) + int(example.id) / 100 for example in examples] for prompt in prompts]


@pytest.fixture(scope="module", params=SAMPLERS.values(), ids=SAMPLERS)
def setting(request):
    return request.param


@pytest.fixture(scope="module")
def whole(setting, tmp_path_factory):
    """The folder and the log of an uninterrupted training with a sampler."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, fit(folder, PROMPTS, save_steps=2, sampler=setting)


@pytest.mark.medium
def test_another_seed_draws_other_prompts_with_every_sampler(tmp_path, setting, whole):
    _, log = whole
    assert ids(fit(tmp_path, PROMPTS, sampler=setting, seed=1)) != ids(log)
    assert [row["examples"] for row in log] == [4, 4, 3] * 3


@pytest.mark.medium
def test_accumulation_is_a_larger_batch_to_every_sampler(tmp_path, setting, whole):
    _, log = whole
    parts = fit(tmp_path, PROMPTS, batch_size=2, gradient_accumulation_steps=2, sampler=setting)
    assert ids(parts) == ids(log)
    assert losses(parts) == pytest.approx(losses(log), abs=1e-4)
    assert [row["examples"] for row in parts] == [row["examples"] for row in log]


@pytest.mark.medium
@pytest.mark.parametrize("stop", [3, 4])
def test_resumed_is_uninterrupted_with_every_sampler(tmp_path, monkeypatch, setting, whole, stop):
    folder, log = whole
    with stopped_at(stop, monkeypatch):
        fit(tmp_path, PROMPTS, save_steps=2, sampler=setting)
    resumed = fit(tmp_path, PROMPTS, save_steps=2, sampler=setting)
    assert ids(resumed) == ids(log)
    assert losses(resumed) == losses(log)
    assert [row["tokens"] for row in resumed] == [row["tokens"] for row in log]
    for name, tensor in adapter(folder).items():
        assert tensor.equal(adapter(tmp_path)[name])


def test_mixed_spreads_a_step_over_its_prompts_evenly_and_side_by_side():
    sampler = make({"name": "mixed", "prompts_per_step": 3})
    for step in range(20):
        drawn = [prompt.id for prompt in sampler.draw(step, EXAMPLES[:8])]
        assert sorted(Counter(drawn).values()) == [2, 3, 3]
        assert drawn == sorted(drawn, key=drawn.index)  # in blocks
    assert len({prompt for step in range(40) for prompt in sampler.draw(step, EXAMPLES[:8])}) == len(PROMPTS)


def test_mixed_gives_each_example_a_prompt_of_its_own_and_all_prompts_where_they_are_fewer():
    examples = [*EXAMPLES, *EXAMPLES]
    assert len(set(make("mixed").draw(0, EXAMPLES[:7]))) == 7
    assert sorted(Counter(make("mixed", size=22).draw(0, examples)).values()) == [3, 3, 3, 3, 3, 3, 4]
    assert len(set(make({"name": "mixed", "prompts_per_step": 4}).draw(0, EXAMPLES[:3]))) == 3


@pytest.mark.parametrize("name", ["mixed", "dropout", "curriculum", "importance", "group-dro", "hardest"])
def test_more_prompts_than_examples_in_a_step_are_refused_with_the_numbers(name):
    with pytest.raises(
        UserError, match=r"training\.prompts_per_step: 9 prompts for the 8 examples of an optimiser"
    ):
        make({"name": name, "prompts_per_step": 9})
    make({"name": name, "prompts_per_step": 8})


def test_uniform_takes_no_number_of_prompts():
    with pytest.raises(UserError, match=r"training.prompts_per_step: the sampler 'uniform' takes none; leave it"):
        make({"name": "uniform", "prompts_per_step": 2})
    with pytest.raises(UserError, match=r"training.prompts_per_step: 2 prompts, but dropout over uniform"):
        make({"name": "dropout", "over": "uniform", "prompts_per_step": 2})


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"name": "mixed", "prompts_per_step": 0}, "training.prompts_per_step takes a whole number of 1 or more"),
        (
            {"name": "mixed", "prompt_per_step": 2},
            "training.sampler.prompt_per_step is unknown; did you mean 'pro",
        ),
        ({"name": "dropout", "p": 1.2}, "training.sampler.p takes a number from 0 to 1; found 1.2"),
        ({"name": "dropout", "over": "hardest"}, "training.sampler.over takes mixed or uniform; found 'hardest'"),
        ({"name": "curriculum", "order": "hard"}, "training.sampler.order takes easy-to-hard or few-to-many"),
        ({"name": "importance", "by": "model"}, "training.sampler.by takes prompt or trait; found 'model'"),
        ({"name": "group-dro", "eta": "x"}, "training.sampler.eta takes a number of 0 or more; found 'x'"),
        ({"name": "hardest", "prompts_per_step": 1}, "training.prompts_per_step: hardest compares prompts; use 2"),
        ({"name": "hardest", "seed": 1}, "training.sampler.seed is unknown"),
    ],
)
def test_a_wrong_setting_of_a_sampler_names_its_key(setting, line):
    with pytest.raises(UserError, match=f"config key {line}"):
        make(setting)


def test_dropout_replaces_the_share_p_of_the_prompts_and_nothing_else():
    base, sampler = make("mixed"), make({"name": "dropout", "p": 0.25})
    bare = 0
    for step in range(200):
        for before, after in zip(base.draw(step, EXAMPLES[:8]), sampler.draw(step, EXAMPLES[:8]), strict=True):
            assert after in (before, sampler.bare)
            bare += after == sampler.bare
    assert bare / 1600 == pytest.approx(0.25, abs=0.04)
    uniform, none = make("uniform"), make({"name": "dropout", "p": 0, "over": "uniform"})
    assert all(none.draw(step, EXAMPLES) == uniform.draw(step, EXAMPLES) for step in range(20))


def test_of_the_copies_of_an_example_one_at_most_comes_without_a_prompt():
    sampler = make({"name": "dropout", "p": 0.9})
    copies = [example for example in EXAMPLES[:4] for _ in range(2)]
    for step in range(50):
        drawn = sampler.draw(step, copies)
        assert all({drawn[i], drawn[i + 1]} != {sampler.bare} for i in range(0, 8, 2))


def test_the_bare_prompt_shows_the_fields_and_own_options_alone():
    labels = Task("t", ("first", "second"), ("yes", "no"), "label", 0.85, 2)
    own = Task("t", ("first",), None, "letter", 0.85, 2)
    text = Task("t", ("first",), None, "text", 0.85, 0)
    example = Example("0", {"first": "one {x}", "second": "two"}, ("yes", "no"), 0)
    assert render(bare_prompt(labels), labels, example) == Conversation("one {x}\ntwo")
    assert render(bare_prompt(own), own, example) == Conversation("one {x}\nA. yes\nB. no")
    assert render(bare_prompt(text), text, example) == Conversation("one {x}")


def test_a_bare_prompt_is_logged_and_a_strange_one_still_refused(tmp_path):
    log = fit(tmp_path, PROMPTS, sampler={"name": "dropout", "p": 1})
    assert ids(log) == [[bare_prompt(TASK).id]] * 9
    sampler = make("dropout")
    allowed = frozenset((*PROMPTS, *sampler.extra_prompts))
    sampler.bare = Prompt("another")
    with pytest.raises(WorkError, match="which is not one of the training prompts"):
        [draw_prompts(sampler, step, EXAMPLES, allowed) for step in range(9)]


def test_easy_to_hard_orders_by_the_first_models_loss_and_grows_with_the_root_of_time():
    sampler = make({"name": "curriculum", "start": 0.2, "epochs": 2, "prompts_per_step": 1})
    calls = []
    sampler.bind(lambda prompts, examples: calls.append(len(examples)) or by_length(prompts, examples))
    easiest = sorted(PROMPTS, key=lambda prompt: len(prompt.text))
    seen = [set() for _ in range(21)]
    for step in range(21):
        for _ in range(30):
            seen[step] |= set(sampler.draw(step, EXAMPLES[:1]))
        share = math.sqrt(0.04 + 0.96 * step / 20)
        assert sampler.in_use(step) == math.ceil(share * 7 - 1e-9)
        assert seen[step] <= set(easiest[: sampler.in_use(step)])
    assert calls == [1]
    assert sampler.in_use(20) == sampler.in_use(100) == 7
    resumed = make({"name": "curriculum", "start": 0.2, "epochs": 2, "prompts_per_step": 1})
    resumed.load_state_dict(sampler.state_dict())
    assert [resumed.draw(s, EXAMPLES[:1]) for s in range(9)] == [sampler.draw(s, EXAMPLES[:1]) for s in range(9)]


def test_few_to_many_needs_no_losses_and_draws_from_no_more_prompts_than_are_in_use():
    sampler = make({"name": "curriculum", "order": "few-to-many", "start": 0, "prompts_per_step": 3})
    assert sampler.state_dict() == {}
    first = set(sampler.draw(0, EXAMPLES[:6]))
    assert len(first) == sampler.in_use(0) == 1
    drawn = [len(set(sampler.draw(step, EXAMPLES[:6]))) for step in range(20)]
    assert drawn == [min(3, sampler.in_use(step)) for step in range(20)]
    other = make({"name": "curriculum", "order": "few-to-many", "start": 0, "prompts_per_step": 3}, seed=1)
    assert set(other.draw(0, EXAMPLES[:6])) != first


@pytest.mark.parametrize("name", ["curriculum", "hardest"])
def test_a_sampler_without_a_model_says_so(name):
    with pytest.raises(WorkError, match=f"the sampler {name} was not bound to a model"):
        make(name).draw(0, EXAMPLES[:8])


def test_importance_draws_in_proportion_to_the_running_loss():
    sampler = make({"name": "importance", "rate": 0.5, "uniform": 0.3, "power": 2})
    assert sampler.probabilities() == pytest.approx([1 / 7] * 7)
    sampler.observe(0, [PROMPTS[0], PROMPTS[0], PROMPTS[1]], [2.0, 4.0, 1.0])
    sampler.observe(1, [PROMPTS[0]], [1.0])
    running = [2.0, 1.0, *[1.5] * 5]  # unseen: the mean of those that were seen
    total = sum(loss**2 for loss in running)
    assert sampler.probabilities() == pytest.approx([0.3 / 7 + 0.7 * loss**2 / total for loss in running])
    drawn = Counter(prompt for step in range(2000) for prompt in sampler.draw(step, EXAMPLES[:4]))
    for prompt, probability in zip(PROMPTS, sampler.probabilities(), strict=True):
        assert drawn[prompt] / 8000 == pytest.approx(probability, abs=0.02)


def test_importance_by_trait_reaches_prompts_that_were_never_seen():
    with_system = Prompt("Now: {thing}", system="Choose from {choices}.")
    sampler = make({"name": "importance", "by": "trait", "uniform": 0}, [*PROMPTS, with_system])
    sampler.observe(0, [PROMPTS[2], PROMPTS[0]], [5.0, 1.0])  # the one with a system text is hard
    probabilities = dict(zip(sampler.prompts, sampler.probabilities(), strict=True))
    assert probabilities[with_system] > 1.5 * probabilities[PROMPTS[5]]


def test_group_dro_moves_q_as_the_paper_does():
    sampler = make({"name": "group-dro", "eta": 0.5})
    before = sampler.q()
    assert sum(before.values()) == pytest.approx(1)
    assert len(set(before.values())) == 1
    sampler.observe(0, PROMPTS, [float(i) for i in range(7)])
    means = {
        group: sum(PROMPTS.index(prompt) for prompt in members) / len(members)
        for group, members in sampler.members.items()
    }
    moved = {group: q * math.exp(0.5 * means[group]) for group, q in before.items()}
    total = sum(moved.values())
    assert sampler.q() == pytest.approx({group: value / total for group, value in moved.items()})
    again = make({"name": "group-dro", "eta": 0.5})
    again.load_state_dict(sampler.state_dict())
    assert again.draw(3, EXAMPLES[:8]) == sampler.draw(3, EXAMPLES[:8])


def test_group_dro_draws_the_groups_that_do_worst():
    sampler = make({"name": "group-dro", "eta": 2.0})
    for step in range(20):
        drawn = sampler.draw(step, EXAMPLES[:8])
        sampler.observe(step, drawn, [2.0 if prompt.system else 0.1 for prompt in drawn])
    late = [prompt for step in range(20, 60) for prompt in sampler.draw(step, EXAMPLES[:8])]
    assert sum(prompt.system is not None for prompt in late) > 0.9 * len(late)


@pytest.mark.parametrize("setting", ["group-dro", {"name": "importance", "by": "trait"}])
def test_traits_that_all_prompts_share_are_refused(setting):
    alike = [Prompt(f"form {i}: {{thing}}") for i in range(5)]
    with pytest.raises(UserError, match=r"needs prompts that differ in a trait, but the 5 training prompts share"):
        make(setting, alike)
    make("importance", alike)


def test_hardest_gives_the_prompt_with_the_highest_loss_no_more_than_its_share():
    sampler = make({"name": "hardest", "prompts_per_step": 4, "share": 0.5})
    asked = []
    sampler.bind(lambda prompts, examples: asked.append((prompts, examples)) or by_length(prompts, examples))
    for step in range(20):
        drawn = sampler.draw(step, EXAMPLES[:8])
        prompts, examples = asked[-1]
        assert len(set(prompts)) == 4
        assert len(examples) == 2
        assert set(examples) <= set(EXAMPLES[:8])
        hardest = max(prompts, key=lambda prompt: len(prompt.text))
        assert drawn[:4] == [hardest] * 4
        assert set(drawn) == set(prompts)
        assert hardest not in drawn[4:]
    assert len({prompt for step in range(20) for prompt in sampler.draw(step, EXAMPLES[:1])}) > 2
    alone = make({"name": "hardest", "prompts_per_step": 4, "share": 1}, PROMPTS[:1])
    alone.bind(by_length)
    assert alone.draw(0, EXAMPLES[:5]) == PROMPTS[:1] * 5


def test_hardest_compares_by_the_adapter_of_that_moment(tmp_path, monkeypatch):
    """If all examples get the hardest prompt, the loss of the step is the one that it was chosen by."""
    from paft.training.probe import ModelLosses

    expected = []
    call = ModelLosses.__call__

    def recorded(self, prompts, examples):
        result = call(self, prompts, examples)
        tokens = [len(TASK.target(example)) + 1 for example in examples]
        sums = [sum(map(math.prod, zip(row, tokens, strict=True))) for row in result]
        expected.append(sums[max(range(len(result)), key=lambda i: sum(result[i]))] / sum(tokens))
        return result

    monkeypatch.setattr(ModelLosses, "__call__", recorded)
    setting = {"name": "hardest", "prompts_per_step": 2, "share": 1}
    log = fit(tmp_path, PROMPTS, sampler=setting, batch_size=2, num_train_epochs=1)
    assert losses(log) == pytest.approx(expected, abs=1e-3)
    assert losses(log)[-1] < losses(log)[0]


@pytest.mark.parametrize("batch_format", ["tree", "padded"])
@pytest.mark.parametrize("room", [10, 10_000])
def test_the_losses_of_a_model_are_those_of_each_row_alone(batch_format, room):
    from paft.training.data import rows
    from paft.training.probe import ModelLosses

    probed = engine()
    probed.batch_tokens = room
    probed.batch_format = "padded"
    expected = [
        [-probed.log_probs(rows(probed, TASK, [prompt], [e]))[0].mean().item() for e in EXAMPLES[:3]]
        for prompt in PROMPTS
    ]
    probed.batch_format = None if batch_format == "tree" else "padded"
    probed.choose_batch_format(rows(probed, TASK, PROMPTS[:2], EXAMPLES[:2]))
    assert probed.batch_format == batch_format
    counted = []
    hook = probed.model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: counted.append((inputs[0] != 1).sum().item())  # without padding
    )
    probed.model.train()
    probe = ModelLosses(probed, TASK, processes=1)
    result = probe(PROMPTS, EXAMPLES[:3])
    hook.remove()
    assert probed.model.training
    for left, right in zip(result, expected, strict=True):
        assert left == pytest.approx(right, abs=1e-4)
    assert probe.tokens == sum(counted)
    assert (len(counted) > 1) == (room == 10)


@pytest.mark.parametrize("name", ["uniform", "hardest", "curriculum"])
def test_the_log_counts_the_tokens_of_every_forward(tmp_path, name):
    from paft.training.data import rows

    counting = engine()
    counting.choose_batch_format(rows(counting, TASK, PROMPTS[:2], EXAMPLES[:2]))
    counted = []
    counting.model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: counted.append(inputs[0].numel())
    )
    log = fit(tmp_path, PROMPTS, sampler=name, model=counting)
    assert sum(row["tokens"] for row in log) == sum(counted)
    assert len(counted) > 9 or name == "uniform"


def test_samplers_are_importable_as_before():
    from paft.training import samplers

    for name in ("PromptSampler", "UniformSampler", "SAMPLERS", "make_sampler", "draw_prompts"):
        assert hasattr(samplers, name)
    assert isinstance(make("mixed"), MixedSampler)
    assert isinstance(make("uniform"), UniformSampler)
