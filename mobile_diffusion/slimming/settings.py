"""What the slimming of a decoder is told, read from a TOML file as every run's settings are."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.training.settings import LoopSettings


@dataclass(frozen=True)
class DecoderSettings:
    """From a full decoder to one with a share of its channels, on pictures of synthetic latents."""

    loop: LoopSettings
    styles: tuple[str, ...]
    """Styles whose captions the latents are drawn from."""
    groups: tuple[str, ...] = ()
    share: float = 0.5
    """Of every convolution's channels."""
    latents: int = 2048
    """Synthetic latents to train on."""
    held_out: int = 64
    """More of them, drawn from other noise, that the result is measured on."""
    sampling_batch: int = 16

    def __post_init__(self) -> None:
        for name in ("latents", "held_out", "sampling_batch"):
            if not getattr(self, name) >= 1:
                raise ConfigError(f"{name}: expected 1 or more, got {getattr(self, name)}")
