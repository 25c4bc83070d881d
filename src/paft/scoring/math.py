"""Mathematical expressions, by the package math-verify."""

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from paft.scoring.text_scorer import Reading, TextScorer, require

if TYPE_CHECKING:
    from paft.tasks.task import Task

LONGEST = 10_000
"""Characters from the end of an output in which the expression is looked for."""


class MathScorer(TextScorer):
    """Right if the last expression of an output equals an accepted one: 1/2, 0.5 and ``\\frac{1}{2}`` are equal.

    The answer is what math-verify extracts: ``\\boxed{}`` first, then a final statement, then LaTeX or a number.
    """

    name = "math"
    wanted = "the final expression or number, in LaTeX's \\boxed{} where there is more text"

    def __init__(self, task: "Task"):
        super().__init__(task)
        require("math_verify", "math")
        for name in ("parser", "grader", "utils"):  # they report each text that they cannot parse
            logging.getLogger(f"math_verify.{name}").setLevel(logging.CRITICAL)

    def read(self, text: str) -> Reading:
        """Return the text of the expression that counts."""
        if not (parsed := _parsed(text[-LONGEST:])):
            return Reading(None, "no expression could be read")
        return Reading(str(parsed[-1]).strip() or None)

    def compare(self, answer: str, target: str) -> float:
        """Return 1 where both are equal, else 0."""
        from math_verify import verify

        try:
            return float(verify(_target(target), _target(answer)))
        except Exception:  # sympy raises whatever it raises on what a model wrote
            return 0.0

    def check_target(self, target: str) -> str | None:
        """Refuse a target that cannot be parsed."""
        return None if _target(target) else "holds no expression that math-verify can read"


@lru_cache(1_000)
def _parsed(text: str) -> tuple[Any, ...]:
    """Return the expression as sympy has it and as its text; nothing where none can be read."""
    from math_verify import parse

    try:
        return tuple(parse(text))
    except Exception:  # the parser raises whatever it raises on what a model wrote
        return ()


def _target(text: str) -> tuple[Any, ...]:
    """Return a text that is an expression, which needs no dollar signs around it, as :func:`_parsed` does."""
    bare = not re.search(r"\$|\\boxed|\\\(|\\\[", text)
    return (_parsed(f"${text}$") if bare else ()) or _parsed(text)
