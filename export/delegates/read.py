"""Reads a `.pte` that is one call of one delegate, without running it, and without ExecuTorch.

The file has the payload in segments, which are not copied when it is read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flatbuffers.number_types import Int8Flags, Int32Flags, Uint8Flags, Uint32Flags, Uint64Flags
from flatbuffers.table import Table

from export.executorch.tables import child, children, data_of, number, numbers, root, text
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted, shortened

HEADER = struct.Struct("<4x2s2x4s4xQQQ")
"""The kind of file; of the extended header its kind, the size of the tables, and start and size of the segments."""
MAGIC, EXTENDED = b"ET", b"eh00"
KERNEL_CALL, DELEGATE_CALL = 1, 2
"""Kinds of instructions."""


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
        (plan,) = (plan for plan in children(program, 1) if text(plan, 0) == stage)
        calls, tensors = list(calls_of(plan)), [*numbers(plan, 3, "<i4"), *numbers(plan, 4, "<i4")]
        found = [delegate_of(program, plan, delegate, segments) for delegate in children(plan, 7)]
    except Exception as error:  # upstream's reader raises whatever a damaged table leads to
        reason = shortened(f"{type(error).__name__}: {error}")
        raise ExportError(
            f"{path}: expected an ExecuTorch program of {stage}, got a file that is damaged or another: {reason}; "
            "export it again"
        ) from None
    check_calls(path, calls, tensors)
    (delegate,) = found
    return delegate


def parse(data: memoryview) -> tuple[Table, list[memoryview]]:
    """Return the tables of a file and its segments; raises `ValueError` if it is cut off or of another kind."""
    kind, extended, size, base, rest = HEADER.unpack_from(data)
    if (kind, extended) != (MAGIC, EXTENDED):
        raise ValueError(f"expected a header of ExecuTorch, got {quoted(bytes(data[:8]))}")
    if max(size, base + rest) > len(data):
        raise ValueError(f"expected {max(size, base + rest)} bytes, got {len(data)}")
    program = root(bytes(data[:size]))
    places = [(base + number(each, 0, Uint64Flags), number(each, 1, Uint64Flags)) for each in children(program, 4)]
    return program, [data[start : start + length] for start, length in places]


def delegate_of(program: Table, plan: Table, delegate: Table, segments: Sequence[memoryview]) -> Delegate:
    """Return a delegate of a method."""
    processed = child(delegate, 1)
    in_segment, index = number(processed, 0, Int8Flags), number(processed, 1, Uint32Flags)
    inline = [] if in_segment else [memoryview(data_of(each, 0)) for each in children(program, 3)]
    payload = segments[index] if in_segment else inline[index]
    named = {text(each, 0): segments[number(each, 1, Uint32Flags)] for each in children(program, 7)}
    settings = {text(each, 0): data_of(each, 1) for each in children(delegate, 2)}
    return Delegate(text(delegate, 0), settings, payload, named, sum(numbers(plan, 8, "<i8")))


@dataclass(frozen=True)
class Call:
    """One instruction of a method."""

    kind: int
    kernel: str
    """Name of the operation; "" unless it is one of ExecuTorch's kernels."""
    arguments: Sequence[int]
    """Places of the values that it reads and writes."""


def calls_of(plan: Table) -> Iterator[Call]:
    """Yield the instructions of a method, in order."""
    operators = [text(each, 0) for each in children(plan, 6)]
    for chain in children(plan, 5):
        for instruction in children(chain, 2):
            kind, call = number(instruction, 0, Uint8Flags), child(instruction, 1)
            kernel = operators[number(call, 0, Int32Flags)] if kind == KERNEL_CALL else ""
            yield Call(kind, kernel, numbers(call, 1, "<i4") if kind in (KERNEL_CALL, DELEGATE_CALL) else ())


def check_calls(path: Path, calls: Sequence[Call], tensors: Sequence[int]) -> None:
    """Raise `ExportError` unless a method is one call of a delegate with its inputs and outputs, `tensors`."""
    kernels = [call.kernel for call in calls if call.kind == KERNEL_CALL]
    if kernels:
        raise ExportError(
            f"{path}: expected one delegate with nothing outside it, got {shortened(', '.join(kernels))} outside; "
            "export it again"
        )
    delegated = [call for call in calls if call.kind == DELEGATE_CALL]
    if len(calls) != 1 or len(delegated) != 1 or delegated[0].arguments != tensors:
        raise ExportError(
            f"{path}: expected one call of one delegate, got {len(calls)} instructions with {len(delegated)}; "
            "export it again"
        )
