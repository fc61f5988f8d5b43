"""Group normalisation that cannot overflow in half precision.

coremltools writes it as the mean of (x - mean)^2, which is infinite in float16 once a value is 256 away from the
mean of its group; the whole group then becomes zero.  Autoencoders of Stable Diffusion go that far, and draw black
pictures.  Here the differences are first divided by the largest of their group, so that no square exceeds 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, epsilon: float, cudnn: bool = True
) -> Tensor:
    """torch's group norm of (B, C, H, W): (x - mean) / sqrt(variance + epsilon) * weight + bias.

    The deviation below the line is s sqrt(E[((x - mean) / s)^2] + epsilon / s^2) with s = max(|x - mean|,
    sqrt(epsilon)): every value stays within float16 and of rank 4, as long as x - mean does.
    """
    batch, channels, height, width = x.shape
    grouped = x.reshape(batch, groups, channels // groups * height, width)
    difference = grouped - grouped.mean((2, 3), keepdim=True)
    least = torch.full((1, 1, 1, 1), epsilon**0.5)
    scale = difference.abs().amax((2, 3), keepdim=True).maximum(least)  # (B, groups, 1, 1)
    scaled, floor = difference / scale, least / scale  # at most 1
    deviation = scale * ((scaled * scaled).mean((2, 3), keepdim=True) + floor * floor).sqrt()
    normed = (difference / deviation).reshape(x.shape)
    normed = normed if weight is None else normed * weight[:, None, None]
    return normed if bias is None else normed + bias[:, None, None]
