"""Rewrites the U-Net and the autoencoder to the layout that Apple's Neural Engine prefers.

It follows Apple's "Deploying Transformers on the Apple Neural Engine" (machinelearning.apple.com, 2022).  Tokens are
(B, C, 1, S), channels first and positions last, instead of (B, S, C).  Each linear layer is a 1x1 convolution.
Attention is one pair of einsums per head, so that no tensor has more than four axes and only the keys are transposed.
Tables are read by a comparison and a product instead of a gather.  The results do not change, and no weight is copied:
a convolution's weight is a view of the linear layer's.  Only a device can tell whether this is faster.
Text encoders are in neural_engine_text.py, layers with room for adapters in neural_engine_adapters.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.rewrites.neural_engine_adapters import ADAPTED
from export.rewrites.neural_engine_text import TEXT
from export.rewrites.replacement import recast, replaced
from export.rewrites.split_einsum import ChannelNorm, Projection, positions_last, split_einsum_attention
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.control_net import ControlNet
from mobile_diffusion.time_embedding import ContextEmbedding, SizedEmbedding
from mobile_diffusion.transformer import Attention, GatedGelu, SpatialTransformer
from mobile_diffusion.unet import UNet


class ChannelsFirstAttention(Attention):
    """Attention of a transformer: self-attention between positions, or cross-attention to the text."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, width, 1, h*w), context (B, context_width, 1, L) -> (B, width, 1, h*w)."""
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context)
        return self.to_out[0](split_einsum_attention(query, key, value, self.heads))


class ChannelsFirstGatedGelu(GatedGelu):
    """GEGLU over the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 1, S) -> (B, inner, 1, S)."""
        value, gate = self.proj(x).split(self.inner, dim=1)
        return value * F.gelu(gate)


class ChannelsFirstTransformer(SpatialTransformer):
    """A spatial transformer whose projections are convolutions, even if the checkpoint has linear layers."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, C, h, w), context (B, D, 1, L) -> (B, C, h, w)."""
        hidden = on_one_row(self.proj_in(self.norm(x)))  # (B, C, 1, h*w)
        for block in self.transformer_blocks:
            hidden = block(hidden, context)
        return x + self.proj_out(hidden.reshape(x.shape))


class ChannelsFirstResnetBlock(ResnetBlock):
    """A ResNet block whose time embedding has the map's layout."""

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x (B, inputs, h, w), time (1 or B, time_width, 1, 1) -> (B, outputs, h, w)."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = hidden if time is None else hidden + self.time_emb_proj(time)
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class ChannelsFirstUNet(UNet):
    """A U-Net that passes the time embedding and the text to its blocks in this layout."""

    def run_blocks(
        self,
        latents: Tensor,
        time: Tensor,
        context: Tensor,
        residuals: Sequence[Tensor] = (),
        maps: Sequence[Tensor] = (),
    ) -> Tensor:
        """latents (B, C, h, w), time (1 or B, time_width), context (B, L, D) -> (B, C, h, w)."""
        return super().run_blocks(latents, time.reshape(*time.shape, 1, 1), positions_last(context), residuals, maps)


class ChannelsFirstControlNet(ControlNet):
    """A ControlNet that does the same."""

    def run_blocks(self, latents: Tensor, features: Tensor, time: Tensor, context: Tensor) -> list[Tensor]:
        """latents (B, C, h, w), features (1, C1, h, w), time (1 or B, time_width), context (B, L, D) -> residuals."""
        return super().run_blocks(latents, features, time.reshape(*time.shape, 1, 1), positions_last(context))


class ChannelsFirstContextEmbedding(ContextEmbedding):
    """An embedding of the whole text whose layers are convolutions."""

    def forward(self, context: Tensor) -> Tensor:
        """context (B, L, D) -> (B, width)."""
        pooled = self.pool(context)[:, :, None, None]  # (B, D, 1, 1)
        return self.linear_2(F.silu(self.linear_1(pooled))).flatten(1)


class ChannelsFirstSizedEmbedding(SizedEmbedding):
    """SDXL's embedding of the pooled text, whose layers are convolutions."""

    def forward(self, time: Tensor, pooled: Tensor) -> Tensor:
        """time (1, width), pooled (B, P) -> (B, width)."""
        hidden = self.linear_2(F.silu(self.linear_1(pooled[:, :, None, None])))  # (B, width, 1, 1)
        return F.silu(time[:, :, None, None] + hidden).flatten(1)


class ChannelsFirstPixelAttention(PixelAttention):
    """Attention of the autoencoder."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        tokens = on_one_row(self.group_norm(x))  # (B, C, 1, h*w)
        mixed = split_einsum_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), heads=1)
        return x + self.to_out[0](mixed).reshape(x.shape)


RECAST: dict[type[nn.Module], type[nn.Module]] = {
    Attention: ChannelsFirstAttention,
    GatedGelu: ChannelsFirstGatedGelu,
    SpatialTransformer: ChannelsFirstTransformer,
    ResnetBlock: ChannelsFirstResnetBlock,
    UNet: ChannelsFirstUNet,
    ControlNet: ChannelsFirstControlNet,
    ContextEmbedding: ChannelsFirstContextEmbedding,
    SizedEmbedding: ChannelsFirstSizedEmbedding,
    PixelAttention: ChannelsFirstPixelAttention,
    nn.LayerNorm: ChannelNorm,
    **TEXT,
}
"""Maps each class to the class whose `forward` replaces its own."""


def on_one_row(x: Tensor) -> Tensor:
    """Return a map (B, C, h, w) as positions (B, C, 1, h*w)."""
    return x.reshape(*x.shape[:2], 1, -1)


def rewrite(module: nn.Module) -> nn.Module:
    """Return a copy of a stage's module in this layout; it shares the weights, and has the same inputs and outputs."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    if type(module) is nn.Linear:
        return Projection(module)
    if type(module) in ADAPTED:
        return ADAPTED[type(module)](module)
    kind = RECAST.get(type(module))
    return None if kind is None else recast(module, kind)


def look_up(table: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return one row of a table without a gather: the sum of all rows, the wanted one times 1 and the others times 0.

    table (N, ...) of finite numbers, index int (1,) -> (1, ...), exactly; zeros if `index` is outside the table.
    Raises `ValueError` for another axis than the first, or for more than one index.
    """
    if dim != 0 or index.shape != (1,):
        raise ValueError(f"expected one row of the first axis, got {tuple(index.shape)} of axis {dim}")
    rows = torch.arange(table.shape[0], dtype=torch.float32)  # floats, because the Neural Engine has no integers
    chosen = (rows == index.to(torch.float32)).to(table.dtype).reshape(-1, *[1] * (table.dim() - 1))
    return (table * chosen).sum(0, keepdim=True)
