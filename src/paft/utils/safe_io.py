"""Reading files that may come from anybody: limits on their size, and safe YAML."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from paft.errors import UserError, one_line

CONFIG = 1_000_000
"""Bytes of a config, of an adapter's config, of a chat template."""

VALUES = 100_000
"""Values in a YAML file, those behind an alias counted wherever it stands."""

DEPTH = 200
"""Collections within each other in a YAML file."""

PROMPTS = 50_000_000
"""Bytes of a prompt file."""

DATA = 500_000_000
"""Bytes of a data file, and of what a compressed one unpacks to."""

GZIP = b"\x1f\x8b\x08"
"""The first bytes of a file that gzip compressed."""

ROW = 100
"""Bytes that a row of a table takes beside its values, at least."""


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a file that is not compressed.

    Raises:
        UserError: it cannot be read, is larger than ``most`` bytes, or is compressed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > most:
        raise too_large(path, most)
    if content.startswith(GZIP):
        raise UserError(f"{path}: compressed with gzip; rename it to end in .gz and unpack it with gunzip")
    return content


def read_text(path: Path, most: int) -> str:
    """Return a text file's content; a byte order mark is dropped."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; convert it") from None


def parquet_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield a table in batches; one that unpacks to more than :data:`DATA` is refused before it is there.

    Raises:
        UserError: it is too large.
        OSError, ValueError, pyarrow.ArrowException: it cannot be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    fields = [f for f in file.schema_arrow if columns is None or f.name in columns]
    plain = pa.schema(  # a dictionary hides how large its values are when they are written out
        [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in fields]
    )
    if any("dictionary<" in str(kind) for kind in plain.types):
        raise ValueError("dictionaries within lists or structures; save the table without them")
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    packed = max(1, sum(group.total_byte_size for group in groups))
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    wanted = [c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in plain.names]
    size = 0
    for batch in file.iter_batches(batch_size=min(max(DATA // max(1, sum(wanted)), 1), 1_000), columns=columns):
        batch = batch.select(plain.names).cast(plain)
        size += batch.nbytes + ROW * batch.num_rows
        if max(size, packed) > DATA:
            raise too_large(path, DATA)
        yield batch


def too_large(path: Path, most: int) -> UserError:
    """Return the error for a file that holds more than ``most`` bytes."""
    return UserError(f"{path}: more than {most:,} bytes, the limit; split it or take a part")


class Loader(yaml.SafeLoader):
    """YAML as paft reads it.

    ``1e-4`` is a number, as in YAML 1.2. A key appears only once. Brackets nest at most :data:`DEPTH` deep.
    """

    def fetch_flow_collection_start(self, kind: Any) -> None:
        """Stop at once: PyYAML looks at every open bracket for every token, so thousands take minutes."""
        if self.flow_level == DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(kind)

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Refuse a key that appears twice; PyYAML takes the last and drops the others."""
        node, known = super().compose_mapping_node(anchor), set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in known:
                problem = f"the key {key.value!r} appears twice; remove one"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            known.add((key.tag, key.value))
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Read ``off:`` and the like as words; YAML 1.1 reads them as booleans."""
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def yaml_tree(text: str, place: str, loader: Any = Loader, kind: str = "YAML") -> Any:
    """Return what a YAML text holds; tags that would make objects are refused by the loader.

    Args:
        kind: the expected format, for error messages.

    Raises:
        UserError: it is not YAML, contains itself, or expands to more than :data:`VALUES` values.
    """
    try:
        tree = yaml.load(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise UserError(f"{place}{line}: not {kind}: {one_line(problem)}") from None
    except RecursionError:
        raise UserError(f"{place}: nested too deeply") from None
    except Exception as error:  # a date or number that YAML recognises and Python does not; PyYAML raises anything
        raise UserError(f"{place}: a value is no {one_line(error)}; put it in quotes") from None
    try:
        size = _unfolded(tree, {}, set())
    except RecursionError:
        raise UserError(f"{place}: a value contains itself, or is nested too deeply") from None
    except UnicodeEncodeError:
        raise UserError(f"{place}: holds half of a surrogate pair; fix the text") from None
    if size > VALUES:
        raise UserError(f"{place}: its aliases expand to more than {VALUES:,} values; write it without them")
    return tree


def _unfolded(node: Any, known: dict[int, int], above: set[int]) -> int:
    """Return how many values a tree holds with each alias written out; RecursionError where it has no end."""
    if isinstance(node, str):
        node.encode()
    if not isinstance(node, dict | list | tuple | set):
        return 1
    if id(node) in above or len(above) > DEPTH:
        raise RecursionError
    if id(node) not in known:
        below = [*node.keys(), *node.values()] if isinstance(node, dict) else list(node)
        above.add(id(node))
        known[id(node)] = 1 + sum(_unfolded(value, known, above) for value in below)
        above.discard(id(node))
    return known[id(node)]
