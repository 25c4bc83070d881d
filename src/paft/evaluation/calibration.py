"""Calibration: take out the preference for an option that a prompt brings, whatever the example.

``batch`` is Batch Calibration (Zhou et al., arXiv 2309.17249, section 3): for one prompt, subtract from each
option's log-probability, normalised over the options, its mean over a batch of unlabelled examples. It needs no
training and no further forward, but assumes that the labels of the batch are about balanced.

``consensus``, our own, drops this assumption: from that mean, the mean under reference prompts is subtracted
first, so a prompt keeps the preferences that it shares with them. Labels that are rare in the batch are rare under
all prompts.

An example that lacks the log-probability of an option (some servers give those of the likeliest tokens only) is
left out of the offsets.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paft.errors import UserError
from paft.types import CalibrationKind
from paft.utils.safe_io import CONFIG, read_text

FEW = 10
"""With fewer examples, the standard error of the offsets is pointed out."""


def normalised(scores: np.ndarray) -> np.ndarray:
    """Return log-probabilities over the options.

    Args:
        scores: log-likelihoods, the options along the last axis.
    """
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def lacks_no_option(logs: np.ndarray) -> np.ndarray:
    """Return which examples have the log-likelihood of every option, ``(..., 1)``."""
    return np.isfinite(logs).all(axis=-1, keepdims=True)


def offsets(scores: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Return how much each option is preferred under one prompt, ``(..., options)``; NaN without any example.

    Args:
        scores: log-likelihoods ``(..., examples, options)``.
        reference: log-probabilities under reference prompts, averaged over them, of the same shape; if given, only
            the preference that they do not share is returned.
    """
    logs = normalised(scores)
    return _mean(logs if reference is None else logs - reference, axis=-2)


def consensus(scores: np.ndarray) -> np.ndarray:
    """Return the log-probabilities of each cell averaged over the other prompts; NaN where no other has any.

    Args:
        scores: log-likelihoods ``(prompts, examples, options)``, as what is returned.
    """
    logs = normalised(scores)
    is_usable = lacks_no_option(logs)
    own = np.where(is_usable, logs, 0.0)
    return _divided(own.sum(axis=0) - own, is_usable.sum(axis=0) - is_usable)


def calibrated(scores: np.ndarray, kind: CalibrationKind) -> np.ndarray:
    """Return log-probabilities less the offsets of their prompt, ``(prompts, examples, options)``.

    Args:
        scores: log-likelihoods of the same shape; for ``consensus``, the other prompts are the reference of each.
    """
    reference = consensus(scores) if kind == "consensus" else None
    return normalised(scores) - offsets(scores, reference)[..., None, :]


def check_calibration(kind: str, prompts: int) -> None:
    """Refuse a consensus of one prompt, which would change nothing."""
    if kind == "consensus" and prompts < 2:
        raise UserError("config key evaluation.calibrate: consensus needs two test prompts or more; use batch")


@dataclass(frozen=True)
class Offsets:
    """The offsets of one prompt, to be subtracted from the log-likelihood of each answer.

    Attributes:
        values: by answer, the mean log-probability over the examples, less that of reference prompts if there
            are any.
        errors: by answer, the standard error of that mean.
        examples: how many examples they were measured on.
    """

    values: Mapping[str, float]
    errors: Mapping[str, float]
    examples: int

    @classmethod
    def measure(cls, answers: Sequence[str], scores: np.ndarray, reference: np.ndarray | None = None) -> "Offsets":
        """Return the offsets of a prompt.

        Args:
            answers: what stands for each option.
            scores: log-likelihoods ``(examples, options)``.
            reference: the same under reference prompts, ``(prompts, examples, options)``.

        Raises:
            UserError: no example has the log-probabilities of all answers.
        """
        logs = normalised(scores)
        if reference is not None:
            logs = logs - _mean(normalised(reference), axis=0)
        logs = logs[lacks_no_option(logs)[..., 0]]
        if not len(logs):
            raise UserError("no example has the log-probabilities of all answers to calibrate with")
        errors = (
            logs.std(axis=0, ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else np.full(len(answers), np.nan)
        )
        return cls(_named(answers, logs.mean(axis=0)), _named(answers, errors), len(logs))

    @classmethod
    def read(cls, file: Path) -> "Offsets":
        """Return the offsets that ``paft calibrate`` wrote.

        Raises:
            UserError: the file is missing or holds something else.
        """
        try:
            tree: dict[str, Any] = json.loads(read_text(file, CONFIG))
            errors = {name: math.nan if e is None else float(e) for name, e in tree["errors"].items()}
            return cls({name: float(v) for name, v in tree["offsets"].items()}, errors, int(tree["examples"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{file}: not a file of `paft calibrate`") from None

    def best(self, scores: Mapping[str, float]) -> str:
        """Return the likeliest answer after calibration.

        Args:
            scores: the log-likelihood of each answer; a constant added to all of them changes nothing.

        Raises:
            UserError: the answers are not those of the offsets.
        """
        if scores.keys() != self.values.keys():
            other = sorted(scores.keys() ^ self.values.keys())
            raise UserError(
                f"these offsets are for the answers {', '.join(self.values)}; {other[0]!r} is only in one"
            )
        return max(scores, key=lambda name: scores[name] - self.values[name])

    def warning(self) -> str | None:
        """Return a line where the offsets rest on few examples."""
        if self.examples >= FEW:
            return None
        known = [error for error in self.errors.values() if not math.isnan(error)]
        size = f"a standard error of up to {max(known):.2g}" if known else "an unknown error"
        return f"the offsets are measured on {self.examples} examples only and have {size}; use at least {FEW}"


def _mean(logs: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over an axis of the rows that lack no option."""
    is_usable = lacks_no_option(logs)
    return _divided(np.where(is_usable, logs, 0.0).sum(axis=axis), is_usable.sum(axis=axis))


def _divided(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _named(answers: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {answer: float(value) for answer, value in zip(answers, values, strict=True)}
