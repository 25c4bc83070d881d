from typing import Any, ClassVar

import pytest

from paft.config.schema import NamedVariant, TrainingConfig
from paft.errors import UserError
from paft.methods.paft import Paft
from paft.methods.registry import resolve


class WideLora(Paft):
    fixed_training: ClassVar[dict[str, Any]] = {"K": 1, "lora": {"target_modules": "all-linear"}}


WIDE = f"{__name__}:WideLora"


class Warm(Paft):
    start: str

    @property
    def initial_adapter(self):
        return "start", self.start


def trained_with(method: str, training: TrainingConfig) -> TrainingConfig:
    [variant] = resolve([method], training, {})
    return variant.training


def test_what_is_part_of_a_method_holds_whatever_the_config_says():
    training = TrainingConfig.model_validate({"sampler": "mixed", "K": 3, "prompts_per_step": 2, "lora": {"r": 4}})
    assert trained_with("paft", training) == training
    user = trained_with("user", training)
    assert (user.sampler, user.prompts_per_step, user.K) == ("uniform", None, 3)
    wide = trained_with(WIDE, training)
    assert (wide.sampler, wide.K, wide.lora.target_modules, wide.lora.r) == ("mixed", 1, "all-linear", 4)


def test_a_method_is_the_same_when_its_run_is_read_again():
    """RUN/config.yaml has every key, also those that the config left out."""
    training = TrainingConfig.model_validate({"K": 2})
    stored = TrainingConfig.model_validate(training.model_dump())
    assert trained_with(WIDE, stored).model_dump() == trained_with(WIDE, training).model_dump()


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [
        (WIDE, "K", 4),
        (WIDE, "lora", {"target_modules": ["q_proj"]}),
        ("user", "sampler", "mixed"),
        ("zopo", "prompts_per_step", 2),
    ],
)
def test_a_variant_cannot_change_what_is_part_of_its_method(method, key, value):
    entry = NamedVariant.model_validate({"name": "mine", "method": method, "training": {key: value}})
    with pytest.raises(UserError, match=rf"methods\.mine\.training\.{key}: {method} always trains with"):
        resolve([entry], TrainingConfig(), {})


def test_a_variant_changes_the_other_keys_beside():
    entry = NamedVariant.model_validate({"name": "mine", "method": WIDE, "training": {"lora": {"r": 16}}})
    [variant] = resolve([entry], TrainingConfig(), {})
    assert (variant.training.lora.r, variant.training.lora.target_modules) == (16, "all-linear")


def test_what_a_method_cannot_start_from_is_named_by_the_methods_own_setting():
    entry = NamedVariant.model_validate({"name": "warm", "method": f"{__name__}:Warm", "start": "nowhere"})
    with pytest.raises(UserError) as refused:
        resolve([entry], TrainingConfig(), {})
    line = "config key methods.warm.start: 'nowhere' is no method of this run and no folder of an adapter"
    assert str(refused.value) == line
