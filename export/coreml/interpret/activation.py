"""MIL's activation functions.

Parameters have MIL's names.  Results are in float32; the interpreter rounds them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.interpret.elementwise import unary
from export.coreml.interpret.instruction import Operation


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """Gaussian error linear unit, exact or one of two approximations."""
    return GELU_MODES[mode](x)


GELU_MODES: dict[str, Callable[[Tensor], Tensor]] = {
    "EXACT": lambda x: F.gelu(x),
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}


def elu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where positive, else alpha (e^x - 1)."""
    return F.elu(x, float(alpha))


def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where positive, else alpha x."""
    return torch.where(x >= 0, x, alpha * x)


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where positive, else alpha x, with one alpha per channel: x (B, C, ...), alpha (C,)."""
    return torch.where(x > 0, x, of_channels(alpha, x) * x)


def of_channels(vector: Tensor, x: Tensor) -> Tensor:
    """Return one number per channel (C,), reshaped to broadcast against x (B, C, ...)."""
    return vector.reshape(1, -1, *[1] * (x.dim() - 2))


def linear_activation(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha x + beta."""
    return alpha * x + beta


def clamped_relu(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(beta, x) where x is positive, else min(beta, alpha x)."""
    return torch.minimum(torch.where(x >= 0, x, alpha * x), beta)


def thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where it is at least alpha, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


def scaled_tanh(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha tanh(beta x)."""
    return alpha * torch.tanh(beta * x)


def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha x + beta, clipped to [0, 1]."""
    return (alpha * x + beta).clamp(0.0, 1.0)


def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha log(1 + e^(beta x)), with one alpha and beta per channel: x (B, C, ...), both (C,)."""
    return of_channels(alpha, x) * F.softplus(of_channels(beta, x) * x)


ACTIVATION: dict[str, Operation] = {
    "clamped_relu": clamped_relu,
    "elu": elu,
    "gelu": gelu,
    "leaky_relu": leaky_relu,
    "linear_activation": linear_activation,
    "prelu": prelu,
    "relu": unary(F.relu),
    "relu6": unary(F.relu6),
    "scaled_tanh": scaled_tanh,
    "sigmoid": unary(torch.sigmoid),
    "sigmoid_hard": sigmoid_hard,
    "silu": unary(F.silu),
    "softplus": unary(F.softplus),
    "softplus_parametric": softplus_parametric,
    "softsign": unary(F.softsign),
    "thresholded_relu": thresholded_relu,
}
