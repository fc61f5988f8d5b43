"""Initialises a slim U-Net from a full one by block removal: blocks are kept unchanged, dropped or duplicated.

A preset sets the number of blocks per level.  Everything else is that of the full checkpoint: channels, heads, width
of the text embedding, projections, guidance embedding.  The result runs but draws badly: distillation starts from it.

A block of the slim network takes its weights from this block of the full network (`origins`):

- levels: the outer ones are kept, from full resolution inwards; inner ones are dropped (BK-SDM-tiny);
- on the way down and in the middle: the first ResNet blocks and transformers (BK-SDM, section 4);
- on the way up: evenly spread ones, always including the first and the last.  The first takes the previous level's
  output and the last takes the skip connection of the next resolution, so every convolution keeps its inputs;
- of a transformer with several blocks (SDXL): the first ones;
- where the slim network has more blocks (SnapFusion: 3 -> 6 transformers), blocks are repeated in place, except for
  the first and the last ResNet block on the way up, because no other block has their inputs.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Checkpoint, Model, save_checkpoint
from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import preset
from mobile_diffusion.unet import UNet

_BLOCK = re.compile(r"((?:down|up)_blocks\.\d+\.\w+\.\d+|mid_block\.\w+\.\d+|\w+)\.")
"""Matches the block at the beginning of a tensor's name."""


@dataclass(frozen=True)
class SlimBlock:
    """One block that was kept, copied or dropped: a ResNet block, a transformer, a resampling, an outer layer."""

    name: str
    """Name in the slim network; for a dropped block, in the full network."""
    source: str
    """The block of the full network that provides the weights."""
    parameters: int


@dataclass(frozen=True)
class SlimReport:
    """The blocks of a full U-Net that were kept, copied and dropped."""

    kept: tuple[SlimBlock, ...]
    copied: tuple[SlimBlock, ...]
    """Further blocks with the same source as one of `kept`."""
    dropped: tuple[SlimBlock, ...]

    @property
    def parameters(self) -> int:
        """Parameters of the slim network."""
        return sum(block.parameters for block in (*self.kept, *self.copied))

    @property
    def full_parameters(self) -> int:
        """Parameters of the full network."""
        return sum(block.parameters for block in (*self.kept, *self.dropped))


def slim_checkpoint(checkpoint: Checkpoint, name: str, out: Path, overwrite: bool = False) -> SlimReport:
    """Write a checkpoint with the U-Net slimmed to the block counts of preset `name`; the rest is unchanged.

    Raises ConfigError as `slim_unet` does, before a weight is read, and CheckpointError as `save_checkpoint` does.
    """
    counts = preset(name).unet
    slim_config(checkpoint.config.unet, counts)
    unet, report = slim_unet(cast(UNet, checkpoint.load_part("unet")), counts)
    others = {part: checkpoint.load_part(part) for part in ("text_encoder", "autoencoder")}
    config = dataclasses.replace(checkpoint.config, name=f"{name}-init", unet=unet.config)
    model = Model(config, checkpoint.tokenizer, unet=unet, **others)  # type: ignore[arg-type]
    save_checkpoint(model, out, overwrite)
    return report


def slim_unet(full: UNet, counts: UNetConfig) -> tuple[UNet, SlimReport]:
    """Build a U-Net with the block counts of `counts` and the weights of `full`.

    Both networks share the weights of kept blocks; copied blocks have their own.  Raises ConfigError when `counts` has
    other channels per level, more levels, a middle that `full` lacks, or transformers in a level without any.
    """
    config = slim_config(full.config, counts)
    with torch.device("meta"):
        slim = UNet(config)
    taken = origins(full.config, config)
    weights = full.state_dict()
    state: dict[str, Tensor] = {}
    for name, tensor in slim.state_dict().items():
        block = _block_of(name)
        source = taken[block] + name.removeprefix(block)
        if source not in weights:
            raise ConfigError(
                f"{name}: expected a weight {source} in the checkpoint, got none; choose a smaller preset"
            )
        value = weights[source]
        if value.shape != tensor.shape:
            raise ConfigError(
                f"{name}: expected shape {list(tensor.shape)}, got {list(value.shape)} in {taken[block]}; "
                "choose a preset that keeps the levels of the checkpoint"
            )
        state[name] = value
    report = _report(taken, _sizes(weights), _sizes(state))
    for copy in report.copied:  # copied blocks get their own weights
        state |= {name: state[name].clone() for name in state if _block_of(name) == copy.name}
    slim.load_state_dict(state, assign=True)
    return slim.train(full.training), report


def slim_config(full: UNetConfig, counts: UNetConfig) -> UNetConfig:
    """The configuration of `full` with the numbers of levels, ResNet blocks and transformers of `counts`.

    Raises ConfigError as `slim_unet` does.
    """
    levels = len(counts.down)
    if levels > len(full.down):
        raise ConfigError(f"preset: expected at most {len(full.down)} levels, as the checkpoint, got {levels}")
    if counts.mid and not full.mid:
        raise ConfigError("preset: expected no middle, as the checkpoint has none, got one")
    return dataclasses.replace(
        full,
        down=tuple(_merge(*pair) for pair in zip(full.down, counts.down, strict=False)),
        mid=_merge(full.mid, counts.mid) if full.mid and counts.mid else None,
        up=tuple(_merge(*pair) for pair in zip(full.up[-levels:], counts.up, strict=True)),
    )


def origins(full: UNetConfig, slim: UNetConfig) -> dict[str, str]:
    """Block of the slim network -> the block of the full network that provides its weights, by state-dict name."""
    outer = (
        "time_embedding",
        "conv_in",
        "conv_norm_out",
        "conv_out",
        *(["add_embedding"] if full.pooled_width else []),
        *(["context_embedding"] if full.pooled_context else []),
    )
    taken = {name: name for name in outer}
    for index, (level, new) in enumerate(zip(full.down, slim.down, strict=False)):
        name = f"down_blocks.{index}"
        taken |= dict(_level_origins(level, new, name, name, spread=False))
        if index < len(slim.down) - 1:
            taken[f"{name}.downsamplers.0"] = f"{name}.downsamplers.0"
    if full.mid and slim.mid:
        taken |= dict(_level_origins(full.mid, slim.mid, "mid_block", "mid_block", spread=False))
    skipped = len(full.up) - len(slim.up)
    for index, (level, new) in enumerate(zip(full.up[skipped:], slim.up, strict=True)):
        name, source = f"up_blocks.{index}", f"up_blocks.{index + skipped}"
        taken |= dict(_level_origins(level, new, name, source, spread=True))
        if index < len(slim.up) - 1:
            taken[f"{name}.upsamplers.0"] = f"{source}.upsamplers.0"
    return taken


def chosen(have: int, want: int, spread: bool) -> list[int]:
    """The indices, among the `have` blocks of a full level, of the sources of the `want` blocks of a slim level.

    These are the first blocks, or with `spread` evenly spread ones from the first to the last.  A single block with
    `spread` comes from the last, because a level's only transformer on the way up follows its last ResNet block.  When
    `want` exceeds `have`, blocks are repeated.
    """
    if want > have:
        return [index * have // want for index in range(want)]
    if not spread:
        return list(range(want))
    if want == 1:
        return [have - 1]
    return [(2 * index * (have - 1) + want - 1) // (2 * (want - 1)) for index in range(want)]  # rounded


def _merge(level: UNetLevel, counts: UNetLevel) -> UNetLevel:
    """The level with the block counts of another; raises ConfigError unless both have the same channels."""
    if counts.channels != level.channels:
        raise ConfigError(
            f"preset: expected levels of {level.channels} channels, as the checkpoint, got {counts.channels}; "
            "dropping blocks cannot narrow a level"
        )
    if counts.transformers and not level.transformers:
        raise ConfigError(
            f"preset: expected no transformers in a level of {level.channels} channels, as the checkpoint has none "
            f"there, got {counts.transformers}"
        )
    return dataclasses.replace(level, resnets=counts.resnets, transformers=counts.transformers, depths=counts.depths)


def _level_origins(full: UNetLevel, slim: UNetLevel, name: str, source: str, spread: bool) -> Iterator[tuple[str, str]]:
    resnets = (_between if spread and slim.resnets > full.resnets > 2 else chosen)(full.resnets, slim.resnets, spread)
    kinds = {"resnets": resnets, "attentions": chosen(full.transformers, slim.transformers, spread)}
    for kind, blocks in kinds.items():
        for index, taken in enumerate(blocks):
            yield f"{name}.{kind}.{index}", f"{source}.{kind}.{taken}"


def _between(have: int, want: int, spread: bool) -> list[int]:
    """`chosen` for `want` > `have`, where only the blocks between the first and the last may be repeated."""
    return [0, *(1 + index for index in chosen(have - 2, want - 2, spread)), have - 1]


def _block_of(tensor: str) -> str:
    match = _BLOCK.match(tensor)
    assert match is not None, tensor
    return match.group(1)


def _sizes(state: dict[str, Tensor]) -> dict[str, int]:
    """The number of parameters per block."""
    sizes: dict[str, int] = {}
    for name, tensor in state.items():
        block = _block_of(name)
        sizes[block] = sizes.get(block, 0) + tensor.numel()
    return sizes


def _report(taken: dict[str, str], full: dict[str, int], slim: dict[str, int]) -> SlimReport:
    kept: dict[str, SlimBlock] = {}
    copied = []
    for name, size in slim.items():
        block = SlimBlock(name, taken[name], size)
        if block.source in kept:
            copied.append(block)
        else:
            kept[block.source] = block
    dropped = [SlimBlock(name, name, size) for name, size in full.items() if name not in kept]
    return SlimReport(tuple(kept.values()), tuple(copied), tuple(dropped))
