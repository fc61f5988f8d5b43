"""Reads flatbuffers field by field: the tables of a `.pte` and of XNNPACK's graphs, without ExecuTorch's own readers.

A field's number is its place in the schema (program.fbs of executorch/schema; a union takes two).  Damaged files raise
`ValueError`, `IndexError`, `TypeError` or `struct.error`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flatbuffers import number_types
from flatbuffers.encode import Get
from flatbuffers.packer import uoffset
from flatbuffers.table import Table


def root(data: bytes) -> Table:
    """Return the outermost table."""
    return Table(bytearray(data), Get(uoffset, data, 0))


def number(table: Table, field: int, kind: Any) -> int:
    """Return a number of a kind of `flatbuffers.number_types`; 0 if it has the default."""
    offset = _slot(table, field)
    return int(table.Get(kind, table.Pos + offset)) if offset else 0


def child(table: Table, field: int) -> Table:
    """Return a table inside; raises `ValueError` if there is none."""
    offset = _slot(table, field)
    if not offset:
        raise ValueError(f"no field {field} in a table")
    return Table(table.Bytes, table.Indirect(table.Pos + offset))


def children(table: Table, field: int) -> Iterator[Table]:
    """Yield the tables of a vector."""
    offset = _slot(table, field)
    if offset:
        start = table.Vector(offset)
        for place in range(table.VectorLen(offset)):
            yield Table(table.Bytes, table.Indirect(start + number_types.UOffsetTFlags.bytewidth * place))


def numbers(table: Table, field: int, dtype: str) -> list[int]:
    """Return the numbers of a vector, of numpy's dtype."""
    offset = _slot(table, field)
    return np.frombuffer(table.Bytes, dtype, table.VectorLen(offset), table.Vector(offset)).tolist() if offset else []


def data_of(table: Table, field: int) -> bytes:
    """Return the bytes of a vector or string."""
    return bytes(numbers(table, field, "u1"))


def text(table: Table, field: int) -> str:
    """Return a string."""
    return data_of(table, field).decode("utf-8")


def _slot(table: Table, field: int) -> int:
    """Offset of a field from the table's start; 0 if it has the default."""
    return int(table.Offset(4 + 2 * field))
