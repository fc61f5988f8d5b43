"""A checkpoint trained on: with blocks left out at random, or (skip = 0) as it is, as after an evolution."""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.slimming.robust import RobustSettings, RobustTask
from mobile_diffusion.training.checkpoints import open_placed, save_trained, training_source
from mobile_diffusion.training.loop import train


def train_robust(settings: RobustSettings, data: Path, model: Path, run: Path, out: Path) -> None:
    """Train the U-Net of the checkpoint `model` on, and write the whole to `out`, replacing one that is there."""
    opened = open_placed(model)
    source = training_source(opened, settings.training, settings.training.family_power, data, run)
    save_trained(train(RobustTask(settings, opened, source), run), opened, out)
