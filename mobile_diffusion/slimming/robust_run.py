"""A checkpoint trained on: with blocks left out at random, or (skip = 0) as it is, as after an evolution."""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.checkpoint import save_checkpoint
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slimming.robust import RobustSettings, RobustTask
from mobile_diffusion.training import workers
from mobile_diffusion.training.checkpoints import open_placed, training_inputs
from mobile_diffusion.training.loop import average_in, train


def train_robust(settings: RobustSettings, data: Path, model: Path, run: Path, out: Path) -> None:
    """Train the U-Net of the checkpoint `model` on, and write the whole to `out`, replacing one that is there.

    Raises ConfigError when the settings are of another U-Net or another schedule.
    """
    opened = open_placed(model)
    for name in ("unet", "schedule"):
        if getattr(settings.training, name) != getattr(opened.config, name):
            raise ConfigError(f"{name}: expected that of {model}, got another; mend the settings, or give --model")
    inputs, weights = training_inputs(opened, settings.training, settings.training.family_power, data, run)
    average_in(train(RobustTask(settings, opened, inputs, weights), run))
    if workers.is_first():
        save_checkpoint(opened, out, overwrite=out.exists())
