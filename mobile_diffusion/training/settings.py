"""Settings of the loop, and how the settings of any recipe are read from a TOML file.

Each recipe has a frozen dataclass of its own settings (recipes/).  Settings and seed determine a run; `settings.json`
in its folder keeps them, and a run resumes only with the same.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mobile_diffusion.config_json import Config, from_dict
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted


@dataclass(frozen=True)
class LoopSettings:
    """How the optimiser (AdamW) runs; every method that trains has these settings under `loop`."""

    steps: int
    """Optimiser steps of the whole run."""
    batch: int
    """Samples per optimiser step, over all processes and accumulated parts."""
    learning_rate: float
    """At the end of the warm-up; a cosine then takes it to zero at the last step."""
    warmup: int = 200
    """Steps in which the learning rate rises linearly."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    beta2: float = 0.99
    """Decay of AdamW's second moment."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights, which is what samples are drawn with and what is saved."""
    seed: int = 0
    """Determines the first weights and every random number of the run."""
    accumulate: int = 1
    """Gradient accumulation: number of parts in which a process computes its share of a batch, to save memory."""
    bfloat16: bool = True
    """Run forward and backward passes in bfloat16 autocast; parameters and optimiser stay in float32."""
    shard: bool = False
    """Shard a U-Net's weights, gradients, moments and moving average over all processes (FSDP2)."""
    checkpointing: bool = False
    """Gradient checkpointing: keep only the inputs of each block and compute it twice; saves memory, costs about
    a third more time."""
    save_every: int = 500
    """Steps from one saved state to the next."""
    sheet_every: int = 1000
    """Steps from one sample sheet to the next."""
    log_every: int = 20
    """Steps per row of the loss curve."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate", "clip", "accumulate", "save_every", "sheet_every", "log_every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"LoopSettings.{name} is {quoted(getattr(self, name))}; expected a positive number")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"LoopSettings.ema_decay is {quoted(self.ema_decay)}; expected 0 <= ema_decay < 1")


def read_settings(path: Path, kind: type[Config]) -> Config:
    """Settings of the class `kind` from a TOML file; raises `ConfigError` naming the file and the field."""
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
