"""Reading and writing files: nothing is half written, and every error names its place."""

import errno
import json
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paft.errors import UserError, one_line
from paft.utils.safe_io import PROMPTS, read_bytes


def read_jsonl(path: Path, most: int = PROMPTS) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number, object)`` of a JSON lines file.

    Raises:
        UserError: the file cannot be read or is larger than ``most`` bytes, or a line is empty, or not a whole
            object.
    """
    lines = read_bytes(path, most).split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UserError(f"{path}: the file is empty")
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            raise UserError(f"{path}:{number}: empty line; remove it")
        row = _parse(f"{path}:{number}", raw, "object")
        _check_object(f"{path}:{number}", row)
        yield number, row


def read_json(path: Path, most: int) -> list[dict[str, Any]]:
    """Return the objects of a JSON file: a list of them, or one per line.

    Raises:
        UserError: as :func:`read_jsonl`; the error of a list names the row.
    """
    raw = read_bytes(path, most)
    if not raw.removeprefix(BOM_UTF8).lstrip().startswith(b"["):
        return [row for _, row in read_jsonl(path, most)]
    rows: list[Any] = _parse(str(path), raw, "list")
    for number, row in enumerate(rows, start=1):
        _check_object(f"{path}: row {number}", row)
    return rows


def _parse(place: str, raw: bytes, kind: str) -> Any:
    """Return the value of a JSON text that is to be an object or a list."""
    try:
        value = json.loads(raw, object_pairs_hook=_unrepeated)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            reason = error.msg if error.lineno == 1 else f"line {error.lineno}: {error.msg}"
        else:
            reason = "not UTF-8 text, or nested too deeply"
        raise UserError(
            f"{place}: not a whole JSON {kind} ({reason}); fix the {'line' if kind == 'object' else 'file'}"
        ) from None
    if b"\\ud" in raw.lower() and not _encodable(value):
        raise UserError(f"{place}: holds half of a surrogate pair (\\ud...); fix the text")
    return value


def _check_object(place: str, row: Any) -> None:
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected a JSON object, found {type(row).__name__}")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of a JSON text, of which JSON itself would keep the last value of a repeated key."""
    if (key := repeated_key(pairs)) is not None:
        raise UserError(f"the key {key!r} is there twice; keep one")
    return dict(pairs)


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """Return the first key of a JSON object that is there twice; None if there is none."""
    if len(dict(pairs)) == len(pairs):
        return None
    keys = [key for key, _ in pairs]
    return next(key for key in keys if keys.count(key) > 1)


def _encodable(row: Any) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(text: str) -> str:
    """Return a text with each half of a surrogate pair replaced, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines, all or nothing."""
    write_text(path, as_jsonl(rows))


def as_jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append a line that is on the disk when this returns; a truncated line before it is dropped."""
    make_folder(path.parent)
    line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    with path.open("ab+") as log:
        log.seek(max(log.seek(0, os.SEEK_END) - 1, 0))
        if log.read(1) not in (b"", b"\n"):
            log.seek(0)
            log.truncate(log.read().rfind(b"\n") + 1)
        log.write(line)
        log.flush()
        os.fsync(log.fileno())


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows that :func:`append_jsonl` has written.

    A truncated last row, expected after a kill, is dropped.

    Raises:
        UserError: another line is not a JSON object.
    """
    if not path.is_file():
        return []
    rows = []
    *lines, _truncated = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: not a whole JSON object; fix or remove the line")
        rows.append(row)
    return rows


def read_keyed(path: Path, names: Set[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of a log by their ``key``.

    Raises:
        UserError: a row lacks it, or one of the other names.
    """
    rows = read_log(path)
    for number, row in enumerate(rows, start=1):
        if lacking := sorted({"key", *names} - row.keys()):
            raise UserError(f"{path}:{number}: no {lacking[0]!r}; fix or remove the line")
    return {row["key"]: row for row in rows}


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{path}: cannot make the folder: {error.strerror}; choose another --output"
        raise UserError(storage_problem(error) or problem) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing; a file that holds the text already is left as it is.

    Raises:
        UserError: it cannot be written.
    """
    content = text.encode("utf-8", "replace")
    if _is_stream(path):
        path.write_bytes(content)
        return
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return
    except OSError:
        pass  # not there, or not readable: written anew
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        problem = f"{path}: cannot write: {error.strerror}; choose another --output"
        raise UserError(storage_problem(error) or problem) from None


def _is_stream(path: Path) -> bool:
    """Return True for what is written to and not replaced: ``/dev/null``, ``/dev/stdout``, a named pipe."""
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False  # writing says why


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place when the block ends without an error.

    Where ``path`` is a link, the file that it leads to is replaced.
    """
    path = path.resolve() if path.is_symlink() else path
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


STORAGE_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the folder is read-only; choose another --output",
    errno.EACCES: "no permission; choose another --output or change the permissions",
    errno.EPERM: "no permission; choose another --output or change the permissions",
    errno.ENOTDIR: "a part of the path is a file; choose another --output",
    errno.EISDIR: "a folder is in the way of a file; choose another --output",
}


def memory_problem(error: BaseException) -> str | None:
    """Return one line for an error of too little memory, None for any other; torch has several of its own."""
    if isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory", str(error)):
        return (
            f"too little memory ({one_line(error, 100)}); lower training.batch_size, training.max_length or "
            "evaluation.batch_tokens, and run the same command again; finished work is kept"
        )
    return None


def storage_problem(error: BaseException) -> str | None:
    """Return one line for an error of the disk that the user can fix, None for any other.

    safetensors and torch report a full disk with errors of their own, known by their text.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and re.search(
        r"os error 28\b|No space left on device|PytorchStreamWriter failed|\.cc:\d+\] \. unexpected pos",
        str(error),
    ):
        number = errno.ENOSPC
    fix = STORAGE_ERRORS.get(number or 0)
    if fix is None:
        return None
    place = f"{name}: " if (name := getattr(error, "filename", None)) else ""
    return f"{place}cannot write: {fix} and run the same command again; finished work is kept"
