"""A program's graph, read from its specification: operations, readers of a value, steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from export.coreml.package_archive import shape_of

STEP = "step"
"""The input of `denoise` that indexes its tables."""


def operations(spec: Any, function: str = "main") -> Iterator[Any]:
    """The operations of a function of a program, constants included, as protobuf messages."""
    body = spec.mlProgram.functions[function]
    yield from body.block_specializations[body.opset].operations


def reads(operation: Any) -> set[str]:
    """Names of the values that an operation reads."""
    return {argument.name for bound in operation.inputs.values() for argument in bound.arguments if argument.name}


def readers_of(spec: Any) -> dict[str, set[str]]:
    """Map every value to the values that are computed directly from it."""
    readers: dict[str, set[str]] = {}
    for operation in operations(spec):
        for name in reads(operation):
            readers.setdefault(name, set()).update(output.name for output in operation.outputs)
    return readers


def step_count(spec: Any) -> int:
    """Number of steps of a `denoise` program: rows of the first constant that is read with a value from `step`.

    1 where there is none.
    """
    constants: dict[str, tuple[int, ...]] = {}
    derived = {STEP}
    for operation in operations(spec):
        read = reads(operation)
        if operation.type == "const":
            constants[operation.outputs[0].name] = shape_of(operation.outputs[0].type.tensorType)
        elif read & derived:
            rows = [constants[name][0] for name in read if constants.get(name)]
            if rows:
                return rows[0]
            derived |= {output.name for output in operation.outputs}
    return 1
