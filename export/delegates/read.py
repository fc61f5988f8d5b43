"""Reads a `.pte` that is one call of one delegate, without running it.

The file has the payload in segments, which are not copied when it is read.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from executorch.exir._serialize._flatbuffer_program import _flatbuffer_to_program
from executorch.exir._serialize._program import _get_extended_header
from executorch.exir.schema import DataLocation, DelegateCall, ExecutionPlan, KernelCall, Program

from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted, shortened

MAGIC = b"ET"
"""At byte 4 of a program of ExecuTorch; the version follows."""


@dataclass(frozen=True)
class Delegate:
    """The delegate of a program, as its file has it."""

    backend: str
    settings: Mapping[str, bytes]
    payload: memoryview
    named: Mapping[str, memoryview]
    """Data that the payload refers to, by name."""
    planned_bytes: int
    """Memory for the inputs and outputs."""


def read_program(path: Path, stage: str) -> Delegate:
    """Return the delegate of a program.

    Raises:
        ExportError: The file is damaged or no program of ExecuTorch, or the method of the stage is anything else than
            one call of a delegate; operations outside of one are named.
    """
    if not path.is_file():
        raise ExportError(f"{path}: expected an ExecuTorch program, got no file; export it again")
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        program, segments = parse(data)
        (plan,) = (plan for plan in program.execution_plan if plan.name == stage)
    except Exception as error:  # upstream's reader raises whatever a damaged table leads to
        reason = shortened(f"{type(error).__name__}: {error}")
        raise ExportError(
            f"{path}: expected an ExecuTorch program of {stage}, got a file that is damaged or another: {reason}; "
            "export it again"
        ) from None
    check_plan(path, plan)
    (delegate,) = plan.delegates
    inline = delegate.processed.location == DataLocation.INLINE
    index = delegate.processed.index
    payload = memoryview(bytes(program.backend_delegate_data[index].data)) if inline else segments[index]
    named = {entry.key: segments[entry.segment_index] for entry in program.named_data or ()}
    settings = {spec.key: bytes(spec.value) for spec in delegate.compile_specs}
    return Delegate(delegate.id, settings, payload, named, sum(plan.non_const_buffer_sizes))


def parse(data: memoryview) -> tuple[Program, list[memoryview]]:
    """Return the tables of a file and its segments; raises `ValueError` if it is cut off or of another kind."""
    head = bytes(data[:64])
    header = _get_extended_header(head)
    if head[4:6] != MAGIC or header is None:
        raise ValueError(f"expected a header of ExecuTorch, got {quoted(head[:8])}")
    end = header.segment_base_offset + header.segment_data_size
    if max(header.program_size, end) > len(data):
        raise ValueError(f"expected {max(header.program_size, end)} bytes, got {len(data)}")
    program = _flatbuffer_to_program(bytes(data[: header.program_size]))
    base = header.segment_base_offset
    return program, [data[base + each.offset : base + each.offset + each.size] for each in program.segments]


def check_plan(path: Path, plan: ExecutionPlan) -> None:
    """Raise `ExportError` unless a method is one call of a delegate with its inputs and outputs in order."""
    calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
    kernels = [plan.operators[call.op_index].name for call in calls if isinstance(call, KernelCall)]
    if kernels:
        raise ExportError(
            f"{path}: expected one delegate with nothing outside it, got {shortened(', '.join(kernels))} outside; "
            "export it again"
        )
    delegated = [call for call in calls if isinstance(call, DelegateCall)]
    if len(calls) != 1 or len(delegated) != 1 or delegated[0].args != [*plan.inputs, *plan.outputs]:
        raise ExportError(
            f"{path}: expected one call of one delegate, got {len(calls)} instructions with {len(delegated)}; "
            "export it again"
        )
