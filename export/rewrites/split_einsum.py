"""Layers over (B, C, 1, S): projections, layer norm and attention for the Neural Engine's layout (neural_engine.py)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 4.0
"""Largest magnitude that a norm squares.  The sum of 4000 such squares still fits float16.  A number whose square
underflows would add less than 2^-18 of the largest square."""
SMALLEST_NORMAL = 2.0**-14
"""Smallest normal float16 number; a device may flush smaller ones to zero."""


class Projection(nn.Module):
    """A linear layer as a 1x1 convolution, whose weight is a view of the layer's."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        return F.conv2d(x, self.weight, self.bias)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels that cannot overflow in float16.

    (x - mean) / sqrt(variance + epsilon) does not change if x is divided by any s > 0 and epsilon by s^2.  With s a
    quarter of the largest |x - mean|, no square exceeds 16 (compare export/coreml/norms.py).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, S) -> (B, C, 1, S)."""
        difference = x - x.mean(1, keepdim=True)
        least = torch.full((1, 1, 1, 1), max(self.eps**0.5, SMALLEST_NORMAL))
        scale = (difference.abs().amax(1, keepdim=True) / LARGEST).maximum(least)  # (B, 1, 1, S)
        scaled, floor = difference / scale, torch.full((1, 1, 1, 1), self.eps**0.5) / scale  # at most LARGEST, 1
        inverse = ((scaled * scaled).mean(1, keepdim=True) + floor * floor).rsqrt()
        return scaled * inverse * self.weight[:, None, None] + self.bias[:, None, None]


def positions_last(x: Tensor) -> Tensor:
    """Return tokens (B, S, C) as (B, C, 1, S)."""
    return x.transpose(1, 2).unsqueeze(2)


def channels_last(x: Tensor) -> Tensor:
    """Return (B, C, 1, S) as tokens (B, S, C)."""
    return x.squeeze(2).transpose(1, 2)


def split_einsum_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Return the same as `mobile_diffusion.blocks.attention`, computed one head at a time.

    query (B, W, 1, Q), key and value (B, W, 1, K) -> (B, W, 1, Q).  `mask` broadcasts to (B, K, 1, Q) and is added to
    the scores.  The transposed keys are scaled, not the queries, because coremltools would merge a factor after a
    convolution into the weights.
    """
    size = query.shape[1] // heads
    keys = key.transpose(1, 3) * size**-0.5  # (B, K, 1, W)
    parts = zip(query.split(size, 1), keys.split(size, 3), value.split(size, 1), strict=True)
    mixed = [_attend(*part, mask) for part in parts]
    return torch.cat(mixed, dim=1) if heads > 1 else mixed[0]


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """query (B, size, 1, Q), key (B, K, 1, size), value (B, size, 1, K) -> (B, size, 1, Q)."""
    scores = torch.einsum("bkhc,bchq->bkhq", key, query)  # (B, K, 1, Q)
    scores = scores if mask is None else scores + mask
    return torch.einsum("bchk,bkhq->bchq", value, scores.softmax(dim=1))
