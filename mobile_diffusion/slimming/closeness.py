"""How much of a network's drawing is left without some of its blocks: the quality that an evolution goes by.

The loss of training is no measure of it.  Most of it is detail that no block decides alone, and words move it in the
third digit, while guidance multiplies just their part of the output.  So the guided outputs of the two networks are
compared, at the sampler's own steps: what makes the picture.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import UNetConfig
from mobile_diffusion.distillation.grid import Levels
from mobile_diffusion.distillation.networks import guided_velocity
from mobile_diffusion.schedule import add_noise
from mobile_diffusion.schedule.levels import levels_at
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.slim import slim_unet
from mobile_diffusion.slimming.evolution import Quality
from mobile_diffusion.training.batches import SampleSource
from mobile_diffusion.training.loop import step_generator
from mobile_diffusion.training.settings import UNetSettings
from mobile_diffusion.training.unet import choose_captions
from mobile_diffusion.training.workers import WHOLE
from mobile_diffusion.unet import UNet

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """A batch that every candidate is judged on."""

    latents: Tensor
    """(B, C, h, w)."""
    times: Tensor
    """(B,): of the sampler's steps."""
    context: Tensor
    """(B, L, D)."""
    null: Tensor
    """(1, L, D)."""
    scale: Tensor | None
    """(B,): of guidance; None where the network is not guided by two evaluations."""

    @torch.no_grad()
    def seen_by(self, unet: UNet) -> Tensor:
        """The guided output, float32 (B, C, h, w)."""
        return guided_velocity(unet, self.latents, self.times, self.context, self.null, self.scale)


def guided_closeness(model: Model, settings: UNetSettings, source: SampleSource, batches: int) -> Quality:
    """The negative mean squared distance of a slimmer configuration's guided output to the full network's.

    It is 0 for the full one.  The blocks' weights are those of `model`; batches are the settings', the same for every
    candidate.
    """
    model.unet.eval()
    examples = [example_of(model, settings, source, number) for number in range(batches)]
    wanted = [example.seen_by(model.unet) for example in examples]

    def quality(config: UNetConfig) -> float:
        unet, _ = slim_unet(model.unet, config)
        pairs = zip(examples, wanted, strict=True)
        distances = [float(F.mse_loss(example.seen_by(unet), full)) for example, full in pairs]
        LOGGER.info("distance %.5f", sum(distances) / batches)
        return -sum(distances) / batches

    return quality


def example_of(model: Model, settings: UNetSettings, source: SampleSource, number: int) -> Example:
    """Captioned pictures with the noise of the sampler's steps, each step as often as the others."""
    count, schedule, generator = settings.loop.batch, model.config.schedule, step_generator(settings.loop.seed, number)
    device = next(model.unet.parameters()).device
    inputs, chosen = source.pick(number, count, generator, WHOLE)
    steps = timesteps(schedule)
    index = torch.arange(count) % len(steps)
    levels = Levels.of(levels_at(schedule, steps)).at(index)
    clean = inputs.latents[chosen]
    noise = torch.randn(clean.shape, generator=generator)
    context = inputs.contexts[choose_captions(inputs, chosen, settings.label_share, 0.0, generator)].float()
    guided = schedule.guidance_kind == "cfg"
    return Example(
        add_noise(clean, noise, levels.alpha, levels.sigma).to(device, memory_format=torch.channels_last),
        torch.tensor(steps)[index].to(device),
        context.to(device),
        source.null.float().to(device),
        torch.full((count,), schedule.guidance, device=device) if guided else None,
    )
