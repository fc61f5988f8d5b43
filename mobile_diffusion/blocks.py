"""What the networks share: ResNet block, resampling, attention and its mask, initial weights.

Parameter names are those of diffusers, so published checkpoints load unchanged.  An exported graph contains attention
as matmul, softmax, matmul, which every phone backend supports without splitting the graph.  PyTorch runs its fused
kernel instead, which never stores the (B, heads, Q, K) scores: a gigabyte for two pictures of 512 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MASKED = -1e4
"""Added to the score of a masked position: finite in float16, and exp(-1e4) is 0 in every precision."""
INITIAL_DEVIATION = 0.02
"""Standard deviation of every linear and embedding weight of an untrained text encoder, as in both papers."""


def attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None, upcast: bool = False
) -> Tensor:
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    query (B, Q, W), key and value (B, K, W) -> (B, Q, W).  `mask` is added to the scores and must broadcast to
    (B, heads, Q, K).  With `upcast` all of it is computed in float32, whatever the dtype of the network.
    """
    if upcast and query.dtype != torch.float32:
        wide = attention(query.float(), key.float(), value.float(), heads, mask)
        return wide.to(value.dtype)
    width = query.shape[-1] // heads
    query, key, value = (x.unflatten(-1, (heads, width)).transpose(1, 2) for x in (query, key, value))
    if torch.compiler.is_exporting() or query.is_meta:  # on the meta device, cost is measured for phones
        mixed = explicit_attention(query, key, value, mask)
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, mask)
    return mixed.transpose(1, 2).flatten(2)  # (B, Q, W)


def explicit_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention as exported: query (B, heads, Q, width), key and value (B, heads, K, width) -> shape of query."""
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))  # (B, heads, Q, K)
    scores = scores if mask is None else scores + mask
    return torch.matmul(scores.softmax(dim=-1), value)


class ResnetBlock(nn.Module):
    """Twice GroupNorm, SiLU and convolution, with the time embedding added in between, and a residual connection."""

    def __init__(self, inputs: int, outputs: int, time_width: int | None, groups: int, epsilon: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, epsilon)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        if time_width is not None:
            self.time_emb_proj = nn.Linear(time_width, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, epsilon)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x (B, inputs, h, w), time (1 or B, time_width) already through SiLU -> (B, outputs, h, w)."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        if time is not None:
            hidden = hidden + self.time_emb_proj(time)[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsample(nn.Module):
    """A strided convolution that halves the side; `asymmetric` pads only right and below, as in the autoencoder."""

    def __init__(self, channels: int, asymmetric: bool = False) -> None:
        super().__init__()
        self.asymmetric = asymmetric
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if asymmetric else 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h/2, w/2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric else x)


class Upsample(nn.Module):
    """Nearest-neighbour upsampling that doubles the side, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def initialise(module: nn.Module) -> None:
    """Initialise a linear or embedding layer of a text encoder: normal weights, zero biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
