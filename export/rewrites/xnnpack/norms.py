"""Norms in operations that keep the layout of the convolutions and subtract the mean before squaring.

The portable group norm computes E[x^2] - E[x]^2, which loses digits if the mean is large.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGE, BAND = 32, 8
"""Number of rows from which the mean of a map is computed in bands, and rows per band."""


class GroupNormByConvolution(nn.Module):
    """Group norm whose group means are global pooling and two 1x1 convolutions: channels to groups, groups to channels.

    A view as (B, groups, C / groups, h, w) would cost two transpositions of the whole map.  A single convolution would
    have C x C weights: 26 MB for the widest norm of Stable Diffusion's U-Net.
    """

    average: Tensor
    spread: Tensor
    epsilon: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        channels, groups = norm.num_channels, norm.num_groups
        member = torch.eye(groups).repeat_interleave(channels // groups, dim=0)  # (C, groups)
        self.register_buffer("average", (member.T * (groups / channels))[:, :, None, None].contiguous())
        self.register_buffer("spread", member[:, :, None, None])
        self.register_buffer("epsilon", torch.full((groups,), norm.eps))
        self.register_buffer("scale", self.spread * norm.weight.detach()[:, None, None, None])
        self.register_buffer("bias", norm.bias.detach()[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        mean = F.conv2d(mean_of_map(x), self.average)  # (B, groups, 1, 1)
        centred = x - F.conv2d(mean, self.spread)
        squares = mean_of_map(centred * centred)  # (B, C, 1, 1)
        variance = F.conv2d(squares, self.average, self.epsilon)  # (B, groups, 1, 1)
        return centred * F.conv2d(torch.rsqrt(variance), self.scale) + self.bias


def mean_of_map(x: Tensor) -> Tensor:
    """Return the mean of each channel, (B, C, h, w) -> (B, C, 1, 1); for a large map, the mean of the means of bands.

    XNNPACK computes the mean of a whole map in one thread, but pools the bands in all threads.
    """
    height, width = x.shape[-2:]
    bands = F.avg_pool2d(x, (BAND, width)) if height >= LARGE and height % BAND == 0 else x
    return bands.mean((2, 3), keepdim=True)


class LayerNormByLinear(nn.Module):
    """Layer norm whose means over the last axis are a linear layer with one output."""

    average: Tensor
    epsilon: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (width,) = norm.normalized_shape
        self.register_buffer("average", torch.full((1, width), 1.0 / width))
        self.register_buffer("epsilon", torch.full((1,), norm.eps))
        self.register_buffer("weight", norm.weight.detach())
        self.register_buffer("bias", norm.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        centred = x - F.linear(x, self.average)
        variance = F.linear(centred * centred, self.average, self.epsilon)
        return centred * torch.rsqrt(variance) * self.weight + self.bias


def group_norm_by_convolution(module: nn.Module) -> nn.Module | None:
    """Return the replacement of a group norm, or None."""
    return GroupNormByConvolution(module) if type(module) is nn.GroupNorm else None


def layer_norm_by_linear(module: nn.Module) -> nn.Module | None:
    """Return the replacement of a layer norm, or None."""
    return LayerNormByLinear(module) if type(module) is nn.LayerNorm else None
