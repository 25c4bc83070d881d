"""Fields of a JSON answer."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from paft.errors import UserError, one_line
from paft.scoring.exact import normalisation
from paft.scoring.text_scorer import ASK, ParsedAnswer, TextScorer, require, shortened, unusable
from paft.utils.io import repeated_key
from paft.utils.settings import choice

if TYPE_CHECKING:
    from paft.tasks.task import Task

REPAIRED = "repaired:"
"""What the explanation of a repaired answer begins with; a report counts them by it."""
LONGEST_REPAIR = 5_000
"""Characters of an output that may be repaired."""
MOST_STARTS = 50
"""Places in a text at which JSON is looked for."""
_BEGUN = re.compile(r"\{\s*[\"}]|\[\s*[\"{\[]")
"""How an object or array begins, unlike {braces} and [brackets] in a sentence."""
_BEGUN_BADLY = re.compile(r"\{\s*['\"\w}]")
_FENCE = re.compile(r"```[^\S\n]*(?:json\w*)?[^\S\n]*\n(.*?)```", re.IGNORECASE | re.DOTALL)


class JsonScorer(TextScorer):
    """The share of an answer's fields that equal those of an accepted answer.

    A field is a path through objects, such as ``buyer.name``; an array is compared as a whole. Fields that only
    one of the two has count as different. Types count: 5 is not "5", a missing field is not null.

    Args:
        match: ``fields``, or ``all`` (right only if every field is equal).
        normalise: how texts are compared: ``none`` ignores white space at the ends only, ``squad`` also case,
            punctuation and articles.
        schema: a JSON schema; an answer that breaks it is not read.
        repair: whether broken JSON is repaired by the package json-repair. The explanations of such answers begin
            with ``repaired:``.
    """

    name = "json"
    wanted = "a JSON object with the fields that the task asks for, and nothing else"
    forbidden_requests: ClassVar = {
        "no JSON": r"\b(?:no|not|without|avoid|never|don't use) (?:\w+ ){0,3}JSON\b",
        "another format than JSON": r"\b(?:in|as|valid) (?:an? )?(?:XML|YAML|CSV|HTML|Markdown|table|"
        r"bullet(?:ed)? list|numbered list)\b|\b(?:comma|tab|semicolon|pipe)[- ]separated\b",
        "a sentence": rf"{ASK}[^.\n]{{0,30}}\b(?:in|as|with) (?:an? |one )?(?:full |complete |whole |short )?"
        r"sentences?\b",
    }

    def __init__(
        self,
        task: "Task",
        match: str = "fields",
        normalise: str = "none",
        schema: Mapping[str, Any] | None = None,
        repair: bool = False,
    ):
        super().__init__(task)
        self.is_binary = choice("task.scorer.match", match, ("fields", "all")) == "all"
        if self.is_binary:
            self.name = "json (all)"
        self._normalised = normalisation(normalise)
        self._validator = None if schema is None else _validator(schema)
        if repair not in (True, False):
            raise UserError(f"config key task.scorer.repair takes true or false; found {repair!r}")
        self.repair = repair
        if repair:
            require("json_repair", "json with repair")

    def read(self, text: str) -> ParsedAnswer:
        """Return the JSON value in a text, with sorted keys; one in a code fence or between other words counts."""
        try:
            value, note = find_json(text), ""
        except ValueError as error:
            if not self.repair or isinstance(error, RefusedError) or not (value := _repaired(text)):
                return ParsedAnswer(None, str(error))
            note = f"{REPAIRED} {error}"
        try:
            if self._validator and (fault := next(self._validator.iter_errors(value), None)):
                return ParsedAnswer(None, f"breaks the schema at {fault.json_path}: {one_line(fault.message)}")
            return ParsedAnswer(json.dumps(value, ensure_ascii=False, sort_keys=True), note)
        except (RecursionError, ValueError) as error:
            return ParsedAnswer(None, f"cannot be compared: {one_line(error, 80)}")

    def compare(self, answer: str, target: str) -> float:
        """Return the share of equal fields among all fields of both; with ``match: all`` 1 or 0."""
        read, wanted = _fields(answer), _wanted(target)
        equal = sum(path in read and self._equal(read[path], value) for path, value in wanted.items())
        share = equal / len(read.keys() | wanted.keys())
        return float(share == 1) if self.is_binary else share

    def difference(self, answer: str, target: str) -> str:
        """Return the fields that differ."""
        read, wanted = _fields(answer), _fields(target)
        parts = []
        for path, value in wanted.items():
            name = ".".join(path) or "the value"
            if path not in read:
                parts.append(f"{name} is missing")
            elif not self._equal(read[path], value):
                parts.append(f"{name} is {_shown(read[path])}, not {_shown(value)}")
        parts += [f"{'.'.join(path) or 'the value'} is not asked for" for path in read if path not in wanted]
        return shortened("; ".join(parts[:10]), 300)

    def check_target(self, target: str) -> str | None:
        """Refuse a target that is not JSON, has no field, or breaks the schema."""
        try:
            value = _strict(target)
            if not _fields(target):
                return "is JSON without a field"
        except (ValueError, RecursionError) as error:
            return f"is not JSON ({one_line(error, 80)})"
        fault = next(self._validator.iter_errors(value), None) if self._validator else None
        return f"breaks the schema: {one_line(fault.message)}" if fault else None

    def _equal(self, left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return self._normalised(left) == self._normalised(right)
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(self._equal, left, right))
        if isinstance(left, dict) and isinstance(right, dict):
            return left.keys() == right.keys() and all(self._equal(left[key], right[key]) for key in left)
        return bool(left == right)


def find_json(text: str) -> Any:
    """Return the JSON value that a text is, holds in a code fence, or holds between other words.

    Raises:
        ValueError: there is none, or there are several that differ.
    """
    if not text:
        raise ValueError("empty")
    try:
        return _strict(text)
    except RefusedError:
        raise
    except ValueError as error:
        reason = one_line(error, 80)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    fenced = [block.strip() for block in _FENCE.findall(text)] if "```" in text else []
    for source in ([block for block in fenced if block[:1] in ("{", "[")], [text]):
        values: list[Any] = []
        for part in source:
            for value in _values(part, is_block=part is not text):
                if value not in values:
                    values.append(value)
        found = [value for value in values if _has_fields(value)] or values
        if len(found) > 1:
            raise RefusedError(f"holds {len(found)} JSON values that differ")
        if found:
            return found[0]
    raise ValueError(f"not JSON ({reason})")


class RefusedError(ValueError):
    """JSON of which it is unclear what it says."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (name := repeated_key(pairs)) is not None:
        raise RefusedError(f"the field {shortened(name)!r} occurs twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise RefusedError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _strict(text: str) -> Any:
    """Return the value of a text that is JSON and nothing else."""
    return _DECODER.decode(text)


def _values(text: str, *, is_block: bool) -> Iterator[Any]:
    """Yield the values that may be the answer; a code block that is one array and nothing else has any content."""
    if is_block:
        try:
            yield _strict(text)
            return
        except RefusedError:
            raise
        except (ValueError, RecursionError):
            pass
    yield from _embedded(text)


def _has_fields(value: Any) -> bool:
    """Return True for an object, and for an array of objects."""
    return isinstance(value, dict) or (bool(value) and all(isinstance(part, dict) for part in value))


def _embedded(text: str) -> Iterator[Any]:
    """Yield the objects and arrays in a text that have content; those within another one are not looked for."""
    position = 0
    for _ in range(MOST_STARTS):
        position = min((at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1)
        if position < 0:
            return
        try:
            value, position = _DECODER.raw_decode(text, position)
        except RefusedError:
            raise
        except (ValueError, RecursionError):
            if _BEGUN.match(text, position):
                return  # what is inside a broken object is no answer
            position += 1
            continue
        if isinstance(value, dict) or not all(isinstance(part, int | float) for part in value):
            yield value  # [1] in a sentence is a reference


def _wanted(target: str) -> dict[tuple[str, ...], Any]:
    try:
        return _fields(target)
    except ValueError:
        raise unusable(target, "json", "not JSON") from None


@lru_cache(20_000)
def _fields(text: str) -> dict[tuple[str, ...], Any]:
    """Return the values of a JSON text by their paths through objects."""
    fields: dict[tuple[str, ...], Any] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), json.loads(text))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), part) for key, part in reversed(value.items())]
        if not isinstance(value, dict) or (path and not value):
            fields[path] = value
    return fields


def _repaired(text: str) -> Any:
    """Return the object or array that json-repair makes of a text; None where it makes none."""
    if len(text) > LONGEST_REPAIR or not _BEGUN_BADLY.search(text):
        return None
    from json_repair import repair_json

    block = _FENCE.search(text)
    try:
        value = repair_json(block[1] if block else text, return_objects=True)
        is_answer = isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(v, dict) for v in value)
        )
        return _strict(json.dumps(value)) if is_answer else None
    except (ValueError, RecursionError, TypeError):
        return None


def _validator(schema: Any) -> Any:
    require("jsonschema", "json with a schema")
    import jsonschema

    if not isinstance(schema, Mapping):
        raise UserError(f"config key task.scorer.schema takes a JSON schema as a mapping; found {schema!r}")
    try:
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UserError(f"config key task.scorer.schema is no JSON schema: {one_line(error.message)}") from None
    return kind(schema)


def _shown(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False))
