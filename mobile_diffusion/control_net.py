"""ControlNets (Zhang et al. 2023): a hint picture steers the U-Net through its skip connections.

A ControlNet is the encoder half of a U-Net with weights of its own.  It adds the encoded hint to its first map, and its
maps, each through a 1x1 convolution, to those that the U-Net's way up uses.  The hint does not change from step to
step, so `HintEncoder` runs once per picture.  Names of tensors are those of diffusers' ControlNetModel.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.config import ControlConfig
from mobile_diffusion.unet import UNetEncoder


class HintEncoder(nn.Module):
    """Convolutions that turn a hint picture into a map of the latents' sides."""

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for before, after in itertools.pairwise(channels):
            self.blocks += [nn.Conv2d(before, before, 3, padding=1), nn.Conv2d(before, after, 3, padding=1, stride=2)]
        self.conv_out = nn.Conv2d(channels[-1], outputs, 3, padding=1)

    def forward(self, hint: Tensor) -> Tensor:
        """hint (B, 3, H, W) in [0, 1] -> (B, outputs, h, w)."""
        x = F.silu(self.conv_in(hint))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)


class ControlNet(UNetEncoder):
    """Turns noisy latents and an encoded hint into residuals for the U-Net."""

    def __init__(self, config: ControlConfig) -> None:
        network = config.network
        super().__init__(network)
        first, last = network.down[0].channels, len(network.down) - 1
        self.controlnet_cond_embedding = HintEncoder(config.hint_channels, first)
        widths = [first]
        for index, level in enumerate(network.down):
            widths += [level.channels] * (level.resnets + (index != last))
        self.controlnet_down_blocks = nn.ModuleList(nn.Conv2d(width, width, 1) for width in widths)
        self.controlnet_mid_block = nn.Conv2d(widths[-1], widths[-1], 1)

    def residuals(
        self, latents: Tensor, features: Tensor, time: Tensor, context: Tensor, pooled: Tensor | None = None
    ) -> list[Tensor]:
        """latents (B, C, h, w), `features` (1 or B, C1, h, w) of the hint's encoder -> what `UNet.predict` takes.

        `time` (1 or B, E) is of `embed_time`, `context` (B, L, D); `pooled` (B, P) is for a network that takes it.
        """
        return self.run_blocks(latents, features, self.embed_text(time, context, pooled), context)

    def run_blocks(self, latents: Tensor, features: Tensor, time: Tensor, context: Tensor) -> list[Tensor]:
        """The same, for a time (1 or B, time_width) after its SiLU."""
        skips, x = self.run_down(self.conv_in(latents) + features, time, context)
        added = [convolve(skip) for convolve, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        return [*added, self.controlnet_mid_block(x)]

    def encode(self, hint: Tensor) -> Tensor:
        """hint (1, 3, H, W) in [0, 1] -> (1, C1, h, w)."""
        return self.controlnet_cond_embedding(hint)

    def without_encoder(self) -> ControlNet:
        """This ControlNet without the hint's encoder; it shares all weights."""
        result = copy.copy(self)
        result._modules = {name: each for name, each in self._modules.items() if name != "controlnet_cond_embedding"}
        return result


def total(residuals: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The sums of the residuals of several ControlNets."""
    first, *rest = residuals
    result = list(first)
    for each in rest:
        result = [own + added for own, added in zip(result, each, strict=True)]
    return result
