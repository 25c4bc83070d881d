"""Where a model is: folders, files, hub ids with and without an organisation, revisions, and typos."""

import os
import subprocess
import sys

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from paft.config.model import ModelConfig
from paft.config.schema import Config
from paft.errors import UserError
from paft.models import load
from paft.models.locate import cache_folder, check_model, hub_error, locate


@pytest.mark.parametrize("path", ["gpt2", "org/name", "distilbert-base-uncased", "org/Name_1.5-b"])
def test_a_hub_id_may_have_no_organisation(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate(path) == path
    assert locate(path, revision="v1.0") == path


@pytest.mark.parametrize("path", ["./gpt2", "/gpt2", "a/b/c", "my model", "", "models/", "~/model", "C:\\model"])
def test_a_path_that_cannot_be_a_hub_id_is_refused_at_once(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"config key model\.path: no such folder: .*hub id such as gpt2 or org/name"
    ):
        locate(path)


@pytest.mark.parametrize("path", ["folder", "./folder", "model.gguf"])
def test_a_local_model_has_no_revision(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert locate(path) == path
    with pytest.raises(
        UserError, match=r"config key model\.revision: .* is a local model without revisions; leave"
    ):
        locate(path, revision="main")


@pytest.fixture
def hub(monkeypatch):
    """The hub's client, which fails as it is told to and records what it is asked."""
    asked = []

    def answer(error):
        def download(name, file, **settings):
            asked.append((name, file, settings))
            if error is not None:
                raise error

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return asked

    return answer


def test_a_typo_of_a_folder_names_both_possibilities_when_the_hub_cannot_be_reached(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-llama").mkdir()
    hub(LocalEntryNotFoundError("cannot find the requested files\nin the disk cache"))
    with pytest.raises(UserError) as refused:
        check_model("tiny-lama")
    assert str(refused.value) == (
        "config key model.path: no such folder: tiny-lama, nor can it be loaded as a hub id: the hub cannot be "
        "reached, and the model is not in its cache; did you mean 'tiny-llama'?"
    )


def test_what_the_hub_says_of_a_model_is_one_line():
    def error(name):
        return type(name, (Exception,), {})("404 Client Error.\n(Request ID: 1)")

    def message(name, revision=None):
        return str(hub_error("gpt2", "model.path", revision, error(name)))

    assert "the hub has no such model, or it is private" in message("RepositoryNotFoundError")
    assert "hf auth login" in message("GatedRepoError")
    assert (
        message("RevisionNotFoundError", "v9") == "config key model.revision: gpt2 has no revision 'v9' on the hub"
    )
    assert message("Strange").endswith("as a hub id: 404 Client Error. (Request ID: 1)")


def test_the_check_asks_for_the_revision_and_leaves_local_models_alone(hub, tiny_model):
    asked = hub(None)
    check_model("gpt2", revision="v1.0")
    assert asked == [("gpt2", "config.json", {"revision": "v1.0"})]
    check_model(tiny_model)
    assert len(asked) == 1


def test_the_revision_reaches_the_tokenizer_and_the_model(monkeypatch, tiny_model):
    asked = []
    originals = load.AutoTokenizer.from_pretrained, load.AutoModelForCausalLM.from_pretrained

    def replace(original):
        def from_pretrained(name, **settings):
            asked.append((name, settings.pop("revision", None)))
            return original(tiny_model, **settings)

        return from_pretrained

    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", replace(originals[0]))
    monkeypatch.setattr(load.AutoModelForCausalLM, "from_pretrained", replace(originals[1]))
    load.load_model(ModelConfig(path="gpt2", revision="v1.0", dtype="float32", device="cpu"), lambda line: None)
    assert asked == [("gpt2", "v1.0")] * 2
    load.load_model(ModelConfig(path="gpt2", dtype="float32", device="cpu"), lambda line: None)
    assert asked[2:] == [("gpt2", None)] * 2


@pytest.mark.parametrize("key", ["revision", "device", "adapter", "dtype"])
def test_a_served_model_takes_no_key_of_a_local_one(key):
    tree = {"path": "m", "base_url": "http://localhost:1/v1", key: "cpu"}
    with pytest.raises(UserError, match=rf"config key model\.{key}: a model behind an endpoint is used as it is"):
        Config.model_validate({"task": {"name": "piqa"}, "model": tree})


def test_a_mistyped_model_path_is_said_without_torch(tmp_path):
    code = (
        "import sys\nfrom paft.errors import UserError\nfrom paft.models.locate import check_model\n"
        "try:\n    check_model('gptt2')\nexcept UserError as error:\n    print(error)\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment
    )
    assert ended.returncode == 0, ended.stderr
    assert "no such folder: gptt2, nor can it be loaded as a hub id: the hub cannot be reached" in ended.stdout


def test_the_cache_is_where_the_system_and_its_variable_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "paft"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / ".cache" / "paft"
