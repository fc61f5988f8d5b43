"""Large weights that stay where they are while coremltools rewrites a program around them.

coremltools holds every constant as a numpy array and, for a half-precision program, scans each for values that
float16 cannot hold and casts it: at 860 million weights that is half of a conversion's time and a second and a
third copy of the weights.  No pass needs to know the weights of a convolution, though.  So it receives arrays of
the same shape that take no memory (`Deferred`) and that become the weights when they are written to the file.
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
"""Elements from which a parameter is deferred."""
CONSUMERS = frozenset({"conv2d", "convolution", "embedding", "linear"})
"""torch's operations that coremltools hands a parameter on from as it is; others may be computed beforehand."""
HALF_MAX = 65504.0
INFINITY = 1e38
"""From here on coremltools takes a number for an infinity, which float16 can hold."""


class Deferred(np.ndarray[Any, Any]):
    """An array of nothing but NaN that stands for a parameter, in the parameter's shape and without its memory.

    `astype` keeps the parameter and `flatten` returns its numbers, as coremltools asks for them when it writes them.
    All else that numpy does to it loses the parameter, so nothing can be computed with it unnoticed: `flatten`
    refuses what is left, and numbers computed from it are NaN (`check_constants`).
    """

    parameter: Tensor | None = None

    @classmethod
    def of(cls, parameter: Tensor, dtype: Any = np.float32) -> Deferred:
        """Stand for a parameter of float32, to be written as `dtype`."""
        array = np.broadcast_to(np.array(np.nan, dtype), parameter.shape).view(cls)
        array.parameter = parameter
        return array

    def __array_finalize__(self, other: Any) -> None:
        """A view or a copy stands for nothing."""
        self.parameter = None

    def source(self) -> Tensor:
        """The parameter; ExportError when this array is what became of one."""
        if self.parameter is None:
            raise ExportError(f"expected a weight as the model holds it, got a rearranged one of shape {self.shape}")
        return self.parameter

    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """The same parameter, to be written in another type."""
        return Deferred.of(self.source(), dtype)

    def flatten(self, order: Any = "C") -> Any:
        """The parameter's numbers in this array's type, on one axis."""
        values = self.source().detach().reshape(-1)
        return values.to(getattr(torch, self.dtype.name)).numpy()


def overflows(operation: Any) -> bool:
    """Whether a float32 constant of an operation holds a finite number beyond float16 (coremltools' rule)."""
    for value in operation.inputs.values():
        for variable in value if isinstance(value, (list, tuple)) else (value,):
            constant = variable.op is not None and variable.op.op_type == "const"
            if constant and variable.is_tensor_or_scalar_of(dtype="fp32") and beyond_half(variable.val):
                return True
    return False


def beyond_half(value: Any) -> bool:
    """Whether a number, an array or a deferred one holds a finite number that float16 cannot."""
    tensor = value.source().detach() if isinstance(value, Deferred) else torch.as_tensor(np.asarray(value))
    if not tensor.numel():
        return False
    low, high = torch.aminmax(tensor)
    if max(-float(low), float(high)) <= HALF_MAX:
        return False
    magnitudes = tensor.abs()
    return bool(((magnitudes > HALF_MAX) & (magnitudes < INFINITY)).any())


def check_constants(program: Any) -> None:
    """ExportError if a constant of a MIL program holds NaN: it was computed from a deferred weight, or is wrong."""
    for operation in program.functions["main"].operations:
        if operation.op_type == "const" and holds_nan(operation.val.val):
            raise ExportError(f"{operation.name}: expected a constant of numbers, got NaN; look for NaN in the weights")


def holds_nan(value: Any) -> bool:
    """Whether a constant's value is a number or an array with NaN in it, and does not stand for a parameter."""
    array = isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, Deferred)
    return bool(array and value.dtype.kind == "f" and np.isnan(value).any())


def deferrable(program: torch.export.ExportedProgram) -> frozenset[str]:
    """Names of the large float32 parameters that only operations of `CONSUMERS` read."""
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
    """While it is open, coremltools' torch frontend defers the parameters of these names.

    Two of its functions are replaced.  `_add_const` makes the constants.  `fp16_overflow` looks for numbers that
    are too large; its own form takes 25 s for 860 million weights (`np.where` of whole arrays), ours less than one.
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
