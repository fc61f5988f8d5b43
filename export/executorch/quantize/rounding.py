"""Fake quantization: rounds float tensors to 8 bits and back, with torch's own operations.

Activations are rounded to [-128, 127] with a zero point, weights symmetrically to [-127, 127] with one scale per output
channel (Krishnamoorthi 2018, section 2).  Static ranges come from samples.  A dynamic range is that of the tensor
itself: per row for linear layers and per picture for convolutions, as in XNNPACK.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOW, HIGH = -128, 127
WEIGHT_HIGH = 127
LEAST_SCALE = 2.0**-12
"""Least scale of an activation, the same as in XNNPACK's quantizer."""


@dataclass(frozen=True)
class Range:
    """How an activation is rounded: x is stored as round(x / scale) + zero_point, clipped to 8 bits."""

    scale: float
    zero_point: int


def rounded(x: Tensor, by: Range) -> Tensor:
    """Return an activation of any shape, rounded to 8 bits and back."""
    return torch.fake_quantize_per_tensor_affine(x, by.scale, by.zero_point, LOW, HIGH)


def rounded_weight(weight: Tensor) -> Tensor:
    """Return a weight (outputs, ...), rounded per output channel to 8 bits and back."""
    largest = weight.abs().flatten(1).amax(dim=1)  # (outputs,)
    scales = (largest / WEIGHT_HIGH).clamp(min=torch.finfo(torch.float32).eps)
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_HIGH, WEIGHT_HIGH)


def rounded_at_run_time(x: Tensor, kind: str) -> Tensor:
    """Return an activation rounded with dynamic ranges.

    The input of a "linear" layer (..., width) has one range per row, that of a "convolution" (B, C, h, w) one per
    picture.
    """
    dims = (-1,) if kind == "linear" else (1, 2, 3)
    low, high = x.amin(dims, keepdim=True).clamp(max=0), x.amax(dims, keepdim=True).clamp(min=0)
    scale = ((high - low) / (HIGH - LOW)).clamp(min=torch.finfo(torch.float32).tiny)
    zero = (LOW - low / scale).round().clamp(LOW, HIGH)
    return ((x / scale + zero).round().clamp(LOW, HIGH) - zero) * scale
