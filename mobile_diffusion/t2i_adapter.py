"""T2I-Adapters (Mou et al. 2023): a hint picture steers the U-Net by a map that is added to each level on the way down.

The light relative of a ControlNet: a small pyramid of convolutions that reads neither the time nor the text, so all of
it runs once per picture.  Names of tensors are those of diffusers' T2IAdapter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.t2i_adapter_config import FeatureMap, T2IAdapterConfig

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey picture (ITU-R BT.601), as Pillow converts to "L"."""


class AdapterBlocks(nn.Module):
    """ResNet-like blocks without a norm, after halving the map's sides and changing its channels where it should."""

    def __init__(self, config: T2IAdapterConfig, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        width, kernel = (outputs // 4, 3) if config.light else (outputs, 1)
        self.halve = halve
        self.in_conv = nn.Conv2d(inputs, width, 1) if config.light or inputs != outputs else None
        self.resnets = nn.Sequential(*(AdapterResnet(width, kernel) for _ in range(config.resnets)))
        self.out_conv = nn.Conv2d(width, outputs, 1) if config.light else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w), or half the sides."""
        x = F.avg_pool2d(x, 2) if self.halve else x
        x = self.resnets(x if self.in_conv is None else self.in_conv(x))
        return x if self.out_conv is None else self.out_conv(x)


class AdapterResnet(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x + self.block2(F.relu(self.block1(x)))


class Pyramid(nn.Module):
    """The convolutions of an adapter: one map per level."""

    def __init__(self, config: T2IAdapterConfig) -> None:
        super().__init__()
        self.factor = config.factor
        stacked = config.in_channels * config.factor**2
        first = stacked if config.light else config.channels[0]
        self.conv_in = None if config.light else nn.Conv2d(stacked, first, 3, padding=1)
        widths = itertools.pairwise((first, *config.block_channels))
        self.body = nn.ModuleList(
            AdapterBlocks(config, *pair, halve) for pair, halve in zip(widths, config.halved, strict=True)
        )

    def forward(self, hint: Tensor) -> list[Tensor]:
        """hint (B, in_channels, H, W) -> one (B, C, h, w) per level."""
        x = F.pixel_unshuffle(hint, self.factor)  # (B, in_channels * factor^2, H/factor, W/factor)
        x = x if self.conv_in is None else self.conv_in(x)
        found = []
        for blocks in self.body:
            x = blocks(x)
            found.append(x)
        return found


class T2IAdapter(nn.Module):
    """Turns a hint picture into maps for the levels of a U-Net."""

    def __init__(self, config: T2IAdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.adapter = Pyramid(config)

    def maps(self, hint: Tensor) -> list[Tensor]:
        """hint (B, 3, H, W) in [0, 1] -> one (B, C, h, w) per level."""
        if self.config.in_channels == 1:
            hint = (hint * torch.tensor(LUMA).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
        found: list[Tensor] = self.adapter(hint)
        return found


def packed(maps: Sequence[Tensor], sides: tuple[int, int]) -> Tensor:
    """Maps (B, C, h', w') as one tensor (B, K, h, w) of the latents' sides, their numbers in order."""
    return torch.cat([each.reshape(each.shape[0], -1, *sides) for each in maps], dim=1)


def unpacked(features: Tensor, maps: Sequence[FeatureMap]) -> list[Tensor]:
    """The maps (B, C, h / divisor, w / divisor) in `packed` features (B, K, h, w)."""
    batch, _, height, width = features.shape
    found, start = [], 0
    for each in maps:
        part = features[:, start : start + each.rows]
        found.append(part.reshape(batch, each.channels, height // each.divisor, width // each.divisor))
        start += each.rows
    return found


def steering(features: Tensor, scales: Tensor, maps: Sequence[FeatureMap]) -> list[Tensor]:
    """features (n, K, h, w) of n adapters, scales (n,) -> their sum (1, C, h', w') for each level."""
    return unpacked((features * scales.reshape(-1, 1, 1, 1)).sum(0, keepdim=True), maps)
