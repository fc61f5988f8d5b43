"""What the Vulkan partitioner does not take, in operations that it does.

It has group norm, layer norm, upsampling, softmax and the look-up of a step or token as operations of its own, so that
little is left: its convolution takes one picture at a time, and guidance makes two of them.  They are laid one
below the other, because two convolutions would hold the weights twice.  Large attention is taken by parts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from export.rewrites import parted_attention
from export.rewrites.replacement import recast, replaced

ERF_RATE = 0.3275911
ERF_COEFFICIENTS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
"""Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf to within 1.5e-7; highest power first."""


class StackedConvolution(nn.Conv2d):
    """A convolution that lays the pictures of a batch one below the other, with rows of zeros between them."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        batch, channels, height, width = x.shape
        if batch == 1:
            return super().forward(x)
        (kernel, _), (stride, _), padding = self.kernel_size, self.stride, int(self.padding[0])
        gap = padding + -(height + padding) % stride  # the next picture begins where an output row does
        zeros = x.new_zeros(1, channels, gap, width)
        pictures = [x.narrow(0, index, 1) for index in range(batch)]
        between = [zeros] if gap else []
        column = [row for picture in pictures[:-1] for row in (picture, *between)] + pictures[-1:]
        tall = super().forward(torch.cat(column, dim=2))
        rows, step = (height + 2 * padding - kernel) // stride + 1, (height + gap) // stride
        return torch.cat([tall.narrow(2, index * step, rows) for index in range(batch)])


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """GELU for a table of decompositions: Vulkan's own `gelu` is the approximation by tanh, whichever was asked for.

    The error function is Abramowitz and Stegun's: erf(z) = 1 - p(t) exp(-z^2) with t = 1 / (1 + ERF_RATE z), z >= 0.
    """
    if approximate == "tanh":
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    size = x.abs()
    t = x.new_ones(1) / (size * (ERF_RATE * math.sqrt(0.5)) + 1.0)  # a tensor: Vulkan has no reciprocal
    polynomial = t * ERF_COEFFICIENTS[0]
    for coefficient in ERF_COEFFICIENTS[1:]:
        polynomial = (polynomial + coefficient) * t
    return torch.relu(x) - size * 0.5 * polynomial * torch.exp(-0.5 * (x * x))


def rewrite(module: nn.Module) -> nn.Module:
    """A copy of `module` that shares its weights, with every convolution and large attention replaced."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Conv2d):
        return recast(module, StackedConvolution)
    return parted_attention.replacement(module)
