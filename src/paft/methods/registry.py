"""The methods by name, and the variants that a config lists."""

import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paft.config.load import describe_problem
from paft.config.schema import NamedVariant, TrainingConfig, variant_name
from paft.errors import UserError, nearest
from paft.methods.method import Method
from paft.utils.console import Console
from paft.utils.plugins import Registry, user_code

METHODS = Registry(
    "method",
    {
        "base": "paft.methods.base:Base",
        "user": "paft.methods.user:User",
        "top-accuracy": "paft.methods.top_accuracy:TopAccuracy",
        "batprompt": "paft.methods.batprompt.method:BatPrompt",
        "zopo": "paft.methods.zopo.method:Zopo",
        "paft": "paft.methods.paft:Paft",
        "grpo": "paft.methods.grpo:Grpo",
    },
)
"""The built-in methods: those of the paper's table 1 in its order, then others."""

TABLE_1 = ("base", "user", "top-accuracy", "batprompt", "zopo", "paft")
"""The methods of the paper's table 1."""


@dataclass(frozen=True)
class Variant:
    """An entry of ``methods``.

    Attributes:
        name: of its folder, its rows in tables and its place in figures.
        reference: the method's name, or ``module:name``.
        training: the ``training`` section with the variant's own keys.
        key: where its settings are in the config.
    """

    name: str
    reference: str
    method: Method
    training: TrainingConfig
    key: str

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        return self.method.title if self.name == self.reference and self.method.title else self.name

    def check(self, console: Console) -> None:
        """Refuse, before anything runs, settings that no run can use."""
        with user_code(f"method {self.name!r}"):
            self.method.check(self.key, console)
            self.method.check_training(self.training, self.key)


def resolve(
    entries: Sequence[str | NamedVariant], training: TrainingConfig, baselines: Mapping[str, Mapping[str, Any]]
) -> list[Variant]:
    """Return the variants that a config lists, with their settings checked.

    Args:
        training: the section that variants change.
        baselines: settings of methods by name, ``_`` for ``-``; a variant's own settings replace them.

    Raises:
        UserError: a method or a setting is unknown, or a user's module cannot be imported.
    """
    for section, settings in baselines.items():
        _check_section(section, settings)
    variants = [_variant(entry, training, baselines) for entry in entries]
    for index, variant in enumerate(variants):
        _check_start(variant, variants, variants[:index])
    return variants


def _check_start(variant: Variant, variants: Sequence[Variant], earlier: Sequence[Variant]) -> None:
    """Refuse to start from what is neither a variant that is trained before, nor an adapter."""
    if variant.method.initial_adapter is None:
        return
    setting, name = variant.method.initial_adapter
    if (Path(name) / "adapter_config.json").is_file():
        return
    key = f"config key {variant.key}.{setting}"
    start = next((v for v in variants if v.name == name), None)
    if start is None:
        known = [v.name for v in earlier if v.method.trains]
        raise UserError(
            f"{key}: {name!r} is no method of this run and no folder of an adapter{nearest(name, known)}"
        )
    if not start.method.trains:
        raise UserError(f"{key}: {name!r} is not trained; leave {setting} out to start from the base model")
    if start not in earlier:
        raise UserError(f"{key}: list {name!r} before {variant.name!r}, which starts from it")


def _variant(
    entry: str | NamedVariant, training: TrainingConfig, baselines: Mapping[str, Mapping[str, Any]]
) -> Variant:
    name, reference = variant_name(entry), entry if isinstance(entry, str) else entry.method
    section = reference.replace("-", "_")
    own = {} if isinstance(entry, str) else dict(entry.model_extra or {})
    key = f"methods.{name}" if own or ":" in reference else f"baselines.{section}"
    beside: Collection[str] = () if isinstance(entry, str) else NamedVariant.model_fields
    method = _create(reference, {**baselines.get(section, {}), **own}, key, beside)
    if not isinstance(entry, str) and entry.training:
        _check_not_fixed(entry, method.fixed_training)
        training = _changed(training, entry.training, f"methods.{name}.training")
    if method.fixed_training:
        training = _changed(training, method.fixed_training, f"methods.{name}.training")
    return Variant(name, reference, method, training, key)


def _check_not_fixed(entry: NamedVariant, fixed: Mapping[str, Any]) -> None:
    """Refuse a variant's own keys that its method would not use."""
    for key, value in entry.training.items():
        below = isinstance(value, Mapping) and isinstance(fixed.get(key), Mapping)
        if key in fixed and not (below and fixed[key].keys().isdisjoint(value)):
            raise UserError(
                f"config key methods.{entry.name}.training.{key}: {entry.method} always trains with "
                f"{key}: {json.dumps(fixed[key])}; leave the key out, or use the method paft"
            )


def _create(reference: str, settings: Mapping[str, Any], key: str, beside: Collection[str] = ()) -> Method:
    kind = METHODS.get(reference, "methods")
    if not (inspect.isclass(kind) and issubclass(kind, Method)):
        raise UserError(f"config key methods: {reference!r} is not a subclass of paft.methods.method.Method")
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise UserError(f"config key methods: {reference!r} does not define {missing}")
    for name in (name for name in settings if name not in kind.model_fields):
        if name in TrainingConfig.model_fields:
            fix = f"write training: {{{name}: ...}}" if beside else "it is a key of the section training"
            raise UserError(f"config key {key}.{name} is unknown; {fix}")
        raise UserError(f"config key {key}.{name} is unknown{nearest(name, [*kind.model_fields, *beside])}")
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        raise UserError(describe_problem(error, kind, key)) from None


def _check_section(section: str, settings: Mapping[str, Any]) -> None:
    known = {n.replace("-", "_"): n for n in METHODS.names if METHODS.get(n, "methods").model_fields}
    if section not in known:
        raise UserError(f"config key baselines.{section} is unknown{nearest(section, known)}")
    _create(known[section], settings, f"baselines.{section}")


def _changed(training: TrainingConfig, changes: Mapping[str, Any], key: str) -> TrainingConfig:
    """Return the ``training`` section with some keys replaced.

    A mapping such as ``lora`` is merged key by key, unless it names another sampler or objective.
    """
    tree = training.model_dump(exclude_unset=True)
    for name, value in changes.items():
        below = isinstance(value, Mapping) and isinstance(tree.get(name), Mapping) and "name" not in value
        tree[name] = {**tree[name], **value} if below else value
    try:
        return TrainingConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError(describe_problem(error, TrainingConfig, key)) from None
    except UserError as error:
        raise UserError(str(error).replace("config key training.", f"config key {key}.")) from None
