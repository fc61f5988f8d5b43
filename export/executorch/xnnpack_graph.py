"""Reads the graphs of XNNPACK inside a .pte: the kinds of their values, and their constants."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flatbuffers import number_types
from flatbuffers.table import Table

from export.executorch.tables import child, children, number, numbers, root, text
from mobile_diffusion.quoting import quoted

BACKEND = "XnnpackBackend"
_HEADER = struct.Struct("<4x4sHIIIQ")
"""XNNPACK's header: "XH00", its length, offset and size of the graph, offset and size of constants."""
_MAGIC = b"XH00"
KINDS = {
    1: "fp32",
    2: "fp16",
    3: "qint8",
    5: "qint32",
    6: "qcint8",
    7: "qcint32",
    8: "qcint4",
    9: "qdint8",
    10: "qbint4",
}
"""XNNPACK's numbers of data types (schema.fbs of its backend) that a program of ours has."""
_QUANTIZED = 2
"""The number of XNNQuantizedTensorValue in the union of values."""
_NAMED = 2**64 - 1
"""Offset of a constant that stands in the file under a name of its own."""


@dataclass(frozen=True)
class GraphValue:
    """One value of a graph."""

    kind: str
    """A name of KINDS, or the number of another data type."""
    shape: tuple[int, ...]
    constant: int
    """Its place among the constants; 0 for a value that is computed."""


@dataclass(frozen=True)
class XnnpackGraph:
    """One delegate's graph."""

    values: tuple[GraphValue, ...]
    constants: tuple[bytes, ...]
    """The first is reserved and empty."""


def read_graphs(file: Any) -> Iterator[XnnpackGraph]:
    """Read every graph of a deserialized file (`PTEFile`); delegates of other backends are left out.

    Raises `ValueError`, `LookupError`, `TypeError` or `struct.error` where it is damaged.
    """
    (plan,) = file.program.execution_plan
    for delegate in plan.delegates:
        if delegate.id == BACKEND:
            yield _graph(bytes(file.program.backend_delegate_data[delegate.processed.index].data), _named(file))


def _graph(data: bytes, named: Mapping[str, bytes]) -> XnnpackGraph:
    magic, _, start, size, base, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError(f"{quoted(magic)} in front of XNNPACK's graph")
    graph = root(data[start : start + size])
    constants = tuple(_constant(each, data, base, named) for each in children(graph, 8))
    return XnnpackGraph(tuple(map(_value, children(graph, 2))), constants)


def _value(value: Table) -> GraphValue:
    tensor = child(value, 1)
    if number(value, 0, number_types.Uint8Flags) == _QUANTIZED:  # the tensor is inside
        tensor = child(tensor, 0)
    kind = number(tensor, 0, number_types.Int16Flags)
    shape = tuple(numbers(tensor, 2, "<u4"))
    return GraphValue(KINDS.get(kind, str(kind)), shape, number(tensor, 3, number_types.Uint32Flags))


def _constant(entry: Table, data: bytes, base: int, named: Mapping[str, bytes]) -> bytes:
    offset, size = (number(entry, field, number_types.Uint64Flags) for field in (0, 1))
    return named[text(entry, 2)][:size] if offset == _NAMED else data[base + offset : base + offset + size]


def _named(file: Any) -> dict[str, bytes]:
    """Bytes that stand in the file under a name."""
    store = file.named_data
    return {} if store is None else {key: store.buffers[entry.buffer_index] for key, entry in store.pte_data.items()}
