"""Finds the weights of an AIProgram that are worth compressing, as export/coreml/compress/layers.py does for packages.

These are the large float16 constants of convolutions and linear layers, and the word embeddings.  Biases, norms,
position embeddings, tables that the sampling step indexes (they belong to no torch module) and modules that stay in
float32 are not compressed.  A weight is named after its torch module, which its location names (sources.py), so that a
plan for a Core ML package of the same checkpoint fits.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.compression.weight import LEAST_NUMBERS, Weight
from export.coreai.sources import NOWHERE, nested
from export.coreai.sums import PRODUCT
from export.coreai.toolchain import import_coreai
from mobile_diffusion.errors import ExportError

CONSTANT, TRANSPOSE = "coreai.constant", "coreai.transpose"
CONVOLUTIONS = {"coreai.conv2d": (0, 1), "coreai.conv_transpose2d": (1, 0)}
"""Output and input axis of a convolution's weight."""
LOOK_UP = "coreai.gather_nd"
MODULE = re.compile(r'loc\("([^"]*)"')
"""The torch module in the location of an operation."""


@dataclass(frozen=True)
class ProgramWeight(Weight):
    """One compressible weight."""

    operation: Any
    """The constant, an MLIR operation."""


def weights_of(program: Any) -> tuple[ProgramWeight, ...]:
    """Return the compressible weights of an AIProgram, in the program's order."""
    module = program._module._mlir_module
    names: Counter[str] = Counter()
    found = []
    with module.context:
        half = import_coreai("coreai._compiler.ir").F16Type.get()
        for operation in nested(module.operation):
            if operation.name != CONSTANT or not is_large_half(operation, half):
                continue
            module_name, axes = module_of(operation), axes_of(operation)
            if axes is None or module_name == NOWHERE:
                continue
            names[module_name] += 1
            number = f".{names[module_name]}" if names[module_name] > 1 else ""
            shape, grouped = tuple(operation.results[0].type.shape), is_grouped(operation)
            found.append(ProgramWeight(f"{module_name}{number}.weight", shape, *axes, operation, grouped=grouped))
    return tuple(found)


def is_large_half(operation: Any, half: Any) -> bool:
    """Return whether a constant has enough float16 numbers, in a table of two axes or more."""
    kind = operation.results[0].type
    shape = tuple(getattr(kind, "shape", ()))
    return len(shape) > 1 and math.prod(shape) > LEAST_NUMBERS and bool(kind.element_type == half)


def axes_of(operation: Any) -> tuple[int, int] | None:
    """Return the output and input axis of a constant; None if it is neither multiplied nor looked up."""
    (value,) = operation.results
    axes = {axes_at(use.owner, value) for use in value.uses}
    return axes.pop() if len(axes) == 1 else None


def axes_at(user: Any, value: Any) -> tuple[int, int] | None:
    """Return the axes of a value at one use."""
    rank = len(value.type.shape)
    place = next(number for number, operand in enumerate(user.operands) if operand == value)
    if user.name in CONVOLUTIONS and rank == 4:
        return CONVOLUTIONS[user.name]
    if PRODUCT in user.name:
        return (rank - 1, rank - 2) if place == 1 else (rank - 2, rank - 1)
    if user.name == TRANSPOSE and rank == 2:
        turned = {axes_at(use.owner, user.results[0]) for use in user.results[0].uses}
        return {(1, 0): (0, 1), (0, 1): (1, 0)}.get(turned.pop() or (0, 0)) if len(turned) == 1 else None
    return (0, 1) if user.name == LOOK_UP and place == 0 and rank == 2 else None


def is_grouped(operation: Any) -> bool:
    """Return whether a convolution with more than one group uses a constant."""
    users = [use.owner for use in operation.results[0].uses]
    groups = [user.operands[-1].owner for user in users if user.name in CONVOLUTIONS]
    return any(int(np.array(each.attributes["value"])) != 1 for each in groups)


def module_of(operation: Any) -> str:
    """Return the torch module of an operation."""
    found = MODULE.search(str(operation.location))
    return found[1] if found else NOWHERE


def numbers_of(operation: Any) -> NDArray[np.float16]:
    """Return the numbers of a float16 constant."""
    return stored_bytes(operation).view(np.float16).reshape(operation.results[0].type.shape)


def stored_bytes(operation: Any) -> NDArray[np.uint8]:
    """Return the bytes of a constant; raises `ExportError` if it is none."""
    if operation.name != CONSTANT:
        raise ExportError(f"expected a constant of a Core AI program, got {operation.name}; export it again")
    compiler = import_coreai("coreai._compiler._mlir_libs._coreaiIR._bindings.compiler")
    kind = operation.results[0].type
    buffer = np.zeros(-(-math.prod(kind.shape) * kind.element_type.width // 8), np.uint8)
    compiler.copy_constant_value_to_array(constant_op=operation, destination=buffer)
    return buffer
