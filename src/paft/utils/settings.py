"""Checks of the settings that samplers, objectives and scorers take."""

import math
from typing import Any

from paft.errors import UserError


def count(key: str, value: Any, least: int = 1) -> int:
    """Return a setting that is a whole number of at least ``least``.

    Args:
        key: of the config, for the message.

    Raises:
        UserError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"config key {key} takes a whole number of {least} or more; found {value!r}")
    return value


def number(key: str, value: Any, low: float, high: float = math.inf) -> float:
    """Return a setting that is a number from ``low`` to ``high``, both included.

    Raises:
        UserError: it is something else.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and low <= value <= high and math.isfinite(value)):
        limits = f"of {low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
        raise UserError(f"config key {key} takes a number {limits}; found {value!r}")
    return float(value)


def choice(key: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return a setting that is one of some names.

    Raises:
        UserError: it is something else.
    """
    if value not in allowed:
        raise UserError(f"config key {key} takes {' or '.join(allowed)}; found {value!r}")
    return str(value)
