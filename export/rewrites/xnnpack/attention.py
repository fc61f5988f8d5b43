"""Attention as products of three-dimensional tensors, in parts if its scores are large.

XNNPACK would store all scores at once.  Four-dimensional products would be expanded outside the delegate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.rewrites.attention_in_parts import attend_in_parts
from export.rewrites.replacement import recast
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.transformer import Attention


class AttentionByParts(Attention):
    """Attention of a transformer, in parts."""

    both: Tensor

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (1 or B, h*w, width), context (B, L, context_width) -> (B, h*w, width); x of batch 1 is shared by both."""
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context)
        query = query * self.both if len(query) < len(key) else query
        return self.to_out[0](mixed(query, key, value, self.heads))


class PixelAttentionByParts(PixelAttention):
    """Attention of the autoencoder, in parts, on a channels-last map that is not moved."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        batch, channels, height, width = x.shape
        tokens = self.group_norm(x).permute(0, 2, 3, 1).reshape(batch, -1, channels)  # (B, h*w, C)
        query, key, value = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        added = self.to_out[0](mixed(query, key, value, heads=1))
        return x + added.reshape(batch, height, width, channels).permute(0, 3, 1, 2)  # (B, C, h, w)


def mixed(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return the same as `mobile_diffusion.blocks.attention` without a mask, computed in parts.

    query (B, Q, W), key and value (B, K, W) -> (B, Q, W).
    """
    batch, size = len(query), query.shape[2] // heads
    query = _heads(query * size**-0.5, heads).permute(0, 2, 1, 3).flatten(0, 1)  # (B * heads, Q, size)
    key = _heads(key, heads).permute(0, 2, 3, 1).flatten(0, 1)  # (B * heads, size, K)
    value = _heads(value, heads).permute(0, 2, 1, 3).flatten(0, 1)  # (B * heads, K, size)
    return attend_in_parts(_attend, query, key, value).unflatten(0, (batch, heads)).transpose(1, 2).flatten(2)


def attention_by_parts(module: nn.Module) -> nn.Module | None:
    """Return the replacement of the attention of a transformer in the U-Net, or None."""
    if type(module) is not Attention:
        return None
    result = recast(module, AttentionByParts)
    result.register_buffer("both", torch.ones(2, 1, 1))
    return result


def pixel_attention_by_parts(module: nn.Module) -> nn.Module | None:
    """Return the replacement of the attention of the autoencoder, or None."""
    return recast(module, PixelAttentionByParts) if type(module) is PixelAttention else None


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, W) -> (B, N, heads, W / heads)."""
    return x.unflatten(-1, (heads, -1))


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """query (R, Q, size), key (R, size, K), value (R, K, size) -> (R, Q, size)."""
    return torch.bmm(torch.bmm(query, key).softmax(dim=-1), value)
