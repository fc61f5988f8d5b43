"""Normalisation, upsampling and attention in operations that XNNPACK's partitioner takes.

Left as they are, `group_norm`, `layer_norm` and nearest upsampling split the U-Net into a hundred delegates with slow
portable kernels between them; the portable group norm also computes E[x^2] - E[x]^2, which loses digits where the mean
is large.  Here both norms subtract the mean first, and everything stays in the layout of the convolutions, so each
stage becomes one delegate.  Attention over many positions is taken in parts, because XNNPACK would hold all scores.
Nothing here changes what is computed, and no large weight is copied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.rewrites.replacement import replaced
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.blocks import Upsample
from mobile_diffusion.unet import Attention

SCORES = 128 * 2**20
"""Bytes of attention scores held at once: at 64x64 positions, two pictures and eight heads, 1 GiB in eight parts."""
FLOAT_BYTES = 4


class GroupNormByConvolution(nn.Module):
    """Group means as global pooling and two 1x1 convolutions: channels to their group's mean, and back to channels.

    The obvious view of (B, groups, C / groups, h, w) would cost two transpositions of the whole map, and one
    convolution of C x C weights would be 26 MB for the widest norm of Stable Diffusion's U-Net.
    """

    average: Tensor
    spread: Tensor
    epsilon: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        channels, groups = norm.num_channels, norm.num_groups
        member = torch.eye(groups).repeat_interleave(channels // groups, dim=0)  # (C, groups)
        self.register_buffer("average", (member.T * (groups / channels))[:, :, None, None].contiguous())
        self.register_buffer("spread", member[:, :, None, None])
        self.register_buffer("epsilon", torch.full((groups,), norm.eps))
        self.register_buffer("scale", self.spread * norm.weight.detach()[:, None, None, None])
        self.register_buffer("bias", norm.bias.detach()[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        mean = F.conv2d(x.mean((2, 3), keepdim=True), self.average)  # (B, groups, 1, 1)
        centred = x - F.conv2d(mean, self.spread)
        squares = (centred * centred).mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        variance = F.conv2d(squares, self.average, self.epsilon)  # (B, groups, 1, 1)
        return centred * F.conv2d(torch.rsqrt(variance), self.scale) + self.bias


class LayerNormByLinear(nn.Module):
    """Means over the last dimension as a linear layer with one output."""

    average: Tensor
    epsilon: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        (width,) = norm.normalized_shape
        self.register_buffer("average", torch.full((1, width), 1.0 / width))
        self.register_buffer("epsilon", torch.full((1,), norm.eps))
        self.register_buffer("weight", norm.weight.detach())
        self.register_buffer("bias", norm.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        centred = x - F.linear(x, self.average)
        variance = F.linear(centred * centred, self.average, self.epsilon)
        return centred * torch.rsqrt(variance) * self.weight + self.bias


class UpsampleByBroadcast(nn.Module):
    """Pixels repeated by multiplying with ones that broadcast: exact, and no dimension beyond the third."""

    pair_row: Tensor
    pair_column: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pair_row", torch.ones(1, 1, 2))
        self.register_buffer("pair_column", torch.ones(1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w)."""
        batch, channels, height, width = x.shape
        wide = x.reshape(-1, width, 1) * self.pair_row  # (B * C * h, w, 2)
        tall = wide.reshape(-1, 1, 2 * width) * self.pair_column  # (B * C * h, 2, 2w)
        return tall.reshape(batch, channels, 2 * height, 2 * width)


class AttentionByParts(nn.Module):
    """Attention of a transformer whose scores are never held whole (`attention_by_parts`)."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.inner = attention

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, h*w, width), context (B, L, context_width) -> (B, h*w, width)."""
        query, key, value = self.inner.to_q(x), self.inner.to_k(context), self.inner.to_v(context)
        return self.inner.to_out[0](attention_by_parts(query, key, value, self.inner.heads))


class PixelAttentionByParts(nn.Module):
    """The autoencoder's attention whose scores are never held whole (`attention_by_parts`)."""

    def __init__(self, attention: PixelAttention) -> None:
        super().__init__()
        self.inner = attention

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        tokens = self.inner.group_norm(x).flatten(2).transpose(1, 2)  # (B, h*w, C)
        query, key, value = self.inner.to_q(tokens), self.inner.to_k(tokens), self.inner.to_v(tokens)
        mixed = self.inner.to_out[0](attention_by_parts(query, key, value, heads=1))
        return x + mixed.transpose(1, 2).reshape(x.shape)  # (B, C, h, w)


def attention_by_parts(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention, some heads at a time, or some queries of one, so that scores take at most SCORES bytes.

    query (B, Q, W), key and value (B, K, W) -> (B, Q, W), as `mobile_diffusion.blocks.attention` without a mask.
    Heads are what to divide by: their parts are as fast as the whole, while keys are packed anew for each part of
    the queries.
    """
    batch, queries, width = query.shape
    size, keys = width // heads, key.shape[1]
    query, key, value = (_rows(x, heads) for x in (query * size**-0.5, key, value))  # (B * heads, Q or K, size) each
    row_count = max(1, SCORES // (queries * keys * FLOAT_BYTES))
    query_count = queries if row_count > 1 else max(1, SCORES // (keys * FLOAT_BYTES))
    rows = [
        _join([_attend(part, *others) for part in _split(queried, query_count, dim=1)], dim=1)
        for queried, *others in zip(*(_split(x, row_count, dim=0) for x in (query, key, value)), strict=True)
    ]
    return _join(rows, dim=0).unflatten(0, (batch, heads)).transpose(1, 2).flatten(2)


def _rows(x: Tensor, heads: int) -> Tensor:
    """(B, N, W) -> (B * heads, N, W / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """query (R, Q, size), key and value (R, K, size) -> (R, Q, size)."""
    return torch.bmm(torch.bmm(query, key.transpose(1, 2)).softmax(dim=-1), value)


def _split(x: Tensor, count: int, dim: int) -> list[Tensor]:
    """`Tensor.split`, by slices: XNNPACK does not take a split."""
    length = x.shape[dim]
    return [x] if count >= length else [x.narrow(dim, at, min(count, length - at)) for at in range(0, length, count)]


def _join(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def rewrite(module: nn.Module) -> nn.Module:
    """A copy of `module` that shares its weights, with every norm, upsampling and large attention replaced."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    match module:
        case nn.GroupNorm():
            return GroupNormByConvolution(module)
        case nn.LayerNorm():
            return LayerNormByLinear(module)
        case Upsample():
            return nn.Sequential(UpsampleByBroadcast(), module.conv)
        case nn.Upsample(scale_factor=2.0, mode="nearest"):
            return UpsampleByBroadcast()
        case Attention():
            return AttentionByParts(module)
        case PixelAttention():
            return PixelAttentionByParts(module)
    return None
