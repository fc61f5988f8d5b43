"""Group norm and layer norm that cannot overflow in float16.

coremltools computes the variance of a group norm as the mean of (x - mean)^2.  In float16 the square is infinite if a
value is 256 away from the mean of its group, and the whole group becomes zero.  This happens in Stable Diffusion's
autoencoders, which then draw black pictures.  Here the differences are first divided by a sixteenth of the largest
difference of their group.  No square exceeds 256, and the mean of up to four million squares is not subnormal.
Core ML does not document how its `layer_norm` squares, so its input is kept at a magnitude that is always safe.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 16
"""Largest magnitude that a group norm squares; the mean of N squares is at least 256 / N if epsilon is small."""
SAFE = 64.0
"""Magnitude above which a layer norm's input is scaled down; the square of a difference is then at most 2^14."""


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, epsilon: float, cudnn: bool = True
) -> Tensor:
    """Return torch's group norm of (B, C, H, W): (x - mean) / sqrt(variance + epsilon) * weight + bias.

    The denominator is s sqrt(E[((x - mean) / s)^2] + epsilon / s^2) with s = max(|x - mean| / 16, sqrt(epsilon)).  All
    values have rank 4, and they fit float16 if x - mean does.
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
    """Return torch's layer norm over the last axis of x / max(1, max |x| / SAFE), with x (..., C).

    Rows within SAFE do not change.  In a larger row, epsilon counts (max |x| / SAFE)^2 times as much.  This matters
    only if the whole row differs from its mean by no more than float16's resolution.

    Raises:
        ValueError: more than the last axis is normalized.
    """
    if len(shape) != 1:
        raise ValueError(f"expected a layer norm over the last axis, got one over {len(shape)}")
    scale = (x.abs().amax(-1, keepdim=True) / SAFE).maximum(torch.ones((1,) * x.dim()))  # (..., 1)
    return torch.ops.aten.native_layer_norm(x / scale, shape, weight, bias, epsilon)[0]
