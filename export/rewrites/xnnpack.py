"""Normalisation and upsampling in operations that XNNPACK's partitioner takes.

Left as they are, `group_norm`, `layer_norm` and nearest upsampling split the U-Net into a hundred delegates with slow
portable kernels between them; the portable group norm also computes E[x^2] - E[x]^2, which loses digits where the mean
is large.  Here both norms subtract the mean first, and everything stays in the layout of the convolutions, so each
stage becomes one delegate.  Nothing here changes what is computed, and no weight is copied.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.blocks import Upsample


class GroupNormByConvolution(nn.Module):
    """Group means as global pooling and a 1x1 convolution that averages the channels of each group.

    The obvious view of (B, groups, C / groups, h, w) would cost two transpositions of the whole map.
    """

    average: Tensor
    epsilon: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        channels, groups = norm.num_channels, norm.num_groups
        block = torch.full((channels // groups, channels // groups), groups / channels)
        self.register_buffer("average", torch.block_diag(*[block] * groups)[:, :, None, None])
        self.register_buffer("epsilon", torch.full((channels,), norm.eps))
        self.register_buffer("weight", norm.weight.detach()[None, :, None, None])
        self.register_buffer("bias", norm.bias.detach()[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        centred = x - F.conv2d(x.mean((2, 3), keepdim=True), self.average)
        squares = (centred * centred).mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        variance = F.conv2d(squares, self.average, self.epsilon)
        return centred * (torch.rsqrt(variance) * self.weight) + self.bias


class LayerNormByLinear(nn.Module):
    """Means over the last dimension as a linear layer with one output."""

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


class UpsampleByBroadcast(nn.Module):
    """Pixels repeated by multiplying with ones that broadcast: exact, and no dimension beyond the third."""

    pair_row: Tensor
    pair_column: Tensor

    def __init__(self, upsample: Upsample) -> None:
        super().__init__()
        self.conv = upsample.conv
        self.register_buffer("pair_row", torch.ones(1, 1, 2))
        self.register_buffer("pair_column", torch.ones(1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w)."""
        batch, channels, height, width = x.shape
        wide = x.reshape(-1, width, 1) * self.pair_row  # (B * C * h, w, 2)
        tall = wide.reshape(-1, 1, 2 * width) * self.pair_column  # (B * C * h, 2, 2w)
        return self.conv(tall.reshape(batch, channels, 2 * height, 2 * width))


def rewrite(module: nn.Module) -> nn.Module:
    """A copy of `module` that shares its weights, with every norm and upsampling replaced."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    result = copy.deepcopy(module, shared)
    for name, child in list(result.named_modules()):
        replacement = _replacement(child)
        if replacement is not None:
            parent, _, attribute = name.rpartition(".")
            setattr(result.get_submodule(parent), attribute, replacement)
    return result.eval().requires_grad_(False)


def _replacement(module: nn.Module) -> nn.Module | None:
    match module:
        case nn.GroupNorm():
            return GroupNormByConvolution(module)
        case nn.LayerNorm():
            return LayerNormByLinear(module)
        case Upsample():
            return UpsampleByBroadcast(module)
    return None
