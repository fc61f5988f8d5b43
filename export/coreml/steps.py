"""A program's operations as steps that can be dealt out to parts: what each reads, writes and weighs.

Constants, and what is computed from constants alone (compressed weights), belong to no step: they are repeated
wherever they are read.
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
"""A record: its file as the program names it, and its offset."""
CROSSING = {"fp16": 2, "fp32": 4, "int32": 4}
"""Types that may be inputs and outputs of a Core ML model, with their bytes."""
BETWEEN = "int32"
"""Type in which integers and booleans of other types cross from one part to another: it holds all of their values."""
CAST = frozenset({"bool", "int8", "uint8", "int16", "uint16"})
"""Those types."""


@dataclass(frozen=True)
class ProgramStep:
    """One operation that computes something from the program's inputs."""

    number: int
    """Its place among the block's operations."""
    reads: frozenset[str]
    """Inputs of the program, and values of other steps."""
    writes: tuple[str, ...]
    constants: frozenset[int]
    """Places of the operations that give it constants, and of those that these need."""
    weights: frozenset[Place]
    """Records that it and its constants read."""


@dataclass(frozen=True)
class Steps:
    """A program, read for cutting."""

    block: Any
    """The message `Block` of its main function."""
    steps: tuple[ProgramStep, ...]
    constants: Mapping[str, frozenset[int]]
    """Values that depend on no input, with the operations that they need, their own included."""
    types: Mapping[str, Any]
    """Messages `ValueType` of the inputs and of all that operations write."""
    sizes: Mapping[Place, int]
    """Bytes that each record takes in a file."""


def read_steps(package: CoreMLPackage) -> Steps:
    """The steps of a package's main function, in order.

    Raises:
        ExportError: the package is no ML program of one function without state, or a weight cannot be read.
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
    """The only function of a package's ML program; raises `ExportError` for another kind of model."""
    kind = package.spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise ExportError(f"{package.path}: expected an ML program, got a {kind or 'package without a model'}")
    functions = package.spec.mlProgram.functions
    if list(functions) != [MAIN]:
        raise ExportError(f"{package.path}: expected the one function {MAIN!r}, got {', '.join(sorted(functions))}")
    if any(value.type.WhichOneof("type") == "stateType" for value in functions[MAIN].inputs):
        raise ExportError(f"{package.path}: expected a program without state, got one that keeps some between calls")
    return functions[MAIN]


def is_constant(operation: Any, computed: frozenset[str]) -> bool:
    """Whether an operation returns the same for all inputs; `computed` are the inputs and step values that it reads."""
    kind = str(operation.type)
    return kind.startswith("const") or (not computed and not kind.startswith("random"))


def names_read(operation: Any) -> Iterator[str]:
    """Names of the values outside it that an operation reads, those of the blocks inside it included."""
    for argument in operation.inputs.values():
        yield from (one.name for one in argument.arguments if one.WhichOneof("binding") == "name")
    for block in operation.blocks:
        own = {value.name for value in block.inputs}
        own |= {out.name for inner in block.operations for out in inner.outputs}
        names = [name for inner in block.operations for name in names_read(inner)]
        yield from (name for name in (*names, *block.outputs) if name not in own)


def places(operation: Any) -> Iterator[Place]:
    """The records that an operation reads."""
    for value in file_values(operation):
        yield value.blobFileValue.fileName, value.blobFileValue.offset


def crossing_bytes(kind: Any) -> int | None:
    """Bytes of a value between two parts; None where it cannot be handed over: Core ML takes no scalars."""
    if kind.WhichOneof("type") != "tensorType":
        return None
    dtype, shape = dtype_of(kind.tensorType), shape_of(kind.tensorType)
    width = CROSSING.get(BETWEEN if dtype in CAST else dtype)
    return None if width is None or not shape else width * math.prod(shape)
