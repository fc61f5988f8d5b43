"""Derives the configurations of the networks in a single file from the names and shapes of their tensors.

What shapes do not show is the same in every published model of a family.  Stable Diffusion 1 has 8 heads in every
transformer of the U-Net.  Stable Diffusion 2 and XL have heads of 64 channels, and so have all text encoders.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipTextConfig, UNetConfig, UNetLevel
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.unet_json import REFUSED_CHANNELS
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.tensor_layout import Shape
from mobile_diffusion.time_embedding import SIZE_NUMBERS

HEADS = 8
"""Heads of every transformer in Stable Diffusion 1; the later ones have a number per level."""
HEAD_WIDTH = 64
ADDED = "label_emb.0.0.weight"
"""The layer that reads SDXL's pooled text and the numbers of the picture's size, each SIZE_WIDTH wide."""
SIZE_WIDTH = 256
OPEN_CLIP_LAYERS = 23
"""Layers of OpenCLIP's text encoder that Stable Diffusion 2 uses: all but the last."""

MIDDLE = "middle_block"
MODULE = re.compile(r"(input_blocks|output_blocks|middle_block)\.(\d+)\.(?:(\d+)\.)?(.+)")
KINDS = {
    "out_layers.3.weight": "resnet",
    "proj_in.weight": "transformer",
    "op.weight": "resampling",
    "conv.weight": "resampling",
}
"""A tensor that identifies the kind of its module; its first dimension is the module's number of channels."""
BLOCKS = r"\.transformer_blocks"
"""What is between the name of a spatial transformer and the number of a transformer block in it."""


@dataclass(frozen=True)
class Shapes:
    """Names and shapes of one network's tensors, without the file's prefix for that network."""

    file: Path
    shapes: dict[str, Shape]

    def size(self, name: str, dimension: int = 0) -> int:
        """The size of one dimension of a tensor; raises CheckpointError when the tensor or dimension is missing."""
        shape = self.shapes.get(name, ())
        if dimension >= len(shape):
            raise self.wrong(
                f"expected a tensor {quoted(name)} of {dimension + 1} dimensions or more, got {shortened(list(shape))}"
            )
        return shape[dimension]

    def count(self, pattern: str) -> int:
        """The number of numbered modules: one more than the largest n in names that begin with `pattern`.n."""
        found = [int(match[1]) for name in self.shapes if (match := re.match(pattern + r"\.(\d+)\.", name))]
        return max(found, default=-1) + 1

    def wrong(self, reason: str) -> CheckpointError:
        """Build the error for a file that is not as expected."""
        return CheckpointError(f"{self.file}: {reason}; use a whole model of Stable Diffusion 1, 2 or XL")


@dataclass(frozen=True)
class _Block:
    """One numbered block of the file: the kinds of its modules, in order, and its channels."""

    kinds: tuple[str, ...]
    channels: int
    depths: tuple[int, ...]
    """Transformer blocks of each of its spatial transformers."""


def read_unet(shapes: Shapes, heads: int | None) -> UNetConfig:
    """Derive the U-Net's configuration; `heads` is the number in every transformer, None for heads of 64 channels.

    Raises CheckpointError unless it is a plain U-Net of Stable Diffusion 1, 2 or XL.
    """
    inputs = shapes.size("input_blocks.0.0.weight", 1)
    if inputs in REFUSED_CHANNELS:
        raise shapes.wrong(f"expected 4 channels, got {inputs}: this is {REFUSED_CHANNELS[inputs]}")
    blocks = _blocks(shapes)
    down, up = (_levels(shapes, blocks[way], heads) for way in ("input_blocks", "output_blocks"))
    middle = _levels(shapes, blocks["middle_block"], heads) if blocks["middle_block"] else (None,)
    keys = sorted(name for name in shapes.shapes if name.endswith("attn2.to_k.weight"))
    projections = sorted(name for name in shapes.shapes if name.endswith("proj_in.weight"))
    if not keys or not projections:
        raise shapes.wrong("expected a U-Net with transformers that read the text, got none")
    is_xl = ADDED in shapes.shapes
    return UNetConfig(
        down=down,
        mid=middle[0],
        up=up,
        context_width=shapes.size(keys[0], 1),
        in_channels=inputs,
        out_channels=shapes.size("out.2.weight"),
        heads=HEADS,
        linear_projection=len(shapes.shapes[projections[0]]) == 2,
        pooled_width=shapes.size(ADDED, 1) - SIZE_NUMBERS * SIZE_WIDTH if is_xl else 0,
        size_width=SIZE_WIDTH if is_xl else 0,
    )


def _blocks(shapes: Shapes) -> dict[str, list[_Block]]:
    """The blocks on the way down, in the middle and on the way up, in order.

    The first input block is only a convolution and is left out.
    """
    kinds: dict[tuple[str, int], dict[int, tuple[str, int]]] = defaultdict(dict)
    for name, shape in shapes.shapes.items():
        match = MODULE.fullmatch(name)
        if match and match[4] in KINDS and shape:
            way, number, place = match[1], int(match[2]), int(match[3] or 0)
            kinds[way, number][place] = (KINDS[match[4]], shape[0])
    ways: dict[str, list[_Block]] = defaultdict(list)
    for (way, number), modules in sorted(kinds.items()):
        ordered = [modules[place] for place in sorted(modules)]
        places = [place for place in sorted(modules) if modules[place][0] == "transformer"]
        where = rf"{way}\.{number}"  # the middle numbers its modules, the others those of a block
        names = [where if way == MIDDLE else rf"{where}\.{place}" for place in places]
        depths = tuple(shapes.count(name + BLOCKS) for name in names)
        ways[way].append(_Block(tuple(kind for kind, _ in ordered), ordered[0][1], depths))
    return ways


def _levels(shapes: Shapes, blocks: list[_Block], heads: int | None) -> tuple[UNetLevel, ...]:
    """Group blocks into resolution levels; each level but the last ends with a resampling."""
    levels: list[list[_Block]] = [[]]
    for block in blocks:
        levels[-1].append(block)
        if "resampling" in block.kinds:
            levels.append([])
    return tuple(_level(shapes, level, heads) for level in levels if level)


def _level(shapes: Shapes, blocks: list[_Block], heads: int | None) -> UNetLevel:
    kinds = [kind for block in blocks for kind in block.kinds]
    channels, transformers = blocks[0].channels, kinds.count("transformer")
    own = _heads(shapes, channels) if heads is None and transformers else None
    depths = tuple(depth for block in blocks for depth in block.depths)
    return UNetLevel(channels, kinds.count("resnet"), transformers, own, () if set(depths) <= {1} else depths)


def _heads(shapes: Shapes, width: int) -> int:
    """The number of heads of 64 channels; raises CheckpointError when the width is not a multiple of 64."""
    if width % HEAD_WIDTH or not width:
        raise shapes.wrong(f"expected widths that are multiples of {HEAD_WIDTH}, got {width}")
    return width // HEAD_WIDTH


def read_autoencoder(shapes: Shapes, scaling_factor: float) -> AutoencoderConfig:
    """Derive the KL autoencoder's configuration; raise CheckpointError when a tensor that it needs is missing."""
    levels = shapes.count(r"encoder\.down")
    channels = tuple(shapes.size(f"encoder.down.{level}.block.0.conv2.weight") for level in range(levels))
    return AutoencoderConfig(
        channels=channels,
        latent_channels=shapes.size("decoder.conv_in.weight", 1),
        resnets=shapes.count(r"encoder\.down\.0\.block"),
        scaling_factor=scaling_factor,
    )


def read_clip(shapes: Shapes) -> ClipTextConfig:
    """Derive the configuration of CLIP's text encoder from tensors under our names.

    Raises CheckpointError when a tensor that it needs is missing.
    """
    embeddings, first = "text_model.embeddings", "text_model.encoder.layers.0"
    return _text(
        shapes,
        (f"{embeddings}.token_embedding.weight", f"{embeddings}.position_embedding.weight", f"{first}.mlp.fc1.weight"),
        shapes.count(r"text_model\.encoder\.layers"),
        ClipTextConfig.activation,
    )


def read_open_clip(shapes: Shapes, most: int | None = None) -> ClipTextConfig:
    """Derive the configuration of OpenCLIP's text encoder; `shapes` has only the layers that the family uses.

    Raises CheckpointError when a tensor that it needs is missing, or when there are more layers than `most`.
    """
    layers = shapes.count(r"transformer\.resblocks")
    if most is not None and layers > most:
        raise shapes.wrong(f"expected a text encoder of {most + 1} layers, got {layers}")
    names = ("token_embedding.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight")
    return _text(shapes, names, layers, "gelu")


def _text(shapes: Shapes, names: tuple[str, str, str], layers: int, activation: str) -> ClipTextConfig:
    """A text encoder's configuration; `names` are its token embedding, position embedding and first MLP weight."""
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
