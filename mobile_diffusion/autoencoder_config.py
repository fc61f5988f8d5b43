"""Configurations of the autoencoders: channels, blocks, and the scale of the U-Net's latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mobile_diffusion.field_rules import require, require_positive
from mobile_diffusion.model_limits import require_few_blocks


@dataclass(frozen=True)
class AutoencoderConfig:
    """The KL autoencoder of latent diffusion (Rombach et al. 2022), in diffusers' layout.

    Raises ConfigError when a field has a value that is not valid; so does every configuration here.
    """

    channels: tuple[int, ...]
    """Channels per resolution level; each level but the last halves the side."""
    latent_channels: int = 4
    resnets: int = 2
    """ResNet blocks per level of the encoder; the decoder has one more per level."""
    groups: int = 32
    """Groups of every group normalisation."""
    scaling_factor: float = 0.18215
    """Factor of the latents that makes their standard deviation about one."""
    decoder_channels: tuple[int, ...] = ()
    """Channels per level of a pruned decoder, in the order of `channels`; () for the encoder's."""
    decoder_groups: int = 0
    """Groups of every group normalisation in a pruned decoder; 0 for the encoder's."""
    force_upcast: bool = False
    """Whether its numbers may leave float16, as the checkpoint says (Stable Diffusion XL): exports measure them."""
    kind: Literal["kl"] = "kl"

    def __post_init__(self) -> None:
        require(self.kind == "kl", self, "kind", "'kl'")
        require(len(self.channels) > 0, self, "channels", "at least one level")
        require_positive(self, "latent_channels", "resnets", "groups", "scaling_factor")
        require_few_blocks(self, len(self.channels) * (2 * self.resnets + 1))
        require(self.decoder_groups >= 0, self, "decoder_groups", "a positive number, or 0")
        same = len(self.of_decoder[0]) == len(self.channels)
        require(same, self, "decoder_channels", f"{len(self.channels)} levels, or none")
        for (levels, groups), name in (((self.channels, self.groups), "groups"), (self.of_decoder, "decoder_groups")):
            for channels in levels:
                require(channels > 0 and channels % groups == 0, self, name, f"a divisor of {channels} channels")

    @property
    def of_decoder(self) -> tuple[tuple[int, ...], int]:
        """Channels per level and groups of the decoder."""
        return self.decoder_channels or self.channels, self.decoder_groups or self.groups

    @property
    def factor(self) -> int:
        """Pixels a latent, along one side."""
        return int(2 ** (len(self.channels) - 1))


@dataclass(frozen=True)
class TinyAutoencoderConfig:
    """A tiny autoencoder (TAESD), in diffusers' layout; it encodes directly to the U-Net's latents."""

    channels: int = 64
    latent_channels: int = 4
    encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    """Residual blocks per resolution level; each level but the first halves the side."""
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    """Residual blocks per resolution level; each level but the last doubles the side."""
    scaling_factor: float = 1.0
    kind: Literal["tiny"] = "tiny"

    def __post_init__(self) -> None:
        require(self.kind == "tiny", self, "kind", "'tiny'")
        require_positive(self, "channels", "latent_channels", "scaling_factor")
        for name in ("encoder_blocks", "decoder_blocks"):
            blocks = getattr(self, name)
            require(len(blocks) > 0 and min(blocks) > 0, self, name, "a positive number per level")
            require_few_blocks(self, sum(blocks))
        same = len(self.encoder_blocks) == len(self.decoder_blocks)
        require(same, self, "decoder_blocks", f"{len(self.encoder_blocks)} levels, as the encoder")

    @property
    def factor(self) -> int:
        """Pixels a latent, along one side."""
        return int(2 ** (len(self.decoder_blocks) - 1))
