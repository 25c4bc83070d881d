"""Questions on one article are computed together, and results stay in the order of the questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_model, make_tokenizer
from paft.engine.batches import by_beginning, cut_into_batches, in_order
from paft.engine.engine import Engine
from paft.engine.pack import TokenTree
from paft.models.chat import ChatFormat
from paft.types import Conversation

ARTICLES = ["A fire is hot, and it gives light and warmth. ", "Ice is cold, and in the sun it becomes water. "]
QUESTIONS = ["Is it hot?", "Is it wet?", "Does it shine?", "Is it a stone?"]
INTERLEAVED = [Conversation(article + question) for question in QUESTIONS for article in ARTICLES]
PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=12)


@given(PROMPTS, st.integers(1, 20), st.sampled_from([None, 1, 3]))
def test_every_prompt_is_in_one_batch_and_only_a_prompt_alone_exceeds_it(prompts, room, most):
    groups = by_beginning(prompts, 0)
    batches = list(cut_into_batches(groups, lambda index, before: len(prompts[index]), room, most))
    assert sorted(index for batch in batches for index in batch) == list(range(len(prompts)))
    for batch in batches:
        assert len(batch) == 1 or sum(len(prompts[index]) for index in batch) <= room
        assert len(batch) <= (most or len(prompts))
    for group in groups:  # in one batch wherever it fits
        if sum(len(prompts[index]) for index in group) <= room and len(group) <= (most or len(group)):
            assert sum(bool({*group} & {*batch}) for batch in batches) == 1


def test_prompts_that_share_little_stay_in_their_order():
    apart = [[1, 5, 6, 7], [3, 5, 6, 7], [1, 6, 7, 8], [2, 5, 6, 7]]
    assert by_beginning(apart, 0) == [[0], [1], [2], [3]]
    assert by_beginning([*apart, [3, 5, 6, 9]], 0) == [[0], [1, 4], [2], [3]]
    assert by_beginning([[9, 9, *ids] for ids in apart], 2) == [[0], [1], [2], [3]]


def test_a_result_waits_for_those_before_it_and_no_longer():
    batches = [([0, 3], "ad"), ([5], "f"), ([1, 2], "bc"), ([4], "e")]
    assert list(in_order(batches)) == [["a"], ["b", "c", "d"], ["e", "f"]]


@pytest.mark.parametrize("batch_tokens", [150, 4096])
@pytest.mark.parametrize("padded", [False, True])
def test_an_article_is_computed_once_for_all_its_questions_and_no_score_changes(padded, batch_tokens, monkeypatch):
    one = Engine(make_model("llama"), ChatFormat(make_tokenizer()), batch_tokens)
    if padded:
        monkeypatch.setattr(one, "choose_batch_format", lambda rows: setattr(one, "batch_format", "padded"))
    options = [("yes", "no", "perhaps")[: 2 + i % 2] for i in range(len(INTERLEAVED))]
    alone = [s for c, o in zip(INTERLEAVED, options, strict=True) for batch in one.score([c], [o]) for s in batch]
    tokens = []
    hook = one.model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    together = [s for batch in one.score(INTERLEAVED, options) for s in batch]
    hook.remove()
    for found, expected in zip(together, alone, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    if not padded:
        prompts = one.format.prompts(INTERLEAVED)
        rows = [p + one.format.answer(text) for p, texts in zip(prompts, options, strict=True) for text in texts]
        assert sum(tokens) == len(TokenTree(row[:-1] for row in rows).ids)


def test_written_answers_to_questions_on_one_article_stay_in_their_places():
    one = Engine(make_model("llama"), ChatFormat(make_tokenizer()), 50)
    alone = [g for c in INTERLEAVED for batch in one.generate([c], 6) for g in batch]
    assert [g for batch in one.generate(INTERLEAVED, 6) for g in batch] == alone
