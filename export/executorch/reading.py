"""Reads what a .pte itself contains, without running it: tables that `step` indexes, kinds of numbers, delegates.

The file's own flatbuffers are read; the JSON file next to it is not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flatbuffers import number_types
from numpy.typing import NDArray

from export.executorch.signature import Delegation
from export.executorch.tables import child, children, number, root
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

LOOK_UP = "aten::index_select"
FLOAT = 6
"""ExecuTorch's number of float32."""
_HEADER = struct.Struct("<4x4sHIIIQ")
"""XNNPACK's header: "XH00", its length, offset and size of the graph, offset and size of constants."""
_MAGIC = b"XH00"
KINDS = {1: "fp32", 2: "fp16", 3: "qint8", 6: "qcint8", 8: "qcint4", 9: "qdint8", 10: "qbint4"}
"""XNNPACK's numbers of data types (schema.fbs of its backend) that tell a precision."""


@dataclass(frozen=True)
class PteContent:
    """The content of one method."""

    tables: tuple[NDArray[np.float32], ...]
    """Constants of one axis that an `index_select` outside the delegates reads, (N,) each."""
    kinds: frozenset[str]
    """Kinds of numbers inside XNNPACK's delegates, names of KINDS; those of constants begin with "constant "."""
    delegation: Delegation
    """As counted in the program; `planned_bytes` is not."""

    @property
    def precision(self) -> str:
        """The precision that the kinds of numbers amount to, as the manifest names it."""
        if self.kinds & {"constant qbint4", "constant qcint4"}:
            return "int4-dynamic"
        if "qint8" in self.kinds:
            return "int8"
        if "constant qcint8" in self.kinds:
            return "int8-dynamic"
        return "fp16" if "constant fp16" in self.kinds else "fp32"


def read_content(path: Path) -> PteContent:
    """Read a program of one method; raises `ExportError` if it is none."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        program = deserialize_pte_binary(path.read_bytes()).program
        (plan,) = program.execution_plan
        return PteContent(
            tuple(_tables(program, plan)),
            frozenset(kind for delegate in plan.delegates for kind in _kinds(program, delegate)),
            _delegation(plan),
        )
    except (ValueError, LookupError, TypeError, AssertionError, AttributeError, struct.error, OSError) as error:
        expected = "expected an ExecuTorch program of one method"
        raise ExportError(f"{path}: {expected}, got {type(error).__name__}: {error}; export it again") from error


def _calls(plan: Any) -> Iterator[Any]:
    """Arguments of every instruction, in order."""
    for chain in plan.chains:
        for instruction in chain.instructions:
            yield instruction.instr_args


def _name(plan: Any, number: int) -> str:
    return str(plan.operators[number].name)


def _tables(program: Any, plan: Any) -> Iterator[NDArray[np.float32]]:
    for call in _calls(plan):
        if hasattr(call, "op_index") and _name(plan, call.op_index) == LOOK_UP:
            tensor = plan.values[call.args[0]].val
            if len(tensor.sizes) == 1 and int(tensor.scalar_type) == FLOAT:
                data = bytes(program.constant_buffer[tensor.data_buffer_idx].storage)
                yield np.frombuffer(data, "<f4", tensor.sizes[0]).copy()


def _delegation(plan: Any) -> Delegation:
    """Delegates and operations, with the names of the file that is written next to the program (signature.py)."""
    counts: dict[str, int] = {}
    delegates = 0
    for call in _calls(plan):
        if hasattr(call, "delegate_index"):
            delegates += 1
        elif hasattr(call, "op_index"):
            operator = plan.operators[call.op_index]
            name = ".".join((operator.name.rpartition("::")[2], operator.overload or "default"))
            counts[name] = counts.get(name, 0) + 1
    return Delegation(delegates, dict(sorted(counts.items())), 0)


def _kinds(program: Any, delegate: Any) -> Iterator[str]:
    """Kinds of numbers of every value in XNNPACK's graph; nothing for another backend."""
    if delegate.id != "XnnpackBackend":
        return
    data = bytes(program.backend_delegate_data[delegate.processed.index].data)
    magic, _, start, size, _, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError(f"{quoted(magic)} in front of XNNPACK's graph")
    graph = root(data[start : start + size])
    for value in children(graph, 2):
        tensor = child(value, 1)
        if number(value, 0, number_types.Uint8Flags) == 2:  # quantized: the tensor is inside
            tensor = child(tensor, 0)
        kind = KINDS.get(number(tensor, 0, number_types.Int16Flags))
        if kind is not None:
            yield f"constant {kind}" if number(tensor, 3, number_types.Uint32Flags) else kind
