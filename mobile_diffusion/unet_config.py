"""Configurations of the U-Net and of the ControlNets beside it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.field_rules import require, require_positive
from mobile_diffusion.model_limits import require_few_blocks


@dataclass(frozen=True)
class UNetLevel:
    """One resolution level of the U-Net on the way down or up, or the middle.

    Raises ConfigError when a field has a value that is not valid; so does every configuration here.
    """

    channels: int
    """Channels of every ResNet block and transformer of the level."""
    resnets: int
    """Number of ResNet blocks ("RN" in SnapFusion's table)."""
    transformers: int
    """Number of spatial transformers ("CA"), spread evenly over the ResNet blocks that they follow; may exceed
    `resnets`."""
    heads: int | None = None
    """Attention heads of its transformers; None for the network's `heads`."""
    depths: tuple[int, ...] = ()
    """Transformer blocks of each spatial transformer, in order (SDXL has up to 10); () for one each."""

    def __post_init__(self) -> None:
        require_positive(self, "channels", "resnets")
        require(self.transformers >= 0, self, "transformers", "zero or more")
        require(self.heads is None or self.heads > 0, self, "heads", "a positive number, or none")
        fits = len(self.depths) in (0, self.transformers) and all(depth > 0 for depth in self.depths)
        require(fits, self, "depths", f"{self.transformers} positive numbers, one per transformer, or none")

    def depth_of(self, transformer: int) -> int:
        """Transformer blocks of spatial transformer `transformer`."""
        return self.depths[transformer] if self.depths else 1

    @property
    def blocks(self) -> int:
        """ResNet blocks and transformer blocks of the level."""
        return self.resnets + (sum(self.depths) or self.transformers)

    def transformers_after(self, resnet: int) -> int:
        """The number of transformers that follow ResNet block `resnet` of this level."""
        return (resnet + 1) * self.transformers // self.resnets - resnet * self.transformers // self.resnets


@dataclass(frozen=True)
class UNetConfig:
    """The denoising network.  The defaults are common to all relatives of Stable Diffusion 1."""

    down: tuple[UNetLevel, ...]
    """Levels from full to lowest resolution; all but the last end with a downsampling."""
    mid: UNetLevel | None
    """The middle; None leaves it out (BK-SDM-tiny).  Transformer i follows ResNet block i."""
    up: tuple[UNetLevel, ...]
    """Levels from lowest to full resolution; each has one ResNet block more than its counterpart in `down`."""
    context_width: int
    """Width D of the text encoder's output."""
    in_channels: int = 4
    out_channels: int = 4
    heads: int = 8
    """Attention heads of the transformers in levels without their own number."""
    groups: int = 32
    """Groups of every group normalisation."""
    linear_projection: bool = False
    """Whether transformers begin and end with a linear layer (Stable Diffusion 2) instead of a 1x1 convolution."""
    guidance_width: int = 0
    """Width of the embedding of the guidance scale (latent consistency models); 0 for no embedding."""
    upcast_attention: bool = False
    """Whether the scores of every attention are computed in float32 when the rest is half (Stable Diffusion 2.1)."""
    pooled_width: int = 0
    """Width P of the pooled text that is added to the time embedding (SDXL); 0 for none."""
    size_width: int = 0
    """Width of the embedding of each of the six numbers of the picture's size, which is added with it; 0 for none."""
    pooled_context: bool = False
    """Whether an embedding of the whole text, pooled from the context, is added to that of the time."""

    def __post_init__(self) -> None:
        require_positive(self, "context_width", "in_channels", "out_channels", "heads", "groups")
        require(len(self.down) > 0 and len(self.down) == len(self.up), self, "up", "as many levels as `down`")
        levels = (*self.down, *self.up, *([self.mid] if self.mid else []))
        require_few_blocks(self, sum(level.blocks for level in levels))
        for level in levels:
            divisor = f"a divisor of {level.channels} channels"
            require(level.channels % self.groups == 0, self, "groups", divisor)
            require(level.channels % self.heads_of(level) == 0, self, "heads", divisor)
        even = self.guidance_width >= 0 and self.guidance_width % 2 == 0
        require(even, self, "guidance_width", "an even number, or 0")
        require(self.pooled_width >= 0, self, "pooled_width", "a positive number, or 0")
        sized = (self.size_width > 0) == (self.pooled_width > 0) and self.size_width % 2 == 0
        require(sized, self, "size_width", "a positive even number with a pooled text, 0 without")
        require(not (self.pooled_context and self.pooled_width), self, "pooled_context", "false with a pooled text")
        for down, up in zip(self.down, reversed(self.up), strict=True):
            fits = up.channels == down.channels and up.resnets == down.resnets + 1
            require(fits, self, "up", "per level the channels of its counterpart in `down` and one more ResNet block")

    def heads_of(self, level: UNetLevel) -> int:
        """Attention heads of a level's transformers."""
        return self.heads if level.heads is None else level.heads

    @property
    def time_width(self) -> int:
        """Width of the time embedding: four times the first level's channels."""
        return 4 * self.down[0].channels

    @property
    def downscale(self) -> int:
        """Factor between the resolution of the latents and that of the innermost level."""
        return int(2 ** (len(self.down) - 1))


@dataclass(frozen=True)
class ControlConfig:
    """A ControlNet (Zhang et al. 2023): the encoder half of a U-Net, which also reads a hint picture."""

    network: UNetConfig
    """The U-Net whose levels on the way down, and middle, it has; the levels on the way up are not built."""
    hint_channels: tuple[int, ...] = (16, 32, 96, 256)
    """Channels of the hint's encoder, which halves the sides of the picture between two of them."""

    title = "ControlNet"

    def __post_init__(self) -> None:
        positive = len(self.hint_channels) > 0 and all(count > 0 for count in self.hint_channels)
        require(positive, self, "hint_channels", "positive numbers")
        require(self.network.mid is not None, self, "network", "a middle")

    @property
    def factor(self) -> int:
        """Pixels of the hint per position of the latents, to a side."""
        return int(2 ** (len(self.hint_channels) - 1))

    def misfit(self, unet: UNetConfig, factor: int) -> str | None:
        """What a U-Net, with latents of one position for `factor` pixels, expects otherwise; None where it fits."""
        own = self.network
        levels = [(level.channels, level.resnets) for level in own.down]
        pairs = (
            ("a cross-attention width of", unet.context_width, own.context_width),
            ("latent channels:", unet.out_channels, own.in_channels),
            ("a pooled text of width", unet.pooled_width, own.pooled_width),
            ("channels and ResNet blocks per level:", [(each.channels, each.resnets) for each in unet.down], levels),
            ("pixels per latent:", factor, self.factor),
        )
        wrong = (f"expected {what} {ours}, as the U-Net, got {got}" for what, ours, got in pairs if ours != got)
        return next(wrong, None)
