"""Element-wise MIL operations: arithmetic, comparison, activation, cast and selection.

Parameters are named as in MIL.  Results are in float32; the interpreter rounds them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.attributes import choose
from mobile_diffusion.errors import ExportError

Operation = Callable[..., Tensor | tuple[Tensor, ...]]

DTYPES: dict[str, torch.dtype] = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "bool": torch.bool,
    **dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32"), torch.int32),
}
"""What a value of each MIL type is held in."""
INTEGER_BITS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32}


def unary(function: Callable[[Tensor], Tensor]) -> Operation:
    """An operation of one tensor `x`."""
    return lambda x: function(x)


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """An operation of two tensors that broadcast."""
    return lambda x, y: function(x, y)


def cast(x: Tensor, dtype: str) -> Tensor:
    """Change of type; a number that the integer type cannot hold is an error here, undefined on a device."""
    target = choose("cast", "dtype", dtype, DTYPES)
    if dtype in INTEGER_BITS and x.dtype != torch.bool and x.numel():
        low, high = integer_range(dtype)
        if not (low <= x.min().item() and x.max().item() <= high):
            value = next(item for item in x.reshape(-1).tolist() if not low <= item <= high)
            raise ExportError(f"cast: expected values from {low} to {high} ({dtype}), got {value}")
    return x.to(target)


def integer_range(dtype: str) -> tuple[int, int]:
    """Smallest and largest value of a MIL integer type."""
    bits = INTEGER_BITS[dtype]
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(max(x, alpha), beta)."""
    return torch.minimum(torch.maximum(x, alpha), beta)


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` where `cond`, else `b`."""
    return torch.where(cond, a, b)


def inverse(x: Tensor, epsilon: Tensor) -> Tensor:
    """1 / (x + epsilon)."""
    return (x + epsilon).reciprocal()


def log(x: Tensor, epsilon: Tensor) -> Tensor:
    """Natural logarithm of x + epsilon."""
    return (x + epsilon).log()


def rsqrt(x: Tensor, epsilon: Tensor) -> Tensor:
    """1 / sqrt(x + epsilon)."""
    return (x + epsilon).rsqrt()


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """Gaussian error linear unit, exact or by one of two approximations."""
    return choose("gelu", "mode", mode, GELU_MODES)(x)


GELU_MODES: dict[str, Callable[[Tensor], Tensor]] = {
    "EXACT": lambda x: F.gelu(x),
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}


def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where positive, else alpha x."""
    return torch.where(x >= 0, x, alpha * x)


def linear_activation(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha x + beta."""
    return alpha * x + beta


def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha x + beta, cut to [0, 1]."""
    return (alpha * x + beta).clamp(0.0, 1.0)


def softmax(x: Tensor, axis: Tensor) -> Tensor:
    """Softmax along one axis."""
    return x.softmax(dim=int(axis))


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "relu": F.relu,
    "relu6": F.relu6,
    "round": torch.round,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
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
    "gelu": gelu,
    "inverse": inverse,
    "leaky_relu": leaky_relu,
    "linear_activation": linear_activation,
    "log": log,
    "rsqrt": rsqrt,
    "select": select,
    "sigmoid_hard": sigmoid_hard,
    "softmax": softmax,
}
