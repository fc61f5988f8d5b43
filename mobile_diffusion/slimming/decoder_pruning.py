"""Structural pruning of the decoder: a share of the channels of every convolution stays (SnapFusion: half).

The channels with the largest filters stay.  Along the residual stream of a resolution, a channel's size is the sum over
all convolutions that write to it; inside a ResNet block, its first convolution alone.  Every group of the group norms
keeps the same number of channels.  The pruned decoder must be trained (recipes/decoder.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.errors import ConfigError

FEWEST = 2
"""Channels per group.  With one channel the norm removes its mean: pictures get tinted backgrounds, and the decoder
learns to move the norm by a bright spot at the edge of an object, as StyleGAN does (Karras et al. 2020, section 2)."""


def pruned_config(config: AutoencoderConfig, share: float = 0.5) -> AutoencoderConfig:
    """The configuration with a share of the decoder's channels; raises ConfigError when that is not a whole number.

    Norms keep their number of groups if every level still has FEWEST channels per group; otherwise they get the largest
    number that fits, which must divide the full decoder's channels too, because each group keeps as many.
    """
    channels, groups = config.of_decoder
    kept = tuple(round(count * share) for count in channels)
    whole = all(abs(count * share - few) < 1e-9 and few >= 1 for count, few in zip(channels, kept, strict=True))
    if not 0 < share <= 1 or not whole:
        raise ConfigError(f"share: expected one that leaves whole channels of {channels}, got {share}; try 0.5")
    fewest = min(FEWEST, min(channels) // groups)
    fitting = [
        number
        for number in range(1, groups + 1)
        if all(
            few % number == 0 == count % number and few >= fewest * number
            for count, few in zip(channels, kept, strict=True)
        )
    ]
    return dataclasses.replace(config, decoder_channels=kept, decoder_groups=max(fitting))


@torch.no_grad()
def prune_decoder(full: Autoencoder, share: float = 0.5) -> Autoencoder:
    """An autoencoder with the full one's encoder and its decoder with a share of the channels."""
    config = pruned_config(full.config, share)
    slim = Autoencoder(config)
    state = {name: tensor for name, tensor in full.state_dict().items() if not name.startswith("decoder.")}
    slim.load_state_dict(state, strict=False)
    _prune(full.decoder, slim.decoder, config.of_decoder[1])
    return slim.train(full.training)


def _prune(full: Any, slim: Any, groups: int) -> None:
    """Fill the slim decoder, resolution by resolution; both are the `Decoder` of autoencoder.py."""
    blocks = [*full.mid_block.resnets, *full.up_blocks[0].resnets]
    stream = _largest([full.conv_in, *_writers(blocks), *_samplers(full.up_blocks[0])], slim.conv_in, groups)
    latents = torch.arange(full.conv_in.in_channels)
    _copy(full.conv_in, slim.conv_in, stream, latents)
    for old, new in zip(full.mid_block.resnets, slim.mid_block.resnets, strict=True):
        _copy_resnet(old, new, stream, stream, groups)
    _copy_attention(full.mid_block.attentions[0], slim.mid_block.attentions[0], stream)
    for old, new in zip(full.up_blocks, slim.up_blocks, strict=True):
        stream = _copy_level(old, new, stream, groups)
    _copy(full.conv_norm_out, slim.conv_norm_out, stream)
    _copy(full.conv_out, slim.conv_out, torch.arange(3), stream)


def _copy_level(old: Any, new: Any, stream: Tensor, groups: int) -> Tensor:
    """Fill a level whose input has the channels `stream`; returns the channels of its output."""
    first = old.resnets[0]
    inputs = stream
    if first.conv_shortcut is not None:
        stream = _largest([*_writers(old.resnets), *_samplers(old)], new.resnets[0].conv2, groups)
    for before, after in zip(old.resnets, new.resnets, strict=True):
        _copy_resnet(before, after, inputs, stream, groups)
        inputs = stream
    for before, after in zip(_samplers(old), _samplers(new), strict=True):
        _copy(before, after, stream, stream)
    return stream


def _copy_resnet(old: Any, new: Any, inputs: Tensor, outputs: Tensor, groups: int) -> None:
    inner = _largest([old.conv1], new.conv1, groups)
    _copy(old.norm1, new.norm1, inputs)
    _copy(old.conv1, new.conv1, inner, inputs)
    _copy(old.norm2, new.norm2, inner)
    _copy(old.conv2, new.conv2, outputs, inner)
    if old.conv_shortcut is not None:
        _copy(old.conv_shortcut, new.conv_shortcut, outputs, inputs)


def _copy_attention(old: Any, new: Any, stream: Tensor) -> None:
    _copy(old.group_norm, new.group_norm, stream)
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        _copy(old.get_submodule(name), new.get_submodule(name), stream, stream)


def _writers(blocks: Iterable[Any]) -> list[nn.Module]:
    """The layers of ResNet blocks whose outputs are added to the stream."""
    found = (layer for block in blocks for layer in (block.conv2, block.conv_shortcut))
    return [layer for layer in found if isinstance(layer, nn.Module)]


def _samplers(level: Any) -> list[nn.Module]:
    """The convolution after the upsampling of a level, if it has one."""
    return [sampler.conv for sampler in getattr(level, "upsamplers", ())]


def _largest(writers: Iterable[nn.Module], kept: nn.Module, groups: int) -> Tensor:
    """Ascending indices int64 of the channels to keep: as many as `kept` has outputs, equally many in each group."""
    filters = [layer.get_parameter("weight").flatten(1).abs().sum(dim=1) for layer in writers]
    scores = torch.stack(filters).sum(dim=0).reshape(groups, -1)  # (groups, channels a group)
    count = kept.get_parameter("weight").shape[0] // groups
    best = scores.topk(count, dim=1).indices.sort(dim=1).values
    return (best + torch.arange(groups)[:, None] * scores.shape[1]).flatten()


def _copy(old: nn.Module, new: nn.Module, outputs: Tensor, inputs: Tensor | None = None) -> None:
    """Copy the rows and columns of a layer that stay."""
    weight = old.get_parameter("weight")[outputs]
    new.get_parameter("weight").copy_(weight if inputs is None else weight[:, inputs])
    new.get_parameter("bias").copy_(old.get_parameter("bias")[outputs])
