"""Element-wise MIL operations: arithmetic, comparison, cast and selection.

Parameters have MIL's names.  Results are in float32; the interpreter rounds them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from export.coreml.interpret.attributes import number_or
from export.coreml.interpret.instruction import Operation
from mobile_diffusion.errors import ExportError

DTYPES: dict[str, torch.dtype] = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "bool": torch.bool,
    **dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32"), torch.int32),
}
"""The torch dtype in which values of each MIL type are computed."""
INTEGER_BITS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32}


def unary(function: Callable[[Tensor], Tensor]) -> Operation:
    """Return the operation of one tensor `x`."""
    return lambda x: function(x)


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """Return the operation of two tensors that broadcast."""
    return lambda x, y: function(x, y)


def cast(x: Tensor, dtype: str) -> Tensor:
    """Cast to a type.  A number outside an integer type's range raises `ExportError`; on a device it is undefined."""
    if dtype in INTEGER_BITS and x.dtype != torch.bool and x.numel():
        low, high = integer_range(dtype)
        if not (low <= x.min().item() and x.max().item() <= high):
            value = next(item for item in x.reshape(-1).tolist() if not low <= item <= high)
            raise ExportError(f"cast: expected values from {low} to {high} ({dtype}), got {value}")
    return x.to(DTYPES[dtype])


def integer_range(dtype: str) -> tuple[int, int]:
    """Return the smallest and largest value of a MIL integer type."""
    bits = INTEGER_BITS[dtype]
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(max(x, alpha), beta)."""
    return x.clamp(alpha.item(), beta.item())


def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    """max(x, alpha)."""
    return x.clamp(min=alpha.item())


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` where `cond`, else `b`."""
    return torch.where(cond, a, b)


def inverse(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """1 / (x + epsilon)."""
    return (x + number_or(epsilon, 1e-4)).reciprocal()


def log(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """Natural logarithm of x + epsilon."""
    return (x + number_or(epsilon, 1e-45)).log()


def rsqrt(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """1 / sqrt(x + epsilon)."""
    return (x + number_or(epsilon, 1e-12)).rsqrt()


def quantize(
    input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: Tensor | None = None
) -> Tensor:
    """round(x / scale) + zero_point, clipped to the range of int8 or uint8."""
    value = (input / along(scale, input, axis)).round()
    if zero_point is not None:
        value = value + along(zero_point, input, axis)
    return value.clamp(*integer_range(output_dtype)).to(torch.int32)


def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    """scale (x - zero_point)."""
    value = input if zero_point is None else input - along(zero_point, input, axis)
    return value * along(scale, input, axis)


def along(vector: Tensor, x: Tensor, axis: Tensor | None) -> Tensor:
    """Return a number, or a vector along an axis, reshaped to broadcast against x."""
    if vector.dim() != 1 or axis is None:
        return vector
    shape = [1] * x.dim()
    shape[int(axis)] = -1
    return vector.reshape(shape)


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "equal": torch.eq,
    "floor_div": torch.floor_divide,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mod": torch.remainder,
    "mul": torch.mul,
    "not_equal": torch.ne,
    "pow": torch.pow,
    "real_div": torch.true_divide,
    "sub": torch.sub,
}
ELEMENTWISE: dict[str, Operation] = {
    **{name: unary(function) for name, function in UNARY.items()},
    **{name: binary(function) for name, function in BINARY.items()},
    "cast": cast,
    "clip": clip,
    "dequantize": dequantize,
    "inverse": inverse,
    "log": log,
    "quantize": quantize,
    "rsqrt": rsqrt,
    "select": select,
    "threshold": threshold,
}
