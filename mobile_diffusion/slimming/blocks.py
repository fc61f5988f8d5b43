"""The blocks of a U-Net that can be removed or repeated, and dropping some of them for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.config import UNetConfig
from mobile_diffusion.transformer import SpatialTransformer
from mobile_diffusion.unet import UNet

RESNET, TRANSFORMER = "resnet", "transformer"


@dataclass(frozen=True, order=True)
class BlockShape:
    """What determines the time that a block takes."""

    kind: str
    """RESNET or TRANSFORMER."""
    inputs: int
    """Channels of its input."""
    channels: int
    """Channels of its output."""
    height: int
    """Of its feature map, as `width` is."""
    width: int


def block_shapes(config: UNetConfig, height: int, width: int) -> Counter[BlockShape]:
    """Number of blocks of each shape in a U-Net on latents of the given height and width."""
    with torch.device("meta"):
        unet = UNet(config)
    depth = len(config.down)
    levels = [(level, halvings) for halvings, level in enumerate(unet.down_blocks)]
    levels += [(unet.mid_block, depth - 1)] if unet.mid_block is not None else []
    levels += [(level, depth - 1 - index) for index, level in enumerate(unet.up_blocks)]
    return Counter(
        BlockShape(kind, inputs, channels, height >> halvings, width >> halvings)
        for level, halvings in levels
        for kind, inputs, channels in _kinds(level)
    )


def _kinds(level: Any) -> Iterator[tuple[str, int, int]]:
    """Kind, inputs and channels of the blocks of a level."""
    for resnet in level.resnets:
        yield RESNET, resnet.conv1.in_channels, resnet.conv1.out_channels
    for _ in level.attentions:
        yield TRANSFORMER, level.level.channels, level.level.channels


def skippable(unet: UNet) -> list[str]:
    """Names of all ResNet blocks and transformers, in the order of the network."""
    return [name for name, module in unet.named_modules() if isinstance(module, ResnetBlock | SpatialTransformer)]


@contextmanager
def skipping(unet: UNet, names: Sequence[str]) -> Iterator[None]:
    """Drop blocks inside the context: a transformer becomes the identity, a ResNet block its shortcut alone."""
    blocks = [unet.get_submodule(name) for name in names]
    own = [vars(block).get("forward") for block in blocks]  # set where gradient checkpointing wraps the block
    for block in blocks:
        block.forward = _shortcut(block)  # hides the method of the class
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward


def _shortcut(block: nn.Module) -> Any:
    shortcut = getattr(block, "conv_shortcut", None)

    def forward(x: Tensor, *others: Tensor) -> Tensor:
        return x if shortcut is None else shortcut(x)

    return forward
