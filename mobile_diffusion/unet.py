"""The U-Net; its configuration sets channels, ResNet blocks and transformers per level (`UNetConfig`).

With the counts of Stable Diffusion 1 or 2 it is Stable Diffusion's U-Net with the same tensor names.  With fewer blocks
it is that of BK-SDM, SDXS or SnapFusion; with an embedded guidance scale, that of a latent consistency model; with a
pooled text, that of SDXL.  The time embedding (`embed_time`) is separate from the prediction (`predict`), so an
exported graph contains it as a table.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.blocks import Downsample, ResnetBlock, Upsample
from mobile_diffusion.config import ModelConfig, UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.time_embedding import (
    AddedEmbedding,
    ContextEmbedding,
    SizedEmbedding,
    TimeEmbedding,
    guidance_waves,
    sinusoid,
)
from mobile_diffusion.transformer import SpatialTransformer

EPSILON = 1e-5
Encoder = TypeVar("Encoder", bound="UNetEncoder")


class LevelBlocks(nn.Module):
    """The ResNet blocks and transformers of one level; `inputs` are the input channels of each ResNet block."""

    def __init__(self, config: UNetConfig, level: UNetLevel, inputs: list[int]) -> None:
        super().__init__()
        self.level = level
        self.resnets = nn.ModuleList(
            ResnetBlock(count, level.channels, config.time_width, config.groups, EPSILON) for count in inputs
        )
        depths = [level.depth_of(index) for index in range(level.transformers)]
        self.attentions = nn.ModuleList(SpatialTransformer(config, level, depth) for depth in depths)

    def step(self, index: int, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """ResNet block `index` and the transformers after it: (B, C_in, h, w) -> (B, C, h, w)."""
        x = self.resnets[index](x, time)
        first = sum(self.level.transformers_after(i) for i in range(index))
        for transformer in self.attentions[first : first + self.level.transformers_after(index)]:
            x = transformer(x, context)
        return x


class DownLevel(LevelBlocks):
    """A level on the way down; it returns all feature maps that the way up uses."""

    def __init__(self, config: UNetConfig, level: UNetLevel, inputs: int, last: bool) -> None:
        super().__init__(config, level, [inputs] + [level.channels] * (level.resnets - 1))
        self.downsamplers = nn.ModuleList([] if last else [Downsample(level.channels)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, added: Tensor | None = None) -> list[Tensor]:
        """x (B, C_in, h, w) -> one (B, C, h, w) per ResNet block, then (B, C, h/2, w/2) except in the last level.

        `added` is a map that steers the level: (1, C, h, w) after its last transformer, or, in a level without
        transformers, of the sides of its last output.
        """
        outputs: list[Tensor] = []
        for index in range(len(self.resnets)):
            x = self.step(index, x, time, context)
            if added is not None and self.level.transformers and index == len(self.resnets) - 1:
                x = x + added
            outputs.append(x)
        outputs += [down(x) for down in self.downsamplers]
        return outputs if added is None or self.level.transformers else [*outputs[:-1], outputs[-1] + added]


class MidLevel(LevelBlocks):
    """The middle: a ResNet block, then alternating transformers and ResNet blocks."""

    def __init__(self, config: UNetConfig, level: UNetLevel) -> None:
        super().__init__(config, level, [level.channels] * level.resnets)

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        x = self.resnets[0](x, time)
        for index in range(max(len(self.attentions), len(self.resnets) - 1)):
            x = self.attentions[index](x, context) if index < len(self.attentions) else x
            x = self.resnets[index + 1](x, time) if index + 1 < len(self.resnets) else x
        return x


class UpLevel(LevelBlocks):
    """A level on the way up; every ResNet block also takes one feature map from the way down."""

    def __init__(self, config: UNetConfig, level: UNetLevel, inputs: int, skips: list[int], last: bool) -> None:
        widths = [inputs] + [level.channels] * (level.resnets - 1)
        super().__init__(config, level, [width + skip for width, skip in zip(widths, skips, strict=True)])
        self.upsamplers = nn.ModuleList([] if last else [Upsample(level.channels)])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: Tensor) -> Tensor:
        """x (B, C_in, h, w), one skip per ResNet block -> (B, C, 2h, 2w), or (B, C, h, w) in the last level."""
        for index, skip in enumerate(skips):
            x = self.step(index, torch.cat([x, skip], dim=1), time, context)
        for up in self.upsamplers:
            x = up(x)
        return x


class UNetEncoder(nn.Module):
    """The half of a U-Net on the way down, and its middle: all of it in a ControlNet."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.down[0].channels, len(config.down) - 1
        self.time_embedding = TimeEmbedding(first, config.time_width, config.guidance_width)
        sizes = (config.pooled_width, config.size_width, config.time_width)
        self.add_embedding: AddedEmbedding | SizedEmbedding | None = (
            AddedEmbedding(*sizes) if config.pooled_width else None
        )
        text = (config.context_width, config.time_width)
        self.context_embedding = ContextEmbedding(*text) if config.pooled_context else None
        self.conv_in = nn.Conv2d(config.in_channels, first, 3, padding=1)
        self.down_blocks = nn.ModuleList()
        width = first
        for index, level in enumerate(config.down):
            self.down_blocks.append(DownLevel(config, level, width, index == last))
            width = level.channels
        self.mid_block = MidLevel(config, config.mid) if config.mid else None

    def embed_time(
        self, timesteps: Tensor, guidance: Tensor | None = None, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Timesteps (B,), which may be fractional -> embeddings (B, E), which `predict` takes.

        E is `time_width`, and the first SiLU of the ResNet blocks is already applied.  For a network with a pooled
        text, E is twice that: without the SiLU, and followed by the share of the picture's `size`, height and width
        in pixels.  `guidance` (B,) is the scale w for a network that embeds it (`guidance_width` above 0).  Raises
        ConfigError when either is missing where it is needed, or passed to another network.
        """
        config, dtype = self.config, self.time_embedding.linear_1.weight.dtype
        _check_given("guidance scale", guidance, "guidance_width", config.guidance_width)
        _check_given("size", size, "pooled_width", config.pooled_width)
        scale = None if guidance is None else guidance_waves(guidance, config.guidance_width).to(dtype)
        embedded: Tensor = self.time_embedding(sinusoid(timesteps, config.down[0].channels).to(dtype), scale)
        if isinstance(self.add_embedding, AddedEmbedding) and size is not None:
            return torch.cat([embedded, self.add_embedding.of_size(size).expand_as(embedded)], dim=-1)
        return embedded if isinstance(self.add_embedding, SizedEmbedding) else F.silu(embedded)

    def embed_text(self, time: Tensor, context: Tensor, pooled: Tensor | None = None) -> Tensor:
        """`time` (1 or B, E) of `embed_time`, context (B, L, D), pooled (B, P) -> (1 or B, time_width)."""
        _check_given("pooled text", pooled, "pooled_width", self.config.pooled_width)
        if self.add_embedding is not None:
            time = self.add_embedding(time, pooled)
        if self.context_embedding is not None:
            time = time + self.context_embedding(context)
        return time

    def run_down(
        self, x: Tensor, time: Tensor, context: Tensor, maps: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], Tensor]:
        """x (B, C, h, w) after the first convolution -> the maps that the way up uses, and the middle's.

        `maps` of a T2I-Adapter steer the levels in order, and the middle if there is one more.
        """
        skips, levels = [x], len(self.down_blocks)
        for down, added in itertools.zip_longest(self.down_blocks, maps[:levels]):
            skips += down(skips[-1], time, context, added)
        x = skips[-1] if self.mid_block is None else self.mid_block(skips[-1], time, context)
        return skips, x + maps[levels] if len(maps) > levels else x

    def for_size(self: Encoder, size: tuple[int, int]) -> Encoder:
        """This network for pictures of one height and width, whose share is a constant: E is `time_width`.

        It shares all weights but those that read the size.  A network without a pooled text is returned as it is.
        """
        if not isinstance(self.add_embedding, AddedEmbedding):
            return self
        result = copy.copy(self)
        result._modules = {**self._modules, "add_embedding": SizedEmbedding(self.add_embedding, size)}
        return result


class UNet(UNetEncoder):
    """Predicts epsilon, v or the sample from noisy latents, a timestep and the text."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        width, last, skips = config.down[0].channels, len(config.down) - 1, [config.down[0].channels]
        for index, level in enumerate(config.down):
            width = level.channels
            skips += [width] * (level.resnets + (index != last))
        self.up_blocks = nn.ModuleList()
        for index, level in enumerate(config.up):
            taken = [skips.pop() for _ in range(level.resnets)]
            self.up_blocks.append(UpLevel(config, level, width, taken, index == last))
            width = level.channels
        self.conv_norm_out = nn.GroupNorm(config.groups, width, EPSILON)
        self.conv_out = nn.Conv2d(width, config.out_channels, 3, padding=1)

    def predict(
        self,
        latents: Tensor,
        time: Tensor,
        context: Tensor,
        pooled: Tensor | None = None,
        residuals: Sequence[Tensor] = (),
        maps: Sequence[Tensor] = (),
    ) -> Tensor:
        """Latents (B, C, h, w) -> prediction (B, C, h, w).

        `time` (1 or B, E) is of `embed_time`, `context` (B, L, D); `pooled` (B, P) is for a network that takes it.
        `residuals` are a ControlNet's, one per map that the way up uses, and the middle's; `maps` a T2I-Adapter's, one
        per level, and perhaps the middle's.
        """
        return self.run_blocks(latents, self.embed_text(time, context, pooled), context, residuals, maps)

    def run_blocks(
        self,
        latents: Tensor,
        time: Tensor,
        context: Tensor,
        residuals: Sequence[Tensor] = (),
        maps: Sequence[Tensor] = (),
    ) -> Tensor:
        """latents (B, C, h, w), time (1 or B, time_width) after its SiLU, context (B, L, D) -> (B, C, h, w)."""
        skips, x = self.run_down(self.conv_in(latents), time, context, maps)
        if residuals:
            *skips, x = [own + added for own, added in zip([*skips, x], residuals, strict=True)]
        for up, level in zip(self.up_blocks, self.config.up, strict=True):
            taken = [skips.pop() for _ in range(level.resnets)]
            x = up(x, taken, time, context)
        return self.conv_out(F.silu(self.conv_norm_out(x)))

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        guidance: Tensor | None = None,
        pooled: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """latents (B, C, h, w), timesteps (B,), context (B, L, D) -> (B, C, h, w); the others as in the methods."""
        return self.predict(latents, self.embed_time(timesteps, guidance, size), context, pooled)


def embed_steps(config: ModelConfig, unet: UNetEncoder, timesteps: Tensor) -> Tensor:
    """The embeddings (N, E) of timesteps (N,), with what else the network embeds of a model's settings.

    The guidance scale and the size of the pictures are the model's, so all of it is constant.
    """
    guidance = torch.full_like(timesteps, config.schedule.guidance) if unet.config.guidance_width else None
    return unet.embed_time(timesteps, guidance, (config.height, config.width) if unet.config.pooled_width else None)


def _check_given(what: str, value: object, name: str, width: int) -> None:
    """Raise ConfigError when a value is missing for a network with this width, or given for one without."""
    if (value is None) != (width == 0):
        need, got = ("a", "none") if width else ("no", "one")
        raise ConfigError(f"U-Net: expected {need} {what}, as {name} is {width}, got {got}")
