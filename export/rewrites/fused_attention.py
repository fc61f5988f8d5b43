"""Attention as one operation, `scaled_dot_product_attention`, which Core ML supports from iOS 18 on.

Without this rewrite an exported graph has attention as matmul, softmax, matmul (mobile_diffusion/blocks.py).  The fused
operation scales the scores itself, and a GPU need not store all of them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from export.rewrites.replacement import recast, replaced
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.bert_encoder import BertSelfAttention
from mobile_diffusion.clip_encoder import ClipAttention
from mobile_diffusion.transformer import Attention


class FusedAttention(Attention):
    """Attention of a transformer in the U-Net."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, h*w, width), context (B, L, context_width) -> (B, h*w, width)."""
        return self.to_out[0](fused_attention(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))


class FusedPixelAttention(PixelAttention):
    """Attention of the autoencoder."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, h*w, C)
        mixed = self.to_out[0](fused_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), heads=1))
        return x + mixed.transpose(1, 2).reshape(x.shape)  # (B, C, h, w)


class FusedBertAttention(BertSelfAttention):
    """Attention of BERT."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, width), mask (B, 1, 1, L) -> (B, L, width)."""
        return fused_attention(self.query(x), self.key(x), self.value(x), self.heads, mask)


class FusedClipAttention(ClipAttention):
    """Attention of CLIP's text tower."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, width), mask (1, 1, L, L) -> (B, L, width)."""
        return self.out_proj(fused_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, mask))


RECAST: dict[type[nn.Module], type[nn.Module]] = {
    Attention: FusedAttention,
    PixelAttention: FusedPixelAttention,
    BertSelfAttention: FusedBertAttention,
    ClipAttention: FusedClipAttention,
}
"""Maps each class to the class whose `forward` replaces its own."""


def fused_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Return the same as `mobile_diffusion.blocks.attention`, as one operation in an exported graph, too.

    query (B, Q, W), key and value (B, K, W) -> (B, Q, W); `mask` broadcasts to (B, heads, Q, K).
    """
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)


def rewrite(module: nn.Module) -> nn.Module:
    """Return a copy of a stage's module with fused attention; the copy shares the weights."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    kind = RECAST.get(type(module))
    return None if kind is None else recast(module, kind)
