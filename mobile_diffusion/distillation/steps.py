"""The training task of step distillation: vanilla, guidance-aware and original losses (SnapFusion, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.distillation.grid import Levels, step_pairs
from mobile_diffusion.distillation.networks import guided_velocity
from mobile_diffusion.distillation.pair import DistillationPair
from mobile_diffusion.distillation.targets import (
    clean_from_output,
    clean_loss,
    mixed_loss,
    target_clean,
    truncated_weight,
    two_steps,
)
from mobile_diffusion.schedule import add_noise, velocity
from mobile_diffusion.training.workers import WHOLE, BatchShare


@dataclass(frozen=True)
class Batch:
    """What one step of training looks at."""

    clean: Tensor
    """(B, C, h, w)."""
    noise: Tensor
    context: Tensor
    """(B, L, D)."""
    index: Tensor
    """int64 (B,): the student's step."""
    scale: Tensor | None
    """(B,): the scale of guidance, or None for the vanilla loss."""


class StepTask(DistillationPair):
    """The loop's task: where the teacher takes two steps, the student takes one."""

    def prepare(self) -> None:
        """The levels of the student's steps and of the two that replace each."""
        pairs = step_pairs(self.model.config.schedule, self.distillation.student_steps)
        self.times, self.middle_times = pairs.times.to(self.device), pairs.middle_times.to(self.device)
        self.levels = (pairs.start.to(self.device), pairs.middle.to(self.device), pairs.end.to(self.device))

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """The mixed loss of a part of one batch; gradients reach the student alone."""
        batch = self.batch(step, generator, part)
        start, middle, end = (each.at(batch.index) for each in self.levels)
        latents = add_noise(batch.clean, batch.noise, start.alpha, start.sigma)
        latents = latents.contiguous(memory_format=torch.channels_last)
        times = self.times[batch.index]
        target = self.target(batch, latents, times, (start, middle, end))
        predicted = self.student(batch, latents, times)
        distilled = clean_loss(clean_from_output(latents, predicted, start), target, truncated_weight(start))
        if batch.scale is not None or not self.distillation.original_share:
            return distilled
        truth = velocity(batch.clean, batch.noise, start.alpha, start.sigma)
        return mixed_loss(distilled, F.mse_loss(predicted, truth), self.distillation.original_share)

    @torch.no_grad()
    def target(self, batch: Batch, latents: Tensor, times: Tensor, levels: tuple[Levels, Levels, Levels]) -> Tensor:
        """x* (B, C, h, w) of the teacher's two steps."""

        def see(z: Tensor, t: Tensor, now: Levels) -> Tensor:
            v = guided_velocity(self.teacher, z, t, batch.context, self.null, batch.scale)
            return clean_from_output(z, v, now)

        arrived = two_steps(see, latents, (times, self.middle_times[batch.index]), levels)
        return target_clean(latents, arrived, levels[0], levels[2])

    def student(self, batch: Batch, latents: Tensor, times: Tensor) -> Tensor:
        """The student's velocity, guided in its own way, float32 (B, C, h, w)."""
        if self.distillation.guidance == "cfg":
            return guided_velocity(self.module, latents, times, batch.context, self.null, batch.scale)
        return self.module(latents, times, batch.context, self.embedded(batch.scale)).float()

    def batch(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Batch:
        """A part of the pictures, captions, steps and scales that `generator` chooses."""
        settings = self.distillation
        picked, clean, noise = self.pictures(step, generator, part)
        index = part.of(torch.randint(settings.student_steps, (self.loop.batch,), generator=generator))
        vanilla = settings.guidance == "cfg" and float(torch.rand(1, generator=generator)) >= settings.guided_share
        scale = None if vanilla else self.scales(generator, part)
        dropout = settings.condition_dropout if vanilla else 0.0  # without words there is nothing to guide to
        context = self.contexts(picked, dropout, generator, part)
        clean, noise, context, index = self.placed(clean, noise, context, index)
        return Batch(clean, noise, context, index, None if scale is None else self.placed(scale)[0])
