"""Group and layer normalisation that cannot overflow in half precision.

coremltools writes a group norm as the mean of (x - mean)^2, which is infinite in float16 once a value is 256 away from
the mean of its group; the whole group then becomes zero.  Autoencoders of Stable Diffusion go that far, and draw black
pictures.  Here the differences are first divided by a sixteenth of the largest of their group, so that no square
exceeds 256, and the mean of up to four million squares is no subnormal number either.
Core ML's own `layer_norm` does not say how it squares: its input is kept at a magnitude at which every way is safe.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 16
"""Of the numbers that a group norm squares: the mean of N squares is at least 256 / N wherever epsilon is small."""
SAFE = 64.0
"""Magnitude from which a layer norm's input is divided: a difference of two such numbers has a square below 2^14."""


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, epsilon: float, cudnn: bool = True
) -> Tensor:
    """torch's group norm of (B, C, H, W): (x - mean) / sqrt(variance + epsilon) * weight + bias.

    The deviation below the line is s sqrt(E[((x - mean) / s)^2] + epsilon / s^2) with s = max(|x - mean| / 16,
    sqrt(epsilon)): every value stays within float16 and of rank 4, as long as x - mean does.
    """
    batch, channels, height, width = x.shape
    grouped = x.reshape(batch, groups, channels // groups * height, width)
    difference = grouped - grouped.mean((2, 3), keepdim=True)
    least = torch.full((1, 1, 1, 1), epsilon**0.5)
    scale = (difference.abs().amax((2, 3), keepdim=True) / LARGEST).maximum(least)  # (B, groups, 1, 1)
    scaled, floor = difference / scale, least / scale  # at most LARGEST, at most 1
    deviation = scale * ((scaled * scaled).mean((2, 3), keepdim=True) + floor * floor).sqrt()
    normed = (difference / deviation).reshape(x.shape)
    normed = normed if weight is None else normed * weight[:, None, None]
    return normed if bias is None else normed + bias[:, None, None]


def layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    epsilon: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    """torch's layer norm of (..., C) over the last axis, of x / max(1, |x| / SAFE).

    Rows within SAFE are divided by 1, which changes nothing.  In a larger row epsilon weighs (|x| / SAFE)^2 times as
    much, which shows only where a whole row deviates from its mean by no more than float16's resolution there.

    Raises:
        ValueError: more than the last axis is normalised.
    """
    if len(shape) != 1:
        raise ValueError(f"expected a layer norm over the last axis, got one over {len(shape)}")
    scale = (x.abs().amax(-1, keepdim=True) / SAFE).maximum(torch.ones((1,) * x.dim()))  # (..., 1)
    return torch.ops.aten.native_layer_norm(x / scale, shape, weight, bias, epsilon)[0]
