"""Layers over (B, C, 1, S): projections, layer norm and attention for the Neural Engine's layout (neural_engine.py)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 4.0
"""Of the numbers that a norm squares: 4000 such squares still have a sum that float16 holds, and a number that is so
much smaller that its square vanishes would add less than 2^-18 of the largest square."""
SMALLEST_NORMAL = 2.0**-14
"""Of float16: what is smaller may become zero on a device."""


class Projection(nn.Module):
    """A linear layer as a 1x1 convolution; its weight is a view of the layer's."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        return F.conv2d(x, self.weight, self.bias)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels, which cannot overflow in half precision.

    (x - mean) / sqrt(variance + epsilon) is the same for all values divided by any s > 0, if epsilon is divided by
    s^2.  With s a quarter of the largest |x - mean|, no square exceeds 16 (as in export/coreml/norms.py).
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
    """Tokens (B, S, C) -> (B, C, 1, S)."""
    return x.transpose(1, 2).unsqueeze(2)


def channels_last(x: Tensor) -> Tensor:
    """(B, C, 1, S) -> tokens (B, S, C)."""
    return x.squeeze(2).transpose(1, 2)


def split_einsum_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Multi-head attention, a head at a time, as `mobile_diffusion.blocks.attention` computes it.

    query (B, W, 1, Q), key and value (B, W, 1, K) -> (B, W, 1, Q).  `mask` broadcasts to (B, K, 1, Q) and is added to
    the scores.  The keys are scaled, not the queries: a factor after a convolution would be merged into its weights.
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
