"""Rewrites the first layer of a T2I-Adapter, which moves pixels to channels, to a convolution with a stride.

PyTorch stacks every square of f x f pixels as channels (`pixel_unshuffle`) and convolves them.  Few runtimes have that
operation; one kernel of f times the size, moved by f pixels, reads the same pixels with the same weights.  A grey
picture's shares of red, green and blue become a part of it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mobile_diffusion.t2i_adapter import LUMA, AdapterBlocks, Pyramid, T2IAdapter


class StridedPyramid(nn.Module):
    """The convolutions of an adapter, of which the first reads the hint's pixels in place."""

    def __init__(self, own: Pyramid) -> None:
        super().__init__()
        first = own.body[0]
        assert isinstance(first, AdapterBlocks)
        if own.conv_in is None and first.in_conv is not None:  # a light adapter
            self.stem, blocks = strided(first.in_conv, own.factor), copy.copy(first)
            blocks._modules = {**first._modules, "in_conv": None}
            self.body = nn.ModuleList([blocks, *list(own.body)[1:]])
        else:
            assert own.conv_in is not None
            self.stem, self.body = strided(own.conv_in, own.factor), own.body

    def forward(self, hint: Tensor) -> list[Tensor]:
        """hint (B, 3, H, W) -> one (B, C, h, w) per level."""
        x, found = self.stem(hint), []
        for blocks in self.body:
            x = blocks(x)
            found.append(x)
        return found


class StridedAdapter(nn.Module):
    """A T2I-Adapter for lowering."""

    def __init__(self, own: T2IAdapter) -> None:
        super().__init__()
        self.adapter = StridedPyramid(own.adapter)

    def maps(self, hint: Tensor) -> list[Tensor]:
        """hint (B, 3, H, W) in [0, 1] -> one (B, C, h, w) per level."""
        found: list[Tensor] = self.adapter(hint)
        return found


def strided(own: nn.Conv2d, factor: int) -> nn.Conv2d:
    """The convolution of pixels that is `own` of stacked squares of `factor` x `factor` pixels."""
    outputs, stacked, kernel, _ = own.weight.shape
    inputs, padding = stacked // factor**2, int(own.padding[0]) * factor
    result = nn.Conv2d(3, outputs, kernel * factor, stride=factor, padding=padding)
    with torch.no_grad():
        squares = own.weight.reshape(outputs, inputs, factor, factor, kernel, kernel)
        weight = squares.permute(0, 1, 4, 2, 5, 3).reshape(outputs, inputs, kernel * factor, kernel * factor)
        result.weight.copy_(weight if inputs == 3 else weight * torch.tensor(LUMA).reshape(1, 3, 1, 1))
        assert own.bias is not None and result.bias is not None
        result.bias.copy_(own.bias)
    return result
