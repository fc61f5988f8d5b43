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
from numpy.typing import NDArray

from export.executorch.signature import Delegation
from export.executorch.xnnpack_graph import GraphValue, read_graphs
from mobile_diffusion.errors import ExportError

LOOK_UP = "aten::index_select"
FLOAT = 6
"""ExecuTorch's number of float32."""


@dataclass(frozen=True)
class PteContent:
    """The content of one method."""

    tables: tuple[NDArray[np.float32], ...]
    """Constants of one axis that an `index_select` outside the delegates reads, (N,) each."""
    kinds: frozenset[str]
    """Kinds of numbers inside XNNPACK's delegates (xnnpack_graph.py); those of constants begin with "constant "."""
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
        file = deserialize_pte_binary(path.read_bytes())
        program = file.program
        (plan,) = program.execution_plan
        return PteContent(
            tuple(_tables(program, plan)),
            frozenset(_kind(value) for graph in read_graphs(file) for value in graph.values),
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


def _kind(value: GraphValue) -> str:
    return f"constant {value.kind}" if value.constant else value.kind
