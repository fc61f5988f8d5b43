"""What a training run is told: frozen dataclasses, read from a TOML file.

A run is its settings and its seed; `runs/.../settings.json` keeps both, and a run is only resumed with the same.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ScheduleConfig, UNetConfig
from mobile_diffusion.config_json import Config, from_dict
from mobile_diffusion.errors import ConfigError


@dataclass(frozen=True)
class LoopSettings:
    """How the optimiser runs, whatever it trains."""

    steps: int
    """Optimiser steps of the whole run."""
    batch: int
    """Samples of an optimiser step, over all processes and parts."""
    learning_rate: float
    """At the end of the warm-up; a cosine leads it to zero at the last step."""
    warmup: int = 200
    weight_decay: float = 0.01
    beta2: float = 0.99
    """Decay of AdamW's second moment."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.999
    seed: int = 0
    accumulate: int = 1
    """Parts that a process computes its share of a batch in, one after the other, for less memory."""
    bfloat16: bool = True
    """Run forward and backward in bfloat16 autocast; parameters and optimiser stay in float32."""
    shard: bool = False
    """Divide a U-Net's weights, gradients, moments and moving average over all processes (FSDP2)."""
    checkpointing: bool = False
    """Keep only the inputs of each block, and compute it twice: less memory, about a third more work."""
    save_every: int = 500
    sheet_every: int = 1000
    log_every: int = 20

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate", "clip", "accumulate", "save_every", "sheet_every", "log_every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"LoopSettings.{name} is {getattr(self, name)!r}; expected a positive number")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"LoopSettings.ema_decay is {self.ema_decay!r}; expected 0 <= ema_decay < 1")


@dataclass(frozen=True)
class AutoencoderSettings:
    """Training of the autoencoder: L1 + LPIPS + KL (Rombach et al. 2022, without the discriminator)."""

    autoencoder: AutoencoderConfig
    loop: LoopSettings
    styles: tuple[str, ...]
    crop: int = 64
    """Side of the random crops of the first phase; the last phase sees whole pictures."""
    whole_steps: int = 0
    """Steps, counted from the end, on whole pictures (a quarter of the batch when the crop is half a side)."""
    perceptual_steps: int = 0
    """Steps, counted from the end, that LPIPS is part of the loss."""
    perceptual_weight: float = 0.5
    perceptual_share: float = 0.25
    """Share of a batch on which LPIPS is computed: it costs several times the autoencoder itself."""
    kl_weight: float = 3e-4


@dataclass(frozen=True)
class UNetSettings:
    """Training of the U-Net on latents and text embeddings computed beforehand."""

    loop: LoopSettings
    styles: tuple[str, ...]
    unet: UNetConfig | None = None
    """A new network; none where a checkpoint's own is trained on."""
    schedule: ScheduleConfig | None = None
    """Of a new network, the default one for none; none where a checkpoint is trained on."""
    groups: tuple[str, ...] = ()
    """Groups of concepts to train on, such as "food"; empty for all."""
    timestep_power: float = 1.0
    """Time steps are drawn as train_steps * u ** power: below 1 the noisier ones come more often. It is there that
    the words decide the picture, and that a sampler of few steps spends them."""
    condition_dropout: float = 0.1
    """Share of samples that see the null condition (Ho and Salimans 2022)."""
    label_share: float = 0.7
    """Share of captions that are the emoji's own label; the rest are keywords."""
    family_power: float = 0.5
    """Pictures are drawn with weight 1 / (size of their concept family) ** family_power."""
    prompts: tuple[str, ...] = ()
    """Prompts drawn on every sample sheet."""


def read_settings(path: Path, kind: type[Config]) -> Config:
    """Settings of `kind` from a TOML file; raises `ConfigError` naming file and field."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a TOML file of {kind.__name__}, got no file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, got {error}") from None
    try:
        return from_dict(kind, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
