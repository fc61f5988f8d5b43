"""Continue training a checkpoint with random block dropout, so that it learns to draw without any of its blocks.

SnapFusion, section 3.1: every transformer and every ResNet block runs with a probability, which is stochastic depth
(Huang et al. 2016).  With `skip = 0.0` the checkpoint is trained as it is, as after an evolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.recipes.unet import UNetSettings, UNetTask
from mobile_diffusion.slimming.blocks import skippable, skipping
from mobile_diffusion.training.batches import SampleSource
from mobile_diffusion.training.checkpoints import ENCODED, open_placed, save_trained, training_source
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.workers import WHOLE, BatchShare


@dataclass(frozen=True)
class RobustSettings:
    """Settings of `train robust`."""

    training: UNetSettings
    """As for `train unet`, without `unet` and `schedule`: those of the checkpoint are used."""
    skip: float = 0.15
    """Probability that a block is dropped from a batch; 0 disables block dropout."""
    whole: float = 0.5
    """Share of batches in which no block is dropped."""

    def __post_init__(self) -> None:
        for name in ("skip", "whole"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 0 or more and below 1, got {getattr(self, name)}")
        for name in ("unet", "schedule"):
            if getattr(self.training, name) is not None:
                raise ConfigError(f"training.{name}: expected none, since the checkpoint's own is trained; remove it")


@dataclass(frozen=True)
class RobustRecord(RobustSettings):
    """What `settings.json` of a run holds: the settings, and the checkpoint that is trained."""

    model_sha256: str = ""


class RobustTask(UNetTask):
    """The loop's task: the loss of U-Net training with some blocks dropped."""

    def __init__(self, settings: RobustSettings, model: Model, source: SampleSource) -> None:
        super().__init__(settings.training, model, source)
        self.settings, self.robust = RobustRecord(**vars(settings), model_sha256=model.source_hash), settings
        self.names = skippable(self.module)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """The loss of `UNetTask` without the blocks that the generator drops."""
        with skipping(self.module, self.left_out(generator)):
            return super().loss(step, generator, part)

    def left_out(self, generator: torch.Generator) -> list[str]:
        """Names of the blocks that are dropped from a batch."""
        whole = float(torch.rand(1, generator=generator)) < self.robust.whole
        drawn = torch.rand(len(self.names), generator=generator) < self.robust.skip
        return [] if whole else [name for name, gone in zip(self.names, drawn.tolist(), strict=True) if gone]


def train_robust(
    settings: RobustSettings, data: Path, model: Path, run: Path, out: Path, progress: Progress = silent
) -> None:
    """Continue training the U-Net of the checkpoint `model`, and write the result to `out`, replacing one there.

    Raises CheckpointError and ConfigError for a checkpoint that cannot be trained, DataError for a data set without
    the styles or groups, TrainingError as the loop does.
    """
    opened = open_placed(model)
    training, encoding = settings.training, part_of(progress, 0.0, ENCODED)
    source = training_source(opened, training, training.family_power, data, run, encoding)
    state = train(RobustTask(settings, opened, source), run, part_of(progress, ENCODED, 1 - ENCODED))
    save_trained(state, opened, out)
