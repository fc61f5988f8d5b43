"""Robust training: blocks are left out at random, so that the network learns to draw without any of them.

SnapFusion, section 3.1: every transformer and every ResNet block is executed with a probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slimming.blocks import skippable, skipping
from mobile_diffusion.training.batches import SampleSource
from mobile_diffusion.training.settings import UNetSettings
from mobile_diffusion.training.unet import UNetTask
from mobile_diffusion.training.workers import WHOLE, BatchShare


@dataclass(frozen=True)
class RobustSettings:
    """The training of a U-Net, and how often its blocks are left out."""

    training: UNetSettings
    skip: float = 0.15
    """Probability with which each block is left out in a batch."""
    whole: float = 0.5
    """Share of batches in which all blocks are there."""

    def __post_init__(self) -> None:
        for name in ("skip", "whole"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 0 or more and below 1, got {getattr(self, name)}")
        for name in ("unet", "schedule"):
            if getattr(self.training, name) is not None:
                raise ConfigError(f"training.{name}: expected none, since the checkpoint's is trained on; remove it")


class RobustTask(UNetTask):
    """The loop's task: the loss of U-Net training with blocks left out."""

    def __init__(self, settings: RobustSettings, model: Model, source: SampleSource) -> None:
        super().__init__(settings.training, model, source)
        self.settings = self.robust = settings
        self.names = skippable(self.module)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """As `UNetTask`, without the blocks that the generator leaves out."""
        with skipping(self.module, self.left_out(generator)):
            return super().loss(step, generator, part)

    def left_out(self, generator: torch.Generator) -> list[str]:
        """Names of the blocks that a batch does without."""
        whole = float(torch.rand(1, generator=generator)) < self.robust.whole
        drawn = torch.rand(len(self.names), generator=generator) < self.robust.skip
        return [] if whole else [name for name, gone in zip(self.names, drawn.tolist(), strict=True) if gone]
