"""Attention modules for ONNX Runtime and Vulkan that compute large attention in parts (attention_in_parts.py).

These backends store all scores of an attention in one tensor: a gigabyte for two pictures of 512 pixels and eight
heads, and several such tensors at once.  Attention with smaller scores is left as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.rewrites import attention_in_parts as parts
from export.rewrites.attention_in_parts import attend_in_parts
from export.rewrites.replacement import recast
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.blocks import attention
from mobile_diffusion.transformer import Attention


class PartedAttention(Attention):
    """Attention of a transformer."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, h*w, width), context (B, L, context_width) -> (B, h*w, width)."""
        return self.to_out[0](parted_attention(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))


class PartedPixelAttention(PixelAttention):
    """Attention of the autoencoder."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, h*w, C)
        mixed = parted_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), heads=1)
        return x + self.to_out[0](mixed).transpose(1, 2).reshape(x.shape)  # (B, C, h, w)


def parted_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return the same as `mobile_diffusion.blocks.attention` without a mask, in parts if the scores are large.

    Scores are large above `attention_in_parts.SCORES` bytes.  query (B, Q, W), key and value (B, K, W) -> (B, Q, W).
    """
    (batch, queries, width), keys = query.shape, key.shape[1]
    if batch * heads * queries * keys * parts.FLOAT_BYTES <= parts.SCORES:
        return attention(query, key, value, heads)
    query, key, value = (_rows(x, heads) for x in (query * (width // heads) ** -0.5, key, value))
    return attend_in_parts(_attend, query, key, value).unflatten(0, (batch, heads)).transpose(1, 2).flatten(2)


def replacement(module: nn.Module) -> nn.Module | None:
    """Return the module that replaces `module`, or None; the argument of `export.rewrites.replacement.replaced`."""
    match module:
        case Attention():
            return recast(module, PartedAttention)
        case PixelAttention():
            return recast(module, PartedPixelAttention)
    return None


def _rows(x: Tensor, heads: int) -> Tensor:
    """(B, N, W) -> (B * heads, N, W / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """query (R, Q, size), key and value (R, K, size) -> (R, Q, size)."""
    return torch.bmm(torch.bmm(query, key.transpose(1, 2)).softmax(dim=-1), value)
