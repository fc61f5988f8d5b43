"""The configuration of T2I-Adapters, as plain data; t2i_adapter.py has the network."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.field_rules import require, require_positive
from mobile_diffusion.unet_config import ControlConfig, UNetConfig

T2I_KINDS = ("full_adapter", "full_adapter_xl", "light_adapter")
MOST_T2I_BLOCKS = 64


@dataclass(frozen=True)
class FeatureMap:
    """A map that steers one level of a U-Net."""

    channels: int
    divisor: int
    """Positions of the latents per position of the map, to a side."""

    @property
    def rows(self) -> int:
        """How many maps of the latents' sides have as many numbers."""
        return self.channels // self.divisor**2


@dataclass(frozen=True)
class T2IAdapterConfig:
    """A T2I-Adapter (Mou et al. 2023): convolutions that turn a hint picture into a map per level of a U-Net."""

    kind: str = "full_adapter"
    """One of `T2I_KINDS`, as diffusers calls them."""
    in_channels: int = 3
    """3 for a picture in colours, 1 for a grey one."""
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    resnets: int = 2
    """ResNet blocks per level."""
    factor: int = 8
    """Pixels per position of the first map, to a side."""

    title = "T2I-Adapter"

    def __post_init__(self) -> None:
        require(self.kind in T2I_KINDS, self, "kind", f"one of {T2I_KINDS}")
        require(self.in_channels in (1, 3), self, "in_channels", "1 or 3")
        require_positive(self, "resnets", "factor")
        positive = len(self.channels) > 0 and all(count > 0 for count in self.channels)
        require(positive, self, "channels", "positive numbers")
        require(
            len(self.channels) + self.resnets <= MOST_T2I_BLOCKS, self, "resnets", f"up to {MOST_T2I_BLOCKS} blocks"
        )

    @property
    def light(self) -> bool:
        """Whether its blocks have a quarter of the channels."""
        return self.kind == "light_adapter"

    @property
    def block_channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        return (*self.channels, self.channels[-1]) if self.light else self.channels

    @property
    def halved(self) -> tuple[bool, ...]:
        """Whether each block begins with half the sides of the one before."""
        count = len(self.block_channels)
        return tuple(number == 2 if self.kind == "full_adapter_xl" else number > 0 for number in range(count))

    def maps(self, factor: int) -> tuple[FeatureMap, ...]:
        """What it makes for latents of one position for `factor` pixels to a side."""
        found, side = [], max(1, self.factor // factor)
        for channels, halve in zip(self.block_channels, self.halved, strict=True):
            side *= 1 + halve
            found.append(FeatureMap(channels, side))
        return tuple(found)

    def misfit(self, unet: UNetConfig, factor: int) -> str | None:
        """What a U-Net, with latents of one position for `factor` pixels, expects otherwise; None where it fits.

        A level with transformers takes a map of its own sides, another one a map of the sides behind it; if there is
        one map more, the middle takes it.
        """
        last = len(unet.down) - 1
        behind = [2 ** (number + (not level.transformers and number < last)) for number, level in enumerate(unet.down)]
        wanted = [(level.channels, divisor) for level, divisor in zip(unet.down, behind, strict=True)]
        wanted += [(unet.down[-1].channels, 2**last)]
        found = [(each.channels, each.divisor) for each in self.maps(factor)]
        if found != wanted[: len(found)] or self.factor % factor:
            shown = ", ".join(f"{channels} at 1/{divisor}" for channels, divisor in wanted[: max(len(found), last + 1)])
            got = ", ".join(f"{channels} at 1/{divisor}" for channels, divisor in found)
            return f"expected channels and sides of maps {shown}, as the U-Net, got {got}"
        if any(each.channels % each.divisor**2 for each in self.maps(factor)):
            return f"expected channels that fill whole maps, got {self.block_channels}"
        return None


HintNet = ControlConfig | T2IAdapterConfig
"""What reads a hint picture."""
