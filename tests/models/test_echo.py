"""Likelihoods and answers through text completions: those of the model in process, or a refusal."""

import json

import pytest
from pyarrow import parquet

from conftest import make_model, make_tokenizer, write_rows
from endpoints import Computing, error
from paft.config.load import load_config
from paft.errors import UserError
from paft.utils.console import Console
from reported_runs import evaluate

QUIET = Console(quiet=True)


def rows(folder):
    return parquet.read_table(folder / "methods/base/predictions.parquet").to_pylist()


def served(project, server, mode="likelihood", **model):
    path = project / "served.yaml"
    text = (project / "config.yaml").read_text().split("\n", 1)[1]
    settings = {"path": "m", "base_url": server.url, "retries": 0, "timeout": 60} | model
    path.write_text(f"model: {json.dumps(settings)}\n" + text.replace("likelihood", mode))
    return load_config(path)


def here(project, *overrides):
    evaluate(load_config(project / "config.yaml", list(overrides)), project / "here", QUIET)
    return rows(project / "here")


def assert_same_scores(left, right):
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert (a["prompt_id"], a["example_id"], a["prediction"]) == (
            b["prompt_id"],
            b["example_id"],
            b["prediction"],
        )
        assert a["scores"] == pytest.approx(b["scores"], abs=2e-4)  # sums of about 15 log-probabilities near -6


@pytest.mark.parametrize("bos", ["", "<s>"], ids=["plain", "a token before the text"])
def test_plain_text_has_the_likelihoods_of_the_model_in_process(project, serve, bos):
    server = serve(Computing(make_model(), make_tokenizer(), bos=bos))
    evaluate(served(project, server, chat_template="none"), project / "there", QUIET)
    assert_same_scores(rows(project / "there"), here(project, "model.chat_template=none"))
    assert len(server.requests) == 3 + 2 * 6 * 3
    body = server.requests[-1][0]
    assert (body["echo"], body["logprobs"], body["max_tokens"]) == (True, 1, 1)
    assert body["prompt"].endswith(" blue")


@pytest.mark.parametrize("template", [None, "none"])
def test_tokens_have_the_likelihoods_of_the_model_in_process(project, serve, tiny_model, template):
    server = serve(Computing(make_model(), make_tokenizer()))
    chosen = {} if template is None else {"chat_template": template}
    evaluate(served(project, server, tokenizer=tiny_model, **chosen), project / "there", QUIET)
    assert_same_scores(rows(project / "there"), here(project, f"model.chat_template={template or 'auto'}"))
    assert isinstance(server.requests[-1][0]["prompt"], list)


def share_a_beginning(project):
    options = ["red", "red wine", "blue"]
    rows = [{"thing": f"thing {i}", "colour": options[i % 3]} for i in range(6)]
    write_rows(project / "test.jsonl", rows)
    text = (project / "config.yaml").read_text().replace("[red, green, blue]", json.dumps(options))
    (project / "config.yaml").write_text(text)


def test_the_end_of_an_answer_counts_where_options_share_a_beginning(project, serve, tiny_model):
    share_a_beginning(project)
    server = serve(Computing(make_model(), make_tokenizer()))
    evaluate(served(project, server, tokenizer=tiny_model), project / "there", QUIET)
    assert_same_scores(rows(project / "there"), here(project))


def test_in_plain_text_options_that_share_a_beginning_are_refused(project, serve):
    share_a_beginning(project)
    server = serve(Computing(make_model(), make_tokenizer()))
    with pytest.raises(UserError, match=r"'red', 'red wine', 'blue' begin another's.*set model\.tokenizer"):
        evaluate(served(project, server, chat_template="none"), project / "there", QUIET)
    assert not (project / "there").exists()


@pytest.mark.parametrize("tokenized", [False, True], ids=["text", "tokens"])
def test_answers_are_those_of_the_model_in_process(project, serve, tiny_model, tokenized):
    server = serve(Computing(make_model(), make_tokenizer()))
    how = {"tokenizer": tiny_model} if tokenized else {"chat_template": "none"}
    evaluate(served(project, server, "generate, max_new_tokens: 8", **how), project / "there", QUIET)
    template = "auto" if tokenized else "none"
    expected = here(
        project, "evaluation.mode=generate", "evaluation.max_new_tokens=8", f"model.chat_template={template}"
    )
    assert rows(project / "there") == expected


def generated_only(body):
    """What llama.cpp's server returns for an echo: the token that it wrote, and nothing of the prompt."""
    status, reply, headers = Computing(make_model(), make_tokenizer())(body)
    for values in (logprobs := reply["choices"][0]["logprobs"]):
        logprobs[values] = logprobs[values] and logprobs[values][-1:]
    return status, reply, headers


def without_probabilities(body):
    status, reply, headers = Computing(make_model(), make_tokenizer())(body)
    return status, reply | {"choices": [reply["choices"][0] | {"logprobs": None}]}, headers


def without_one(body):
    status, reply, headers = Computing(make_model(), make_tokenizer())(body)
    reply["choices"][0]["logprobs"]["token_logprobs"][-2] = None
    return status, reply, headers


@pytest.mark.parametrize("tokenized", [False, True], ids=["text", "tokens"])
@pytest.mark.parametrize(
    "reply",
    [generated_only, without_probabilities, without_one, error(400, "Only no echo is supported"), error(500, "Only no echo is supported"), error(404, "Not Found")],
    ids=["of what was written", "none", "one is missing", "refused", "fails", "no such path"],
)  # fmt: skip
def test_a_server_without_them_is_refused_with_the_setting_to_take(project, serve, tiny_model, reply, tokenized):
    how = {"tokenizer": tiny_model} if tokenized else {"chat_template": "none"}
    with pytest.raises(UserError, match=r"vLLM.*set evaluation\.mode=generate"):
        evaluate(served(project, serve(reply), **how), project / "there", QUIET)
    assert not (project / "there").exists()


def test_a_token_across_the_beginning_of_an_option_is_refused(project, serve):
    server = serve(Computing(make_model(), make_tokenizer(), merges=[("!", " ")]))
    with pytest.raises(UserError, match=r"no token begins where the option 'red' does; set model\.tokenizer"):
        evaluate(served(project, server, chat_template="none"), project / "there", QUIET)


def test_the_tokenizer_of_another_model_is_refused(project, serve, tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backwards = {c: i for i, c in enumerate(reversed(sorted(pre_tokenizers.ByteLevel.alphabet())))}
    inner = Tokenizer(models.BPE(backwards, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="!").save_pretrained(tmp_path / "other")
    server = serve(Computing(make_model(), make_tokenizer()))
    config = served(project, server, tokenizer=str(tmp_path / "other"), chat_template="none")
    with pytest.raises(UserError, match=r"must be the tokenizer of this model"):
        evaluate(config, project / "there", QUIET)


def test_a_template_without_a_tokenizer_and_a_missing_tokenizer_are_refused(project, serve):
    server = serve(Computing(make_model(), make_tokenizer()))
    with pytest.raises(UserError, match=r"model\.chat_template: .* requires model\.tokenizer"):
        served(project, server, chat_template="auto")
    with pytest.raises(UserError, match=r"model\.tokenizer"):
        evaluate(served(project, server, tokenizer="./nowhere"), project / "there", QUIET)
