"""Defers large weights: coremltools converts a program without reading them until they are written.

coremltools stores each constant as a numpy array.  For a float16 program it also scans each array for values beyond
float16 and casts it.  With 860 million weights this takes half of the conversion time and two more copies of the
weights, although no pass needs the weights of a convolution.  coremltools therefore receives arrays of the same shape
that take no memory (`Deferred`) and that return the weights when they are written to the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobile_diffusion.errors import ExportError

SMALLEST = 2**16
"""Number of elements from which a parameter is deferred."""
CONSUMERS = frozenset({"conv2d", "convolution", "embedding", "linear"})
"""torch operations for which coremltools passes a parameter on unchanged; others may be computed at conversion."""
HALF_MAX = 65504.0
INFINITY = 1e38
"""Magnitude from which coremltools treats a number as infinity, which float16 can represent."""


class Deferred(np.ndarray[Any, Any]):
    """A placeholder for a parameter: an array of NaN with the parameter's shape that takes no memory.

    `astype` keeps the parameter.  `flatten` returns its numbers; coremltools calls it to write them.  Any other numpy
    operation loses the parameter, and cannot go unnoticed: `flatten` raises an error on the result, and numbers
    computed from it are NaN (`check_constants`).
    """

    parameter: Tensor | None = None

    @classmethod
    def of(cls, parameter: Tensor, dtype: Any = np.float32) -> Deferred:
        """Return a placeholder for a float32 parameter that is to be written as `dtype`."""
        array = np.broadcast_to(np.array(np.nan, dtype), parameter.shape).view(cls)
        array.parameter = parameter
        return array

    def __array_finalize__(self, other: Any) -> None:
        """Make a view or a copy a placeholder for nothing."""
        self.parameter = None

    def source(self) -> Tensor:
        """The parameter; raises `ExportError` if this array is a view or a copy of a placeholder."""
        if self.parameter is None:
            raise ExportError(f"expected a weight unchanged from the model, got a rearranged one of shape {self.shape}")
        return self.parameter

    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """Return a placeholder for the same parameter that is to be written in another type."""
        return Deferred.of(self.source(), dtype)

    def flatten(self, order: Any = "C") -> Any:
        """Return the parameter's numbers on one axis, in this array's type."""
        values = self.source().detach().reshape(-1)
        return values.to(getattr(torch, self.dtype.name)).numpy()


def overflows(operation: Any) -> bool:
    """Return whether a float32 constant of an operation has a finite number beyond float16 (coremltools' rule)."""
    for value in operation.inputs.values():
        for variable in value if isinstance(value, (list, tuple)) else (value,):
            constant = variable.op is not None and variable.op.op_type == "const"
            if constant and variable.is_tensor_or_scalar_of(dtype="fp32") and beyond_half(variable.val):
                return True
    return False


def beyond_half(value: Any) -> bool:
    """Return whether a number, array or placeholder has a finite number that float16 cannot represent."""
    tensor = value.source().detach() if isinstance(value, Deferred) else torch.as_tensor(np.asarray(value))
    if not tensor.numel():
        return False
    low, high = torch.aminmax(tensor)
    if max(-float(low), float(high)) <= HALF_MAX:
        return False
    magnitudes = tensor.abs()
    return bool(((magnitudes > HALF_MAX) & (magnitudes < INFINITY)).any())


def check_constants(program: Any) -> None:
    """Raise `ExportError` if a constant of a MIL program has NaN: it is wrong, or computed from a placeholder."""
    for operation in program.functions["main"].operations:
        if operation.op_type == "const" and holds_nan(operation.val.val):
            raise ExportError(f"{operation.name}: expected a constant of numbers, got NaN; look for NaN in the weights")


def holds_nan(value: Any) -> bool:
    """Return whether a constant is a number or an array with NaN, but not a placeholder for a parameter."""
    array = isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, Deferred)
    return bool(array and value.dtype.kind == "f" and np.isnan(value).any())


def deferrable(program: torch.export.ExportedProgram) -> frozenset[str]:
    """Return the names of the large float32 parameters that only operations of `CONSUMERS` read."""
    found = set()
    for node in program.graph.find_nodes(op="placeholder"):
        value = node.meta.get("val")
        large = isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() >= SMALLEST
        if large and node.name in program.graph_signature.inputs_to_parameters:
            names = {getattr(user.target, "overloadpacket", user.target).__name__ for user in node.users}
            found |= {node.name} if names <= CONSUMERS else set()
    return frozenset(found)


@contextmanager
def deferred_weights(names: frozenset[str]) -> Iterator[None]:
    """Context manager in which coremltools' torch frontend defers the parameters with these names.

    It replaces two functions: `_add_const`, which creates the constants, and `fp16_overflow`, which looks for numbers
    beyond float16.  For 860 million weights the original takes 25 s (`np.where` of whole arrays), ours less than 1 s.
    """
    from coremltools.converters.mil.frontend.torch.converter import TorchConverter
    from coremltools.converters.mil.mil import Builder
    from coremltools.converters.mil.mil.passes.defs.quantization import FP16ComputePrecision

    add_const: Callable[..., None] = TorchConverter._add_const
    found = FP16ComputePrecision.fp16_overflow

    def add_deferred(self: Any, name: str, value: Any) -> None:
        if name in names:
            self.context.add(Builder.const(val=Deferred.of(value), name=name))
        else:
            add_const(self, name, value)

    TorchConverter._add_const, FP16ComputePrecision.fp16_overflow = add_deferred, staticmethod(overflows)
    try:
        yield
    finally:
        TorchConverter._add_const, FP16ComputePrecision.fp16_overflow = add_const, staticmethod(found)
