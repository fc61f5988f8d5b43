"""A U-Net with more blocks that draws as the given one does: every added block begins as the identity.

Net2DeeperNet (Chen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slim import slim_config
from mobile_diffusion.transformer import SpatialTransformer
from mobile_diffusion.unet import UNet


def grow_unet(unet: UNet, counts: UNetConfig, seed: int) -> UNet:
    """A U-Net with the blocks of `counts`: those of `unet` with their weights, and new ones that have no effect yet.

    Raises ConfigError when `counts` has fewer blocks, or other channels, than `unet`.
    """
    config = slim_config(unet.config, counts)
    kept = kept_blocks(unet.config, config)
    torch.manual_seed(seed)
    grown = UNet(config)
    for name, module in grown.named_modules():
        if name in kept:
            module.load_state_dict(unet.get_submodule(kept[name]).state_dict())
        elif isinstance(module, ResnetBlock | SpatialTransformer):
            without_effect(module)
    return grown.train(unet.training)


@torch.no_grad()
def without_effect(block: ResnetBlock | SpatialTransformer) -> None:
    """Make a block the identity; a ResNet block on the way up returns its input without the concatenated skip."""
    last = block.conv2 if isinstance(block, ResnetBlock) else block.proj_out
    for value in last.parameters():
        nn.init.zeros_(value)
    shortcut = getattr(block, "conv_shortcut", None)
    if shortcut is not None:
        nn.init.dirac_(shortcut.weight)  # (C, C + skip, 1, 1): the first C channels as they are
        nn.init.zeros_(shortcut.bias)


def kept_blocks(full: UNetConfig, grown: UNetConfig) -> dict[str, str]:
    """Name of a block of the grown network -> name of the block of the first network whose weights it takes."""
    outer = ("time_embedding", "conv_in", "conv_norm_out", "conv_out")
    text = ("context_embedding",) if full.pooled_context else ()
    kept = {name: name for name in (*outer, *text)}
    for side, levels, wider in (("down", full.down, grown.down), ("up", full.up, grown.up)):
        for index, (level, new) in enumerate(zip(levels, wider, strict=True)):
            name = f"{side}_blocks.{index}"
            places = _places(name, level, new, up=side == "up")
            kept |= {f"{name}.resnets.{place}": f"{name}.resnets.{old}" for old, place in enumerate(places)}
            kept |= _kept_transformers(name, level, new, places)
            if index < len(levels) - 1:
                kept[f"{name}.{side}samplers.0"] = f"{name}.{side}samplers.0"
    if full.mid and grown.mid:  # ResNet blocks and transformers are interleaved, so their numbers stay
        places = _places("mid_block", full.mid, grown.mid, up=False)
        kept |= {name: name for name in (f"mid_block.resnets.{place}" for place in places)}
        kept |= {name: name for name in (f"mid_block.attentions.{place}" for place in range(full.mid.transformers))}
    return kept


def _places(name: str, level: UNetLevel, new: UNetLevel, up: bool) -> list[int]:
    """The new numbers of a level's ResNet blocks: on the way up, new blocks go before the last one, which takes the
    skip of another level."""
    if new.resnets < level.resnets or (up and new.resnets > level.resnets < 2):
        raise ConfigError(f"{name}: expected {level.resnets} ResNet blocks or more to grow to, got {new.resnets}")
    return [*range(level.resnets - 1), new.resnets - 1] if up else list(range(level.resnets))


def _kept_transformers(name: str, level: UNetLevel, new: UNetLevel, places: list[int]) -> dict[str, str]:
    """Each stays after the ResNet block that it followed."""
    kept, free = {}, list(enumerate(_owners(new)))
    for index, owner in enumerate(_owners(level)):
        found = next((number for number, at in free if at == places[owner]), None)
        if found is None:
            raise ConfigError(f"{name}: expected a transformer after ResNet block {places[owner]}, got none; add more")
        free = [(number, at) for number, at in free if number > found]
        kept[f"{name}.attentions.{found}"] = f"{name}.attentions.{index}"
    return kept


def _owners(level: UNetLevel) -> Iterator[int]:
    """The number of the ResNet block before each transformer of a level on the way down or up."""
    for index in range(level.resnets):
        yield from [index] * level.transformers_after(index)
