"""What quantization does to numbers, in float: rounded to 8 bits and back, by torch's own operations.

Activations are rounded over a range [-128, 127] with a zero point, weights over [-127, 127] around zero with a scale an
output channel (Krishnamoorthi 2018, section 2).  A static range is found on samples; a dynamic one is that of the
tensor itself, of each row for linear layers and of each picture for convolutions, which is how XNNPACK takes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOW, HIGH = -128, 127
WEIGHT_HIGH = 127
LEAST_SCALE = 2.0**-12
"""Of an activation, as XNNPACK's quantizer has it."""


@dataclass(frozen=True)
class Range:
    """How an activation is rounded: x is stored as round(x / scale) + zero_point."""

    scale: float
    zero_point: int


def rounded(x: Tensor, by: Range) -> Tensor:
    """An activation of any shape, as 8 bits keep it."""
    return torch.fake_quantize_per_tensor_affine(x, by.scale, by.zero_point, LOW, HIGH)


def rounded_weight(weight: Tensor) -> Tensor:
    """A weight (outputs, ...), as 8 bits an output channel keep it."""
    largest = weight.abs().flatten(1).amax(dim=1)  # (outputs,)
    scales = (largest / WEIGHT_HIGH).clamp(min=torch.finfo(torch.float32).eps)
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_HIGH, WEIGHT_HIGH)


def rounded_at_run_time(x: Tensor, kind: str) -> Tensor:
    """Input of a "linear" layer (..., width) by rows' ranges, of a "convolution" (B, C, h, w) by pictures'."""
    dims = (-1,) if kind == "linear" else (1, 2, 3)
    low, high = x.amin(dims, keepdim=True).clamp(max=0), x.amax(dims, keepdim=True).clamp(min=0)
    scale = ((high - low) / (HIGH - LOW)).clamp(min=torch.finfo(torch.float32).tiny)
    zero = (LOW - low / scale).round().clamp(LOW, HIGH)
    return ((x / scale + zero).round().clamp(LOW, HIGH) - zero) * scale
