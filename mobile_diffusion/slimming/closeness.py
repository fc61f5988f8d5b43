"""The quality that an evolution goes by: how close a U-Net's guided output stays without some of its blocks.

The training loss does not measure it.  Most of that loss is detail that no block decides alone, and words move it in
the third digit, while guidance multiplies only their part of the output.  So the guided outputs of the two networks
are compared, at the sampler's own steps: they make the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.config import UNetConfig
from mobile_diffusion.distillation.networks import guided_velocity
from mobile_diffusion.slim import slim_unet
from mobile_diffusion.slimming.evolution import Quality
from mobile_diffusion.unet import UNet

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """A batch that every candidate is judged on."""

    latents: Tensor
    """(B, C, h, w)."""
    times: Tensor
    """(B,): time steps of the sampler."""
    context: Tensor
    """(B, L, D)."""
    null: Tensor
    """(1, L, D)."""
    scale: Tensor | None
    """Guidance scale (B,); None where guidance does not take two evaluations."""

    @torch.no_grad()
    def seen_by(self, unet: UNet) -> Tensor:
        """The guided output, float32 (B, C, h, w)."""
        return guided_velocity(unet, self.latents, self.times, self.context, self.null, self.scale)


def guided_closeness(unet: UNet, examples: Sequence[Example]) -> Quality:
    """The negative mean squared distance of a slimmer configuration's guided output from the full network's.

    It is 0 for the full configuration.  The slimmer networks take their blocks' weights from `unet`, which must be in
    evaluation mode.
    """
    wanted = [example.seen_by(unet) for example in examples]

    def quality(config: UNetConfig) -> float:
        slimmer, _ = slim_unet(unet, config)
        pairs = zip(examples, wanted, strict=True)
        distances = [float(F.mse_loss(example.seen_by(slimmer), full)) for example, full in pairs]
        distance = sum(distances) / len(distances)
        LOGGER.info("distance %.5f", distance)
        return -distance

    return quality
