"""The U-Net's transformers: attention and feed-forward blocks over the positions of a feature map.

Names of tensors are those of diffusers' BasicTransformerBlock and Transformer2DModel (Rombach et al. 2022).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.blocks import attention
from mobile_diffusion.config import UNetConfig, UNetLevel

TRANSFORMER_EPSILON = 1e-6


class Attention(nn.Module):
    """Attention from the positions of the image to themselves or to the text."""

    def __init__(self, width: int, context_width: int, heads: int, upcast: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.upcast = upcast
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, h*w, width), context (B, L, context_width) -> (B, h*w, width)."""
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context)
        return self.to_out[0](attention(query, key, value, self.heads, upcast=self.upcast))


class GatedGelu(nn.Module):
    """GEGLU (Shazeer 2020): one half of a projection gates the other."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = inner
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, inner)."""
        both = self.proj(x)
        return both[..., : self.inner] * F.gelu(both[..., self.inner :])


class FeedForward(nn.Module):
    """GEGLU and a projection back; `net.1` stands for diffusers' dropout, which has no parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GatedGelu(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        for layer in self.net:
            x = layer(x)
        return x


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward, each after a layer norm and with a residual connection."""

    def __init__(self, width: int, context_width: int, heads: int, upcast: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, width, heads, upcast)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, context_width, heads, upcast)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, h*w, width), context (B, L, D) -> (B, h*w, width)."""
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the positions of a feature map ("CA" in SnapFusion's table), `depth` of them.

    Its projections are 1x1 convolutions on the map, or linear layers on the tokens with `config.linear_projection`.
    """

    def __init__(self, config: UNetConfig, level: UNetLevel, depth: int) -> None:
        super().__init__()
        channels, heads = level.channels, config.heads_of(level)
        block = (channels, config.context_width, heads, config.upcast_attention)
        self.linear = config.linear_projection
        self.norm = nn.GroupNorm(config.groups, channels, TRANSFORMER_EPSILON)
        self.proj_in = nn.Linear(channels, channels) if self.linear else nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(*block) for _ in range(depth))
        self.proj_out = nn.Linear(channels, channels) if self.linear else nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, C, h, w), context (B, L, D) -> (B, C, h, w)."""
        hidden = self.norm(x) if self.linear else self.proj_in(self.norm(x))
        hidden = hidden.flatten(2).transpose(1, 2)  # (B, h*w, C)
        hidden = self.proj_in(hidden) if self.linear else hidden
        for block in self.transformer_blocks:
            hidden = block(hidden, context)
        hidden = self.proj_out(hidden) if self.linear else hidden
        hidden = hidden.transpose(1, 2).reshape(x.shape)  # (B, C, h, w)
        return x + (hidden if self.linear else self.proj_out(hidden))
