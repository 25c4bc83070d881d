"""Mathematical expressions, by the package math-verify."""

import logging
import re
import threading
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from paft.scoring.text import without_thoughts
from paft.scoring.text_scorer import TextScorer, require
from paft.types import Example, Score

if TYPE_CHECKING:
    from paft.tasks.task import Task

SECONDS = 5
"""Time limit of parsing an expression, and of comparing two."""
LONGEST = 10_000
"""Characters from the end of an output in which the expression is looked for."""
DEEPEST = 50
"""Brackets that may be open at once; the parser takes half a minute for thousands of them."""

_PROSE = re.compile(r"\n|(?<![\\A-Za-z])[A-Za-z]{2,}")
"""What a text that is nothing but an expression does not hold."""


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

    def score(self, output: str, example: Example) -> Score:
        """Return 1 where the output's expression equals an accepted one, else 0; no answer where there is none."""
        text = without_thoughts(output).strip()[-LONGEST:]
        if _depth(text) > DEEPEST:
            return Score(0.0, None, f"more than {DEEPEST} brackets are open at once")
        parsed = _parsed(text) if _PROSE.search(text) else _target(text)
        if not parsed:
            return Score(0.0, None, "no expression could be read")
        value = any(_equal(_target(target), parsed) for target in self.task.targets(example))
        return Score(float(value), str(parsed[-1]).strip() or str(parsed[0]))

    def check_target(self, target: str) -> str | None:
        """Refuse a target that cannot be parsed."""
        return None if _target(target) else "holds no expression that math-verify can read"


@lru_cache(1_000)
def _parsed(text: str) -> tuple[Any, ...]:
    """Return the expression as sympy has it and as its text; nothing where none can be read."""
    from math_verify import parse

    try:
        return tuple(parse(text, parsing_timeout=_seconds()))
    except Exception:  # the parser raises whatever it raises on what a model wrote
        return ()


def _equal(target: tuple[Any, ...], answer: tuple[Any, ...]) -> bool:
    from math_verify import verify

    try:
        return bool(verify(list(target), list(answer), timeout_seconds=_seconds()))
    except Exception:  # sympy raises whatever it raises on what a model wrote
        return False


def _depth(text: str) -> int:
    """Return how many brackets are open where most are."""
    steps = ((char in "([{") - (char in ")]}") for char in text)
    return max(accumulate(steps, lambda depth, step: max(0, depth + step), initial=0))


def _seconds() -> int | None:
    """Return the time limit of one step; the package can keep one in the main thread only."""
    return SECONDS if threading.current_thread() is threading.main_thread() else None


def _target(text: str) -> tuple[Any, ...]:
    """Return a text that is an expression, which needs no dollar signs around it, as :func:`_parsed` does."""
    bare = not re.search(r"\$|\\boxed|\\\(|\\\[", text)
    return (_parsed(f"${text}$") if bare else ()) or _parsed(text)
