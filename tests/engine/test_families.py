"""Each architecture of docs/architectures.md runs as its line says, and rows longer than a window are right-padded."""

import sys

import pytest
import torch
import transformers
from packaging.version import Version
from peft import LoraConfig, get_peft_model

from conftest import ROOT, make_model, make_tokenizer
from paft.engine.engine import Engine
from paft.engine.pack import Row, answer_loss
from paft.engine.packable import attention_window, with_distant_branch
from paft.models.chat import ChatFormat
from paft.types import Conversation

sys.path.insert(0, str(ROOT / "benchmarks"))
from architectures import FAMILIES, WINDOW, check, read_table, way

FAST = ("Mistral 0.1", "Gemma 3")
TABLE = read_table((ROOT / "docs/architectures.md").read_text(encoding="utf-8"))
if Version(transformers.__version__) < Version("5.24"):
    TABLE["GPT-J"] = "packed, dense mask"


@pytest.mark.parametrize(
    "family", [family if family in FAST else pytest.param(family, marks=pytest.mark.medium) for family in FAMILIES]
)
def test_an_architecture_gives_the_results_of_each_row_alone_as_its_line_in_the_docs_says(family):
    found = check(family)
    assert not [value for value in found.values() if "differs" in value], found
    assert way(found) == TABLE[family]


def test_the_table_holds_no_other_architecture():
    assert set(TABLE) == set(FAMILIES)


def windowed(kind: str = "mistral", **changes) -> tuple[Engine, list[str]]:
    messages: list[str] = []
    model = make_model(kind, **({"sliding_window": WINDOW} | changes))
    return Engine(model, ChatFormat(make_tokenizer(None), "none"), say=messages.append), messages


def row(tokens: int, start: int = 40) -> Row:
    """A row of so many input tokens."""
    return Row([5, 9, *[start + i % 50 for i in range(tokens - 1)]], 2)


def test_the_one_batch_with_a_row_longer_than_the_window_is_padded_and_the_first_is_reported():
    engine, messages = windowed()
    engine.choose_batch_format([row(20), row(200)])  # checked on the beginning that fits
    assert engine.batch_format == "tree"
    assert messages == []
    batches = [[row(20), row(WINDOW, 60)], [row(20), row(WINDOW + 1, 60)], [row(300), row(5)], [row(30), row(31)]]
    assert [engine.inputs(rows)["attention_mask"].dim() for rows in batches] == [4, 2, 2, 4]
    assert messages == [
        f"rows longer than this model's attention window of {WINDOW} tokens run with right-padded batches, which "
        f"is slower; the first has {WINDOW + 1}"
    ]


def test_an_answer_that_may_grow_past_the_window_is_generated_in_padded_rows_and_the_others_packed():
    engine, messages = windowed()
    prompts = ["ab", "x" * (WINDOW - 8), "y" * (WINDOW - 7), "abc"]
    list(engine.generate([Conversation("ab")], 9))
    assert engine.batch_format == "tree"
    shapes = []
    engine.model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    found = [g.text for batch in engine.generate([Conversation(p) for p in prompts], 9) for g in batch]
    assert (1, WINDOW - 7) in shapes  # by itself
    assert len(messages) == 1
    assert found == [g.text for p in prompts for batch in engine.generate([Conversation(p)], 9) for g in batch]


def test_a_layer_that_hides_what_lies_far_away_in_packed_order_is_found(monkeypatch):
    """As a model does that makes its window by packed index: the shared beginning is out of sight."""
    engine, messages = windowed()
    forward = engine.model.forward

    def by_index(input_ids=None, attention_mask=None, position_ids=None, logits_to_keep=0, **kwargs):
        queries, keys = input_ids.shape[1], attention_mask.shape[-1]
        if attention_mask.dim() == 4:
            far = torch.arange(keys) <= torch.arange(keys - queries, keys)[:, None] - WINDOW
            attention_mask = attention_mask.masked_fill(far, torch.finfo(attention_mask.dtype).min)
        kwargs |= {"position_ids": position_ids, "logits_to_keep": logits_to_keep}
        return forward(input_ids=input_ids, attention_mask=attention_mask, **kwargs)

    monkeypatch.setattr("paft.engine.engine.TREE_ATTENTION", {})  # its attention takes no such mask
    monkeypatch.setattr(engine.model, "forward", by_index)
    engine.choose_batch_format([row(10), row(12, 60)])  # short rows, of which each sees all of itself
    assert engine.batch_format == "padded"
    assert "differ by" in messages[0]


def test_a_mask_or_keys_cut_to_the_window_are_refused_by_the_attention_of_a_tree(monkeypatch):
    engine, messages = windowed()
    layer = engine.model.model.layers[0].self_attn
    forward = layer.forward

    def cut(*args, attention_mask=None, **kwargs):
        if attention_mask is not None and attention_mask.dtype == torch.int64:
            attention_mask = attention_mask[..., -4:]
        return forward(*args, attention_mask=attention_mask, **kwargs)

    layer.forward = cut
    monkeypatch.setattr(engine, "say", messages.append)
    engine._choose_batch_format([row(20), row(24, 60)], ("tree",))
    assert "a layer attends to" in messages[0]


def test_a_dense_mask_is_not_trusted_where_checking_it_would_take_more_than_a_batch(monkeypatch):
    engine, messages = windowed()
    engine.batch_tokens = WINDOW - 1
    monkeypatch.setattr("paft.engine.engine.TREE_ATTENTION", {})
    engine.choose_batch_format([row(10), row(12, 60)])
    assert engine.batch_format == "padded"
    assert "too long to check" in messages[0]


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({"sliding_window": None}, None),
        ({"sliding_window": 4096}, None),  # as many as the model has positions, or more
        ({"sliding_window": 100}, 100),
    ],
)
def test_the_window_is_that_of_the_config(changes, window):
    assert attention_window(make_model("mistral", **changes).config) == window


def test_the_check_sees_the_beginning_of_a_row_from_as_far_as_asked():
    rows = with_distant_branch([row(6), row(9, 60)], 48)
    tree = sorted(tuple(each.ids[:-1]) for each in rows)
    assert rows[:2] == [row(6), row(9, 60)]
    assert len(rows[2].ids) == 49
    assert tree[-1] == tuple(row(9, 60).ids[:-1])
    assert tree[-2][:5] == tree[-1][:5]


@pytest.mark.slow
def test_gemma_3_gives_the_same_losses_gradients_scores_and_tokens_as_right_padded(gemma3):
    """The packed rows are longer than the window of 512, so their beginning lies outside of it in packed order."""
    model, tokenizer = gemma3
    lora = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(0)
    model = get_peft_model(model, lora).eval()
    messages: list[str] = []
    format = ChatFormat(tokenizer, "none")
    engine, padded = Engine(model, format, say=messages.append), Engine(model, format, say=messages.append)
    padded.batch_format = "padded"
    start = "The following sentences are about animals, and each is answered with one word. " * 6
    questions = [
        Conversation(f"{start}{name} are {'very ' * 45}large. What are they?")
        for name in ("Bears", "Whales", "Elephants", "Trees", "Houses", "Mountains", "Ships", "Planets")
    ]
    answers = [" animals", " things"]
    rows = [engine.row(prompt, answer) for prompt in format.prompts(questions) for answer in answers]
    engine.choose_batch_format(rows[:4])
    assert (engine.batch_format, engine.window) == ("tree", 512)
    assert engine.packed(rows)["input_ids"].shape[1] > 512 > max(len(each.ids) for each in rows)
    losses, gradients = [], []
    for each in (engine, padded):
        model.zero_grad()
        inputs = each.inputs(rows)
        loss = answer_loss(each.forward(inputs), inputs.pop("labels"), None)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert (gradients[0] - gradients[1]).abs().max() < 1e-3 * gradients[1].abs().max()
    results = []
    for each in (engine, padded):
        scores = [s for batch in each.score(questions, [answers] * len(questions)) for row in batch for s in row]
        results.append((torch.tensor(scores), [g for batch in each.generate(questions, 12) for g in batch]))
    assert (results[0][0] - results[1][0]).abs().max() < 1e-3
    assert results[0][1] == results[1][1]
    assert messages == []
    long = [*questions[:2], Conversation(start * 6 + "Bears are large. What are they?")]
    results = [
        [s for batch in each.score(long, [answers] * 3) for row in batch for s in row] for each in (engine, padded)
    ]
    assert results[0] == pytest.approx(results[1], abs=1e-3)
    assert [message.split(" of ")[1][:10] for message in messages] == ["512 tokens"]
