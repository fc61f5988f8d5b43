"""Rewrites what the Vulkan partitioner does not support into operations that it does.

Vulkan has operations for group norm, layer norm, upsampling, softmax and the look-up of a step or token, so that little
is left to rewrite.  Its convolution takes one picture at a time, but guidance needs two.  The two pictures are stacked
vertically, because two convolutions would store the weights twice.  Large attention is computed in parts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from export.rewrites import parted_attention
from export.rewrites.replacement import recast, replaced

ERF_RATE = 0.3275911
ERF_COEFFICIENTS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
"""Coefficients of erf, highest power first: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26, error at
most 1.5e-7."""


class StackedConvolution(nn.Conv2d):
    """A convolution that stacks the pictures of a batch vertically, with rows of zeros between them."""

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
    """Return the exact GELU, as a decomposition: Vulkan's own `gelu` always uses the tanh approximation.

    erf(z) = 1 - p(t) exp(-z^2) with t = 1 / (1 + ERF_RATE z) for z >= 0 (Abramowitz and Stegun 7.1.26).
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
    """Return a copy of `module` with every convolution and attention replaced; the copy shares the weights."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Conv2d):
        return recast(module, StackedConvolution)
    return parted_attention.replacement(module)
