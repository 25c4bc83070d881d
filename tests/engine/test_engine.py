"""The engine is exact: packed equals padded, and it knows the models it cannot pack."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tokenizers import normalizers
from torch.nn.attention import flex_attention as flex
from transformers import AddedToken, GPTNeoConfig, GPTNeoForCausalLM, RwkvConfig, RwkvForCausalLM

from conftest import CHAT_TEMPLATE, make_model, make_tokenizer
from paft.engine import attention, block_sparse
from paft.engine.attention import branches, visible
from paft.engine.engine import Engine
from paft.engine.pack import Row, TokenTree, answer_loss, padded
from paft.errors import TooLongError, UserError
from paft.models.chat import ChatFormat
from paft.models.local import LocalModel
from paft.models.model import before_stop
from paft.types import AnswerSettings, Conversation

ROWS = [
    Row([5, 9, 9, 30, 41, 0], 2),
    Row([5, 9, 9, 31, 0], 1),
    Row([5, 9, 9, 31, 60, 70, 80, 90, 0], 3),
    Row([5, 9, 9, 30, 42, 0], 2),
    Row([6, 9, 0], 2),
]
IDS = st.lists(st.integers(0, 4), min_size=1, max_size=8)


def loss(model, inputs):
    inputs = dict(inputs)
    labels = inputs.pop("labels")
    return answer_loss(model(**inputs, use_cache=False).logits, labels, None)


@given(st.lists(IDS, min_size=1, max_size=6))
def test_a_tree_holds_each_common_beginning_once_and_shows_each_row_its_own_past(rows):
    tree = TokenTree(rows)
    assert len(tree.ids) == len({tuple(row[: i + 1]) for row in rows for i in range(len(row))})
    shown = visible(torch.tensor(tree.ends), len(tree.ids))
    for row in rows:
        path = tree.path(row)
        assert [tree.ids[node] for node in path] == row
        assert [tree.depths[node] for node in path] == list(range(len(row)))
        for place, node in enumerate(path):
            assert shown[node].nonzero().flatten().tolist() == path[: place + 1]


@given(
    st.lists(IDS, min_size=1, max_size=8),
    st.integers(0, 3),
    st.sampled_from([0, 3, 2000]),
    st.sampled_from([2, 128]),
)
def test_branches_show_each_token_what_the_tree_shows_it(rows, cached, worth, size):
    tree = TokenTree(rows)
    nodes = len(tree.ids)
    ends = torch.tensor([cached + nodes] * cached + [cached + end for end in tree.ends])
    shown = torch.zeros(nodes, cached + nodes, dtype=torch.bool)
    with patch.object(attention, "_WORTH", worth), patch.object(attention, "_ROWS", size):
        tree_branches = branches(ends, nodes)
    for branch in tree_branches:
        own = slice(branch.start - cached, branch.end - cached)
        assert not shown[own].any()
        *above, (start, end) = branch.seen
        for first, last in above:
            shown[own, first:last] = True
        shown[own, start:end] = branch.bias == 0
        assert end == branch.end
        assert branch.end - branch.start < 2 * size
    assert torch.equal(shown, visible(ends, nodes))


@given(st.lists(IDS, min_size=1, max_size=8), st.integers(0, 9), st.sampled_from([2, 3, 128]))
def test_a_gpu_computes_the_blocks_of_a_tree_in_which_something_is_seen_and_no_other(rows, cached, size):
    tree = TokenTree(rows)
    nodes = len(tree.ids)
    ends = torch.tensor([cached + nodes] * cached + [cached + end for end in tree.ends])
    with patch.object(block_sparse, "BLOCK", size):
        blocks = block_sparse.block_mask(ends, nodes)
    pairs = visible(ends, nodes)
    seen = [[bool(block.any()) for block in row.split(size, dim=1)] for row in pairs.split(size)]
    assert blocks.to_dense()[0, 0].bool().tolist() == seen
    shown = [
        [bool(blocks.mask_mod(0, 0, i, j)) for j in range(cached + nodes)] for i in map(torch.tensor, range(nodes))
    ]
    assert shown == pairs.tolist()


@pytest.fixture
def uncompiled(monkeypatch):
    """FlexAttention in plain PyTorch, which has gradients on a CPU too once it is not told to refuse them."""
    monkeypatch.setattr(block_sparse, "_kernel", lambda: flex.flex_attention)
    monkeypatch.setattr(flex, "_validate_device", lambda *tensors: None)


def implementation(batch_format: str) -> str:
    return {"tree": attention.NAME, "block-sparse": block_sparse.NAME}.get(batch_format, "sdpa")


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("batch_format", "worth"), [("tree", 0), ("tree", 2000), ("dense", None), ("block-sparse", None)]
)
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma", "gpt2"])
def test_packed_and_padded_rows_give_the_same_loss_and_lora_gradients(kind, batch_format, worth, monkeypatch):
    if worth is not None:
        monkeypatch.setattr(attention, "_WORTH", worth)
    targets = ["c_attn"] if kind == "gpt2" else ["q_proj", "v_proj"]
    config = LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    one = Engine(get_peft_model(make_model(kind), config).eval(), ChatFormat(make_tokenizer()))
    gradients, losses = [], []
    for one.batch_format in (batch_format, "padded"):
        one.model.set_attn_implementation(implementation(one.batch_format))
        one.model.zero_grad()
        value = loss(one.model, one.inputs(ROWS))
        value.backward()
        losses.append(value.item())
        gradients.append({n: p.grad.clone() for n, p in one.model.named_parameters() if p.requires_grad})
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert len(gradients[0]) == (4 if kind == "gpt2" else 8)
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)


def test_attention_in_bfloat16_rounds_its_inputs_and_weights_only():
    torch.manual_seed(0)
    tree = TokenTree([[1] * 40 + [i] * 150 for i in range(2, 5)])
    nodes = len(tree.ids)
    heads = [torch.randn(1, count, nodes, 24).bfloat16() for count in (4, 2, 2)]  # scaled by no power of two
    ends = torch.tensor(tree.ends)
    mine, _ = attention.tree_attention(torch.nn.Module(), *heads, ends[None, None, None])
    q, k, v = (x.double() for x in heads)
    exact = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=visible(ends, nodes), enable_gqa=True
    ).transpose(1, 2)
    assert (mine - exact).abs().max() < 2**-7  # of values up to 4 in bfloat16: half a unit in the last place
    assert (mine - exact).abs().mean() < 2**-10


def engine(kind="llama", template=CHAT_TEMPLATE, **changes) -> Engine:
    tokenizer = make_tokenizer(template)
    return Engine(make_model(kind, **changes), ChatFormat(tokenizer, "auto" if template else "none"))


QUESTIONS = [Conversation("Is fire cold?"), Conversation("Is fire hot, or is it not?"), Conversation("Is")]
OPTIONS = [("yes", "no", "perhaps")] * 3


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("own", [attention.NAME, block_sparse.NAME])
@pytest.mark.parametrize(
    ("kind", "batch_tokens"), [("llama", 64), ("llama", 4096), ("qwen2", 4096), ("gemma", 4096), ("gpt2", 64)]
)
def test_scores_are_those_of_each_question_and_option_alone(kind, batch_tokens, own, monkeypatch):
    monkeypatch.setattr(attention, "NAME", own)  # as on a GPU
    one = engine(kind)
    one.batch_tokens = batch_tokens
    scores = [s for batch in one.score(QUESTIONS, OPTIONS) for s in batch]
    assert one.batch_format == "tree"
    for question, options, found in zip(QUESTIONS, OPTIONS, scores, strict=True):
        [prompt] = one.format.prompts([question])
        for option, score in zip(options, found, strict=True):
            answer = one.format.answer(option)
            logits = one.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            alone = sum(logits[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))
            assert score == pytest.approx(alone, abs=1e-4)


def test_an_option_that_begins_another_is_scored_with_the_end_of_the_answer():
    one = engine()
    [[[short, long]]] = list(one.score([QUESTIONS[0]], [("yes", "yes it is")]))
    [prompt] = one.format.prompts([QUESTIONS[0]])
    answer = one.format.answer("yes") + one.format.end
    logits = one.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    assert short == pytest.approx(
        sum(logits[len(prompt) + i - 1, t].item() for i, t in enumerate(answer)), abs=1e-4
    )
    assert long != short


@pytest.mark.parametrize(
    ("kind", "reason"), [("mamba", "no argument position_ids"), ("bloom", "no argument position_ids")]
)
def test_models_that_cannot_be_packed_are_found_and_scored_in_right_padded_batches(kind, reason):
    said: list[str] = []
    one = engine(kind)
    one.say = said.append
    rows = [Row(p + one.format.answer("no"), 2) for p in one.format.prompts(QUESTIONS)]
    one.choose_batch_format(rows)
    assert one.batch_format == "padded"
    assert said[0].startswith("this model runs with right-padded batches, which is slower: ")
    assert reason in said[0]
    [prompt] = one.format.prompts(QUESTIONS[:1])
    answer = one.format.answer("no")
    logits = one.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    alone = sum(logits[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))
    scores = [s for batch in one.score(QUESTIONS, OPTIONS) for s in batch]
    assert scores[0][1] == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("padded", [False, True])
def test_options_of_one_token_are_read_from_one_row_per_question(padded, monkeypatch):
    one = engine()
    if padded:
        monkeypatch.setattr(one, "choose_batch_format", lambda rows: setattr(one, "batch_format", "padded"))
    else:
        list(one.score(QUESTIONS, OPTIONS))
    prompts = one.format.prompts(QUESTIONS)
    tokens = []
    hook = one.model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    scores = [s for batch in one.score(QUESTIONS, [("A", "B", "C", "D")] * 3) for s in batch]
    hook.remove()
    assert sum(tokens) <= (3 * max(map(len, prompts)) if padded else sum(map(len, prompts)))
    with torch.no_grad():
        for prompt, found in zip(prompts, scores, strict=True):
            alone = one.model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
            expected = [alone[one.format.answer(letter)[0]].item() for letter in "ABCD"]
            assert found == pytest.approx(expected, abs=1e-4)


def test_a_model_that_ignores_the_mask_is_found_by_computing_both_ways():
    said: list[str] = []
    one = engine()
    one.say = said.append
    forward = one.model.forward

    def deaf(input_ids=None, position_ids=None, attention_mask=None, logits_to_keep=0, **kwargs):
        return forward(input_ids=input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **kwargs)

    one.model.forward = deaf
    letters = [("A", "B", "C")] * len(QUESTIONS)
    list(one.score(QUESTIONS, letters))  # of one token each: a question's tree is a single path
    assert one.batch_format == "padded"
    assert "differ by" in said[0]


def test_a_model_with_a_local_window_in_its_own_words_is_found():
    config = GPTNeoConfig(
        vocab_size=261, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    )
    said: list[str] = []
    one = Engine(GPTNeoForCausalLM(config).eval(), ChatFormat(make_tokenizer()), say=said.append)
    list(one.score(QUESTIONS, OPTIONS))
    assert one.batch_format == "padded"
    assert "it has local attention layers" in said[0]


@pytest.mark.filterwarnings("error::FutureWarning")
def test_a_model_gets_the_keys_of_a_shared_beginning_under_the_name_that_its_release_has():
    """transformers 5.24 warns of the name that releases before it have."""
    one = engine()
    assert list(one.score(QUESTIONS, OPTIONS))
    assert list(one.generate(QUESTIONS, 3))


def test_a_second_engine_on_a_model_runs_it_as_the_first_did():
    first = engine()
    list(first.score(QUESTIONS, OPTIONS))
    second = Engine(first.model, first.format)
    list(second.score(QUESTIONS, OPTIONS))
    assert (first.batch_format, second.batch_format) == ("tree", "tree")


def test_a_recurrent_model_that_hears_no_mask_generates_each_answer_as_if_alone():
    model = RwkvForCausalLM(RwkvConfig(vocab_size=261, hidden_size=32, num_hidden_layers=2)).eval()
    one = Engine(model, ChatFormat(make_tokenizer()), say=lambda line: None)
    together = [g.text for batch in one.generate(QUESTIONS, 6) for g in batch]
    assert together == [g.text for q in QUESTIONS for batch in one.generate([q], 6) for g in batch]


def test_dropout_of_a_model_in_training_mode_does_not_tell_the_ways_apart():
    one = engine("gpt2")
    assert one.model.config.attn_pdrop > 0
    one.model.train()
    one.choose_batch_format([Row(p + one.format.answer("no"), 2) for p in one.format.prompts(QUESTIONS)])
    assert one.batch_format == "tree"
    assert one.model.training


def test_a_lack_of_memory_is_not_taken_for_an_attention_that_fails(monkeypatch):
    one = engine()
    rows = [Row(p + one.format.answer("no"), 2) for p in one.format.prompts(QUESTIONS)]
    one.choose_batch_format(rows)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(attention._TreeAttention, "backward", full)
    with pytest.raises(torch.OutOfMemoryError):
        one.choose_batch_format(rows, gradients=True)
    assert one.batch_format == "tree"


def test_an_attention_that_has_no_way_back_is_found_before_the_training_and_a_dense_mask_taken(monkeypatch):
    said: list[str] = []
    one = engine()
    one.say = said.append
    rows = [Row(p + one.format.answer("no"), 2) for p in one.format.prompts(QUESTIONS)]
    one.choose_batch_format(rows)  # a base model is measured first, which needs no gradients
    assert one.batch_format == "tree"

    def fail(*_: object) -> None:
        raise RuntimeError("no kernel\nfor this head size")

    monkeypatch.setattr(attention._TreeAttention, "backward", fail)
    one.choose_batch_format(rows, gradients=True)
    assert one.batch_format == "dense"
    assert said == [
        "this model is trained with a dense attention mask, which is slower: no kernel for this head size"
    ]
    loss(one.model, one.inputs(rows)).backward()


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("kind", "batch_tokens", "own"),
    [
        *(("llama", tokens, own) for tokens in (16, 1024) for own in (attention.NAME, block_sparse.NAME)),
        *((kind, 1024, own) for kind in ("qwen2", "gemma") for own in (attention.NAME, block_sparse.NAME)),
        *(("gpt2", 16, own) for own in (attention.NAME, block_sparse.NAME)),
        ("bloom", 16, attention.NAME),
        ("bloom", 1024, attention.NAME),
    ],
)
def test_generation_is_that_of_each_question_alone_by_transformers_and_counts_its_tokens(
    kind, batch_tokens, own, monkeypatch
):
    monkeypatch.setattr(attention, "NAME", own)  # as on a GPU
    one = engine(kind)
    one.batch_tokens = batch_tokens
    questions = [*QUESTIONS, QUESTIONS[1]]
    found = [g for batch in one.generate(questions, 12) for g in batch]
    assert one.batch_format == ("padded" if kind == "bloom" else "tree")
    stop = one.format.end[0]
    for [prompt], generation in zip(map(one.format.prompts, [[q] for q in questions]), found, strict=True):
        ids = torch.tensor([prompt])
        output = one.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, eos_token_id=stop
        )[0, len(prompt) :].tolist()
        assert generation.tokens == len(output)
        assert generation.text == one.format.decode([token for token in output if token != stop])


def test_a_row_stops_at_its_end_and_the_others_go_on():
    """Rows of one batch that end at different steps: each says what it says alone."""
    one = engine()
    questions = [Conversation(f"question {i} {'x' * (i % 5)}") for i in range(12)]
    free = [g for batch in one.generate(questions, 10) for g in batch]
    often = one.format.answer(free[0].text)[2:3]  # a token that rows write sooner or later serves as the end
    one.format.end = often
    found = [g for batch in one.generate(questions, 10) for g in batch]
    alone = [g for question in questions for batch in one.generate([question], 10) for g in batch]
    assert found == alone
    assert len({g.tokens for g in found}) > 1


@pytest.mark.parametrize("padded", [False, True])
def test_a_row_ends_where_it_has_written_a_stop_text(padded, monkeypatch):
    one = engine()
    if padded:
        monkeypatch.setattr(one, "choose_batch_format", lambda rows: setattr(one, "batch_format", "padded"))
    questions = [Conversation(f"question {i} {'x' * (i % 5)}") for i in range(6)]
    free = [g for batch in one.generate(questions, 10) for g in batch]
    stop = [free[0].text[1:3], free[1].text[2]]
    found = [g for batch in one.generate(questions, 10, stop) for g in batch]
    assert one.batch_format == ("padded" if padded else "tree")
    for before, after in zip(free, found, strict=True):
        assert after.text == before_stop(before.text, stop)
        assert after.tokens <= before.tokens
        assert after.finish == ("stop" if len(after.text) < len(before.text) else before.finish)
    assert found[0].tokens < free[0].tokens


def test_padded_generation_multiplies_all_rows_with_the_output_weights_at_once(monkeypatch):
    """torch copies the weights for each row of a slice in bfloat16: 20 GB for 64 rows of Gemma 3 270M."""
    one = engine()
    monkeypatch.setattr(one, "choose_batch_format", lambda rows: setattr(one, "batch_format", "padded"))
    inputs = []
    one.model.get_output_embeddings().register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    list(one.generate(QUESTIONS, 4))
    assert {hidden.shape[:2] for hidden in inputs} == {(len(QUESTIONS), 1)}
    assert all(hidden.is_contiguous() for hidden in inputs)


def test_drawn_answers_depend_on_the_seed_alone():
    one = engine()
    drawn = [[g for b in one.generate(QUESTIONS, 8, temperature=1.0, seed=s) for g in b] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_questions_longer_than_the_models_positions_are_refused_with_their_length():
    one = engine(max_position_embeddings=40)
    with pytest.raises(UserError, match=r"a question of 1\d\d tokens .* do not fit the model's 40 positions"):
        list(one.score([QUESTIONS[2], Conversation("long " * 30)], OPTIONS[:2]))


def test_a_question_that_is_too_long_is_refused_before_the_others_are_read(monkeypatch):
    one = LocalModel(engine(max_position_embeddings=40).model, engine().format)
    encode, read = one.format.prompts, []
    monkeypatch.setattr(
        one.format, "prompts", lambda texts, **how: read.append(len(texts)) or encode(texts, **how)
    )
    asked = [Conversation("short"), Conversation("long " * 90), Conversation("short")]
    with pytest.raises(TooLongError) as refused:
        one.check(asked, [], AnswerSettings("generate", 4))
    assert (refused.value.index, read) == (1, [1])


def test_the_end_of_an_answer_is_what_the_chat_template_writes():
    tokenizer = make_tokenizer(CHAT_TEMPLATE.replace("<|end|>", "<|pad|>"))
    assert ChatFormat(tokenizer).end == [1]
    assert ChatFormat(make_tokenizer()).end == [0]
    assert ChatFormat(make_tokenizer(None), "none").end == [0]


def test_the_end_of_a_turn_needs_no_role_in_the_tokenizer():
    """Phi-3 adds its ``<|end|>`` as a special token beside the named ones."""
    tokenizer = make_tokenizer(CHAT_TEMPLATE.replace("<|end|>", "<|turn|>"))
    tokenizer.add_tokens([AddedToken("<|turn|>", special=True), AddedToken("<|turn|>.", special=True)])
    assert "<|turn|>" not in tokenizer.all_special_tokens
    assert ChatFormat(tokenizer).end == tokenizer.convert_tokens_to_ids(["<|turn|>"])


def test_generation_ends_where_the_models_own_settings_end_it():
    one = engine()
    [free] = [g for batch in one.generate(QUESTIONS[:1], 10) for g in batch]
    third = one.format.answer(free.text)[2]
    one.model.generation_config.eos_token_id = [one.format.end[0], third]
    [ended] = [g for batch in one.generate(QUESTIONS[:1], 10) for g in batch]
    assert ended.tokens <= 3


def test_a_model_without_a_chat_template_is_refused_unless_plain_text_is_asked_for():
    with pytest.raises(UserError, match=r"no chat template; set model\.chat_template=none"):
        ChatFormat(make_tokenizer(None))
    plain = ChatFormat(make_tokenizer(None), "none")
    [ids] = plain.prompts([Conversation("Say it. ", system="Be brief.")])
    assert plain.decode(ids + plain.answer("yes")) == "Be brief.\n\nSay it. yes"


def test_a_template_that_refuses_a_system_message_gets_it_in_the_users_text():
    refusing = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT_TEMPLATE
    )
    for template in (refusing, CHAT_TEMPLATE.replace("in messages", "in messages if m['role'] != 'system'")):
        one = ChatFormat(make_tokenizer(template))
        [ids] = one.prompts([Conversation("Why?", system="Be brief.")])
        assert one.decode(ids) == "Be brief.\n\nWhy?"


def test_the_chat_template_comes_from_a_file_when_one_is_named(tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text("Q: {{ messages[-1]['content'] }} A:", encoding="utf-8")
    one = ChatFormat(make_tokenizer(None), str(file))
    assert one.decode(one.prompts([Conversation("Why?")])[0]) == "Q: Why? A:"
    with pytest.raises(UserError, match="no such file"):
        ChatFormat(make_tokenizer(), str(tmp_path / "none.jinja"))


@pytest.mark.parametrize("before", ["", " ", "<|system|>thought<|end|>\n\n", "<|system|> "])
def test_an_answer_is_tokenised_as_the_template_writes_it(before):
    """Qwen3 writes an empty thought before an answer, other templates a space."""
    template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>" + before + "{% else %}<|user|>"
        "{% endif %}{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer = make_tokenizer(template)
    one = ChatFormat(tokenizer)
    [prompt] = one.prompts([Conversation("Why?")])
    told = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "yes"}]
    assert (
        prompt + one.answer("yes") + one.end
        == tokenizer(tokenizer.apply_chat_template(told, tokenize=False))["input_ids"]
    )


def test_an_answer_behind_a_line_end_has_no_space_that_the_tokenizer_puts_before_a_text():
    """SentencePiece tokenizers begin every text with a space, which no answer in a conversation has."""
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    one = ChatFormat(tokenizer)
    assert tokenizer.decode(one.answer("yes")) == " yes"  # nothing stands before it that could be a lead
    tokenizer.chat_template += "{% if add_generation_prompt %}A:\n{% endif %}"
    assert tokenizer.decode(ChatFormat(tokenizer).answer("yes")) == "yes"


def test_a_template_that_asks_for_the_date_reads_the_same_on_every_day():
    template = "{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d') }} " + CHAT_TEMPLATE
    one = ChatFormat(make_tokenizer(template))
    [ids] = one.prompts([Conversation("Why?")])
    assert one.decode(ids).startswith("01 Jan 2025 2025-01-01 ")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5), st.integers(0, 2))
def test_the_loss_is_over_the_answer_alone(rows, seed):
    """Changing the logits anywhere but at the answer's positions changes nothing."""
    torch.manual_seed(seed)
    batch = [Row([5, *prompt, *answer], len(answer)) for prompt, answer in rows]
    inputs = padded(batch, pad=1)
    table = torch.randn(len(batch), inputs["input_ids"].shape[1], 8)
    expected = [
        -table[i, len(row.ids) - row.answer - 1 + k].log_softmax(-1)[row.ids[len(row.ids) - row.answer + k]]
        for i, row in enumerate(batch)
        for k in range(row.answer)
    ]
    found = answer_loss(table[:, inputs["logits_to_keep"]], inputs["labels"], None)
    assert found.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_an_accelerator_without_an_attention_of_its_own_takes_the_dense_mask(monkeypatch):
    """As MPS and XPU do; here the CPU's own attention is taken away."""
    one = engine()
    reference = [s for batch in one.score(QUESTIONS, OPTIONS) for s in batch]
    other = engine()
    monkeypatch.setattr("paft.engine.engine.TREE_ATTENTION", {})
    scores = [s for batch in other.score(QUESTIONS, OPTIONS) for s in batch]
    assert other.batch_format == "dense"
    for row, expected in zip(scores, reference, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)


def test_sampling_in_padded_batches_leaves_the_random_state_alone():
    one = engine("bloom")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    list(one.generate(QUESTIONS, 4, temperature=1.0, seed=1))
    assert one.batch_format == "padded"
    assert torch.rand(1) == expected
