"""The precision of each value of a program: the roundoff of the coarsest number that it was computed from.

A value in float32 that was cast from float16 has float16's error.  Guidance is the case in point: it subtracts two
predictions in float32, each with eleven bits.
"""

from __future__ import annotations

from typing import Any

from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from export.studies.faults.counts import ROUNDOFFS
from export.studies.faults.graph import operations

SUMS = ("add", "sub")


def operand_roundoffs(package: CoreMLPackage, function: str = "main") -> dict[str, dict[str, float]]:
    """Map the result of every addition and subtraction to the roundoff that each operand carries.

    Integers are exact: constants, and values cast from integers.
    """
    given = package.spec.mlProgram.functions[function].inputs
    carried = {each.name: ROUNDOFFS.get(dtype_of(each.type.tensorType), 0.0) for each in given}
    found: dict[str, dict[str, float]] = {}
    for operation in operations(package.spec, function):
        operands = {name: carried_by(bound, carried) for name, bound in operation.inputs.items()}
        for output in operation.outputs:
            own = ROUNDOFFS.get(dtype_of(output.type.tensorType), 0.0)
            exact = not own or is_whole(operation, package) or (operation.type == "cast" and operands["x"] == 0)
            carried[output.name] = 0.0 if exact else max([own, *operands.values()])
            if operation.type in SUMS:
                found[output.name] = {name: operands[name] for name in ("x", "y")}
    return found


def carried_by(bound: Any, carried: dict[str, float]) -> float:
    """The coarsest roundoff among the values of one parameter; 0 for literal values."""
    return max((carried.get(argument.name, 0.0) for argument in bound.arguments), default=0.0)


def is_whole(operation: Any, package: CoreMLPackage) -> bool:
    """Whether an operation is a constant that holds one integer."""
    if operation.type != "const" or shape_of(operation.outputs[0].type.tensorType):
        return False
    return float(package.value(operation.attributes["val"])).is_integer()
