"""What stands beside images: captions, addresses, widths, anything that is not the image or its class.

Parquet, saved data sets     other columns: integers, floats and texts as such; lists and structs as JSON
tar shards                   other members of an image's key, by extension: txt, json, caption.txt, …, as text

Values are named when a store is made (``gridcode tokenize --columns``), read with the images, and written as columns
of the store. A source that is read by number has them in memory; a stream reads each with its image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self, final

import pyarrow as pa

from gridcode.data.source import Example, ImageSource, View, origin
from gridcode.errors import GridcodeError
from gridcode.files import to_json

TEXT: Final = "string"
"""The kind of what stands in tar files."""


@final
@dataclass(frozen=True)
class Beside:
    """Columns of all images of a source.

    Attributes:
        table: A row for each image, of the types that :func:`kind_of` names.

    >>> Beside(pa.table({"caption": ["a cat", None], "width": pa.array([4, 5], pa.int16())}))[0]
    {'caption': 'a cat', 'width': 4}
    """

    table: pa.Table

    @classmethod
    def of(cls, tables: Sequence[pa.Table], where: str) -> Self:
        """Those of several files.

        Raises:
            GridcodeError: The files' types do not go together, or a column holds bytes.
        """
        try:
            found = cls(pa.concat_tables(tables, promote_options="permissive"))
        except pa.ArrowException as error:
            reason = " ".join(str(error).split())
            raise GridcodeError(f"{where}: columns differ from file to file ({reason}); write them alike") from None
        _ = found.kinds
        return found

    @cached_property
    def kinds(self) -> dict[str, str]:
        """What a store calls each column's type."""
        return {column.name: kind_of(column) for column in self.table.schema}

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {
            name: as_kind(_python(self.table.column(name)[row], name), kind, name) for name, kind in self.kinds.items()
        }


@final
class WithColumns(View):
    """The images of a source, each with what stands beside it.

    Args:
        source: The images, perhaps a part or a view of others.
        beside: The columns of all images that the parts and views rest on.

    Attributes:
        columns: What is beside each, by name, and of which kind it is.
    """

    def __init__(self, source: ImageSource, beside: Beside) -> None:
        super().__init__(source)
        self.columns, self._beside = beside.kinds, beside

    def __getitem__(self, index: int) -> Example:
        return replace(self._source[index], beside=self._beside[origin(self._source, index)[1]])


def kind_of(column: pa.Field) -> str:
    """What a store calls the type of a column: 'int64', 'float64' or 'string'.

    Raises:
        GridcodeError: It holds bytes.

    >>> [kind_of(pa.field("a", kind)) for kind in (pa.bool_(), pa.float16(), pa.string(), pa.list_(pa.int8()))]
    ['int64', 'float64', 'string', 'string']
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return "int64"
    if pa.types.is_floating(kind):
        return "float64"
    if _holds_bytes(kind):
        raise GridcodeError(f"columns: '{column.name}' holds bytes, which a token store does not keep; leave it out")
    return TEXT


def as_kind(value: Any, kind: str, name: str) -> Any:
    """A value of a column as a store keeps it; what is no number and no text becomes JSON, and what has none, text.

    Raises:
        GridcodeError: An integer is beyond int64.

    >>> as_kind([1, 2], "string", "box"), as_kind(True, "int64", "seen"), as_kind(None, "string", "caption")
    ('[1, 2]', 1, None)
    >>> from datetime import date
    >>> as_kind(date(2024, 5, 1), "string", "taken"), as_kind([date(2024, 5, 1)], "string", "seen")
    ('2024-05-01', '["2024-05-01"]')
    """
    if value is None or (kind == TEXT and isinstance(value, str)):
        return value
    if kind == "float64":
        return float(value)
    if kind == TEXT:
        return to_json(value, other=str) if isinstance(value, list | dict) else str(value)
    if not -(2**63) <= value < 2**63:
        raise GridcodeError(f"columns: '{name}' has the integer {value}, beyond int64; leave the column out")
    return int(value)


def chosen(schema: pa.Schema, names: Sequence[str], image: str, where: str) -> list[pa.Field]:
    """The columns of those names.

    Raises:
        GridcodeError: One is not there, or is that of the images.
    """
    there = [name for name in schema.names if name != image]
    return [schema.field(name) if name in there else _none(name, there, where) for name in names]


def check_found(names: Sequence[str], there: Iterable[str], where: str) -> None:
    """Refuse names that nothing has.

    Raises:
        GridcodeError: There is one.
    """
    for name in names:
        if name not in there:
            _none(name, sorted(there), where)


def texts_of(members: Mapping[str, bytes | None]) -> dict[str, str | None]:
    """The texts of members, by extension; what is not UTF-8 in them is replaced."""
    return {name: None if data is None else data.decode("utf-8", "replace") for name, data in members.items()}


def _none(name: str, there: Sequence[str], where: str) -> Any:
    seen = ", ".join(there[:20]) or "nothing"
    raise GridcodeError(f"{where}: nothing called '{name}' beside the images, only {seen}; name others")


def _python(value: pa.Scalar, name: str) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        raise GridcodeError(f"columns: '{name}' has a text that is not UTF-8 ({error}); leave the column out") from None


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    if any(found(kind) for found in is_bytes):
        return True
    return any(_holds_bytes(kind.field(place).type) for place in range(getattr(kind, "num_fields", 0)))
