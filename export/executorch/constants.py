"""Reads the constants of a .pte: those outside the delegates, and those of XNNPACK's graphs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.executorch.xnnpack_graph import XnnpackGraph, read_graphs
from mobile_diffusion.errors import ExportError

DTYPES = {"fp32": "<f4", "fp16": "<f2", "qcint8": "i1", "qcint32": "<i4", "qint8": "i1", "qint32": "<i4"}
"""XNNPACK's kind of number -> numpy's dtype; of other kinds the bytes are returned."""


def constants_of(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name and the numbers of every constant; raises `ExportError` if it is not a program of one method."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        file = deserialize_pte_binary(path.read_bytes())
        outside = [bytes(each.storage) for each in file.program.constant_buffer]
        graphs = list(read_graphs(file))
    except (ValueError, LookupError, TypeError, AssertionError, AttributeError, struct.error, OSError) as error:
        expected = "expected an ExecuTorch program of one method"
        raise ExportError(f"{path}: {expected}, got {type(error).__name__}: {error}; export it again") from error
    for number, data in enumerate(outside):
        yield f"constant {number} outside XNNPACK", np.frombuffer(data, np.uint8)
    for number, graph in enumerate(graphs):
        where = f" of graph {number}" if len(graphs) > 1 else ""
        yield from ((f"{name}{where}", array) for name, array in _inside(graph))


def _inside(graph: XnnpackGraph) -> Iterator[tuple[str, NDArray[Any]]]:
    """The constants of one graph; a scale of quantized weights belongs to no value, and its shape is not known."""
    values = {value.constant: value for value in graph.values}
    for number, data in enumerate(graph.constants):
        value = values.get(number) if number else None
        name = f"XNNPACK's constant {number}"
        dtype = None if value is None else DTYPES.get(value.kind)
        if value is None or dtype is None:
            yield name, np.frombuffer(data, np.uint8)
        else:
            yield name, np.frombuffer(data, dtype).reshape(value.shape)
