"""Describes a program as steps that can be divided into parts: what each step reads and writes, and its weights.

A step is an operation that depends on the program's inputs.  Constants, and values computed only from constants
(compressed weights), belong to no step: they are repeated in each part that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from export.coreml.repack import file_values, stored_bytes
from mobile_diffusion.errors import ExportError

MAIN = "main"
Place = tuple[str, int]
"""A record: the name of its file in the program, and its offset."""
CROSSING = {"fp16": 2, "fp32": 4, "int32": 4}
"""Types that a Core ML model can take and return, with their size in bytes."""
BETWEEN = "int32"
"""Type in which the types of CAST cross from one part to another; it can represent all of their values."""
CAST = frozenset({"bool", "int8", "uint8", "int16", "uint16"})
"""Types that are cast to BETWEEN, because a Core ML model cannot take or return them."""


@dataclass(frozen=True)
class ProgramStep:
    """One operation that computes something from the program's inputs."""

    number: int
    """Position among the block's operations."""
    reads: frozenset[str]
    """Inputs of the program and values of other steps that this step reads."""
    writes: tuple[str, ...]
    constants: frozenset[int]
    """Positions of the operations that compute its constants, directly or indirectly."""
    weights: frozenset[Place]
    """Records that the step and its constants read."""


@dataclass(frozen=True)
class Steps:
    """The steps of a program, with what is needed to cut it."""

    block: Any
    """The message `Block` of the main function."""
    steps: tuple[ProgramStep, ...]
    constants: Mapping[str, frozenset[int]]
    """Values that depend on no input, each with the positions of the operations that compute it."""
    types: Mapping[str, Any]
    """Messages `ValueType` of the inputs and of all results."""
    sizes: Mapping[Place, int]
    """Bytes that each record takes in a file."""


def read_steps(package: CoreMLPackage) -> Steps:
    """Return the steps of a package's main function, in order.

    Raises:
        ExportError: the package is not an ML Program with one function and no state, or a weight cannot be read.
    """
    function = main_function(package)
    block = function.block_specializations[function.opset]
    sizes = {
        (value.blobFileValue.fileName, value.blobFileValue.offset): stored_bytes(package.record(value))
        for operation in block.operations
        for value in file_values(operation)
    }
    constants: dict[str, frozenset[int]] = {}
    steps: list[ProgramStep] = []
    for number, operation in enumerate(block.operations):
        names = frozenset(names_read(operation))
        needed = frozenset[int]().union(*(constants[name] for name in names if name in constants))
        if is_constant(operation, names - constants.keys()):
            constants |= {out.name: needed | {number} for out in operation.outputs}
            continue
        weights = frozenset(place for one in (*needed, number) for place in places(block.operations[one]))
        writes = tuple(out.name for out in operation.outputs)
        steps.append(ProgramStep(number, names - constants.keys(), writes, needed, weights))
    types = {value.name: value.type for value in function.inputs}
    types |= {out.name: out.type for operation in block.operations for out in operation.outputs}
    return Steps(block, tuple(steps), constants, types, sizes)


def main_function(package: CoreMLPackage) -> Any:
    """Return the only function of a package's ML Program.

    Raises `ExportError` for another kind of model, several functions, or a program with state.
    """
    kind = package.spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise ExportError(f"{package.path}: expected an ML program, got a {kind or 'package without a model'}")
    functions = package.spec.mlProgram.functions
    if list(functions) != [MAIN]:
        raise ExportError(f"{package.path}: expected the one function {MAIN!r}, got {', '.join(sorted(functions))}")
    if any(value.type.WhichOneof("type") == "stateType" for value in functions[MAIN].inputs):
        raise ExportError(f"{package.path}: expected a program without state, got one that keeps state between calls")
    return functions[MAIN]


def is_constant(operation: Any, computed: frozenset[str]) -> bool:
    """Return whether an operation is constant; `computed` has the names that it reads of inputs and other steps."""
    kind = str(operation.type)
    return kind.startswith("const") or (not computed and not kind.startswith("random"))


def names_read(operation: Any) -> Iterator[str]:
    """Yield the names of the outer values that an operation, or a block inside it, reads."""
    for argument in operation.inputs.values():
        yield from (one.name for one in argument.arguments if one.WhichOneof("binding") == "name")
    for block in operation.blocks:
        own = {value.name for value in block.inputs}
        own |= {out.name for inner in block.operations for out in inner.outputs}
        names = [name for inner in block.operations for name in names_read(inner)]
        yield from (name for name in (*names, *block.outputs) if name not in own)


def places(operation: Any) -> Iterator[Place]:
    """Yield the records that an operation reads."""
    for value in file_values(operation):
        yield value.blobFileValue.fileName, value.blobFileValue.offset


def crossing_bytes(kind: Any) -> int | None:
    """Return the bytes of a value that crosses a joint; None if it cannot cross, as Core ML models take no scalars."""
    if kind.WhichOneof("type") != "tensorType":
        return None
    dtype, shape = dtype_of(kind.tensorType), shape_of(kind.tensorType)
    width = CROSSING.get(BETWEEN if dtype in CAST else dtype)
    return None if width is None or not shape else width * math.prod(shape)
