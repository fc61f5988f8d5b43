"""Configurations of the networks in a single file, read from the names and shapes of their tensors.

What shapes cannot say is the same in every published model of a family: Stable Diffusion 1 (CLIP's text tower) has
8 heads in every transformer of the U-Net, Stable Diffusion 2 (OpenCLIP's) has heads of 64 channels; both text
towers have heads of 64 channels, and the autoencoder's latents are scaled by 0.18215.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipTextConfig, UNetConfig, UNetLevel
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.unet_json import IN_CHANNELS
from mobile_diffusion.tensor_layout import Shape

HEADS = 8
"""Of every transformer in Stable Diffusion 1; in 2 each level says its own."""
HEAD_WIDTH = 64
OPEN_CLIP_LAYERS = 23
"""Stable Diffusion 2 conditions on the output of this many layers of OpenCLIP's; a whole tower has one more."""

MODULE = re.compile(r"(input_blocks|output_blocks|middle_block)\.(\d+)\.(?:(\d+)\.)?(.+)")
KINDS = {
    "out_layers.3.weight": "resnet",
    "proj_in.weight": "transformer",
    "op.weight": "resampling",
    "conv.weight": "resampling",
}
"""The tensor by which a module's kind is known; each has as many rows as its module has channels."""


@dataclass(frozen=True)
class Shapes:
    """Names and shapes of one network's tensors, without the prefix that the file gives them."""

    file: Path
    shapes: dict[str, Shape]

    def size(self, name: str, dimension: int = 0) -> int:
        """One side of a tensor; raises CheckpointError when it is not there."""
        shape = self.shapes.get(name, ())
        if dimension >= len(shape):
            raise self.wrong(f"expected a tensor {name!r} of {dimension + 1} dimensions or more, got {list(shape)}")
        return shape[dimension]

    def count(self, pattern: str) -> int:
        """How many numbers follow a pattern at the beginning of a name: its largest, and one."""
        found = [int(match[1]) for name in self.shapes if (match := re.match(pattern + r"\.(\d+)\.", name))]
        return max(found, default=-1) + 1

    def wrong(self, reason: str) -> CheckpointError:
        """The error that the file is not as expected."""
        return CheckpointError(f"{self.file}: {reason}; use a whole model of Stable Diffusion 1 or 2")


@dataclass(frozen=True)
class _Block:
    """One of their numbered blocks: ResNet blocks, transformers and resampling in it."""

    kinds: tuple[str, ...]
    channels: int


def read_unet(shapes: Shapes, open_clip: bool) -> UNetConfig:
    """The U-Net; raises CheckpointError when it is no ordinary one of Stable Diffusion 1 or 2."""
    inputs = shapes.size("input_blocks.0.0.weight", 1)
    if inputs in IN_CHANNELS:
        raise shapes.wrong(f"expected 4 channels, got {inputs}: this is {IN_CHANNELS[inputs]}")
    blocks = _blocks(shapes)
    down, up = (_levels(shapes, blocks[way], open_clip) for way in ("input_blocks", "output_blocks"))
    middle = _levels(shapes, blocks["middle_block"], open_clip) if blocks["middle_block"] else (None,)
    keys = sorted(name for name in shapes.shapes if name.endswith("attn2.to_k.weight"))
    projections = sorted(name for name in shapes.shapes if name.endswith("proj_in.weight"))
    if not keys or not projections:
        raise shapes.wrong("expected a U-Net with transformers that read the text, got none")
    return UNetConfig(
        down=down,
        mid=middle[0],
        up=up,
        context_width=shapes.size(keys[0], 1),
        in_channels=inputs,
        out_channels=shapes.size("out.2.weight"),
        heads=HEADS,
        linear_projection=len(shapes.shapes[projections[0]]) == 2,
    )


def _blocks(shapes: Shapes) -> dict[str, list[_Block]]:
    """The blocks of each way, in order; the first input block, a convolution alone, is left out."""
    kinds: dict[tuple[str, int], dict[int, tuple[str, int]]] = defaultdict(dict)
    for name, shape in shapes.shapes.items():
        match = MODULE.fullmatch(name)
        if match and match[4] in KINDS and shape:
            way, number, place = match[1], int(match[2]), int(match[3] or 0)
            kinds[way, number][place] = (KINDS[match[4]], shape[0])
    ways: dict[str, list[_Block]] = defaultdict(list)
    for (way, _), modules in sorted(kinds.items()):
        ordered = [modules[place] for place in sorted(modules)]
        ways[way].append(_Block(tuple(kind for kind, _ in ordered), ordered[0][1]))
    return ways


def _levels(shapes: Shapes, blocks: list[_Block], open_clip: bool) -> tuple[UNetLevel, ...]:
    """The levels that resampling divides blocks into."""
    levels: list[list[_Block]] = [[]]
    for block in blocks:
        levels[-1].append(block)
        if "resampling" in block.kinds:
            levels.append([])
    return tuple(_level(shapes, level, open_clip) for level in levels if level)


def _level(shapes: Shapes, blocks: list[_Block], open_clip: bool) -> UNetLevel:
    kinds = [kind for block in blocks for kind in block.kinds]
    channels, transformers = blocks[0].channels, kinds.count("transformer")
    heads = _heads(shapes, channels) if open_clip and transformers else None
    return UNetLevel(channels, kinds.count("resnet"), transformers, heads)


def _heads(shapes: Shapes, width: int) -> int:
    """Heads of 64 channels; raises CheckpointError when the width is no multiple."""
    if width % HEAD_WIDTH or not width:
        raise shapes.wrong(f"expected widths that are multiples of {HEAD_WIDTH}, got {width}")
    return width // HEAD_WIDTH


def read_autoencoder(shapes: Shapes, scaling_factor: float) -> AutoencoderConfig:
    """The KL autoencoder; raises CheckpointError when a tensor that shows its sizes is missing."""
    levels = shapes.count(r"encoder\.down")
    channels = tuple(shapes.size(f"encoder.down.{level}.block.0.conv2.weight") for level in range(levels))
    return AutoencoderConfig(
        channels=channels,
        latent_channels=shapes.size("decoder.conv_in.weight", 1),
        resnets=shapes.count(r"encoder\.down\.0\.block"),
        scaling_factor=scaling_factor,
    )


def read_clip(shapes: Shapes) -> ClipTextConfig:
    """CLIP's text tower under our names; raises CheckpointError when a tensor that shows its sizes is missing."""
    embeddings, first = "text_model.embeddings", "text_model.encoder.layers.0"
    return _text(
        shapes,
        (f"{embeddings}.token_embedding.weight", f"{embeddings}.position_embedding.weight", f"{first}.mlp.fc1.weight"),
        shapes.count(r"text_model\.encoder\.layers"),
        ClipTextConfig.activation,
    )


def read_open_clip(shapes: Shapes) -> ClipTextConfig:
    """OpenCLIP's text tower, of which `shapes` holds the layers that are used; raises CheckpointError as `read_clip`
    does, and when there are more."""
    layers = shapes.count(r"transformer\.resblocks")
    if layers > OPEN_CLIP_LAYERS:
        raise shapes.wrong(f"expected a text encoder of {OPEN_CLIP_LAYERS + 1} layers, got {layers}")
    names = ("token_embedding.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight")
    return _text(shapes, names, layers, "gelu")


def _text(shapes: Shapes, names: tuple[str, str, str], layers: int, activation: str) -> ClipTextConfig:
    """A text tower from the names of its token and position embeddings and of its first perceptron's first layer."""
    tokens, positions, perceptron = names
    return ClipTextConfig(
        vocabulary=shapes.size(tokens),
        width=shapes.size(tokens, 1),
        layers=layers,
        heads=_heads(shapes, shapes.size(tokens, 1)),
        intermediate=shapes.size(perceptron),
        positions=shapes.size(positions),
        activation=activation,  # type: ignore[arg-type]  # ClipTextConfig checks it
        max_tokens=shapes.size(positions),
    )
