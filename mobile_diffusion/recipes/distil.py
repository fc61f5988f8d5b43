"""Distil a teacher into a student that takes one step where the teacher takes two (SnapFusion, section 4).

    L = max(alpha^2 / sigma^2, 1) ||x^_student(z_t) - x*||^2 + gamma L_original,

where x* is the picture with which one step lands where the teacher's two steps do (distillation/targets.py).  In a
share of the batches teacher and student are compared after guidance (the guidance-aware loss).  With guidance "fixed"
or "embedded" all of them are, and the student needs one evaluation per step: guidance distillation (Meng et al. 2023).
The settings are in teacher_student.py; their `objective` chooses this task or that of consistency.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.distillation.grid import Levels, step_pairs
from mobile_diffusion.distillation.networks import guided_velocity
from mobile_diffusion.distillation.targets import (
    clean_from_output,
    clean_loss,
    mixed_loss,
    target_clean,
    truncated_weight,
    two_steps,
)
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.recipes.consistency import ConsistencyTask
from mobile_diffusion.recipes.teacher_student import DistillationPair, DistillationSettings
from mobile_diffusion.schedule import add_noise, velocity
from mobile_diffusion.training.checkpoints import ENCODED, open_placed, save_trained, training_source
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.workers import WHOLE, BatchShare


@dataclass(frozen=True)
class Batch:
    """One part of a batch, on the networks' device."""

    clean: Tensor
    """(B, C, h, w)."""
    noise: Tensor
    context: Tensor
    """(B, L, D)."""
    index: Tensor
    """int64 (B,): the student's step, from 0 at the most noise."""
    scale: Tensor | None
    """Guidance scale (B,), or None for the vanilla loss."""


class StepTask(DistillationPair):
    """The loop's task: the student learns to land in one step where the teacher lands in two."""

    def prepare(self) -> None:
        """The noise levels of every student step and of the teacher's two steps in its place."""
        pairs = step_pairs(self.model.config.schedule, self.distillation.student_steps)
        self.times, self.middle_times = pairs.times.to(self.device), pairs.middle_times.to(self.device)
        self.levels = (pairs.start.to(self.device), pairs.middle.to(self.device), pairs.end.to(self.device))

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """The mixed loss of one part of a batch; only the student gets gradients."""
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
        """The student's velocity under its own kind of guidance, float32 (B, C, h, w)."""
        if self.distillation.guidance == "cfg":
            return guided_velocity(self.module, latents, times, batch.context, self.null, batch.scale)
        return self.module(latents, times, batch.context, self.embedded(batch.scale)).float()

    def batch(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Batch:
        """One part of the pictures, captions, steps and scales that `generator` draws."""
        settings = self.distillation
        picked, clean, noise = self.pictures(step, generator, part)
        index = part.of(torch.randint(settings.student_steps, (self.loop.batch,), generator=generator))
        vanilla = settings.guidance == "cfg" and float(torch.rand(1, generator=generator)) >= settings.guided_share
        scale = None if vanilla else self.scales(generator, part)
        dropout = settings.condition_dropout if vanilla else 0.0  # guidance needs a caption
        context = self.contexts(picked, dropout, generator, part)
        clean, noise, context, index = self.placed(clean, noise, context, index)
        return Batch(clean, noise, context, index, None if scale is None else self.placed(scale)[0])


TASKS: dict[str, type[StepTask] | type[ConsistencyTask]] = {"steps": StepTask, "consistency": ConsistencyTask}
"""By `DistillationSettings.objective`."""


def distil(
    settings: DistillationSettings,
    data: Path,
    teacher: Path,
    run: Path,
    out: Path,
    student: Path | None = None,
    progress: Progress = silent,
) -> None:
    """Train a student and write it as a checkpoint to `out`, replacing one that is there.

    The student begins with the weights of the checkpoint `student`, by default the teacher's.  Raises ConfigError when
    the two do not fit, or the teacher's grid of steps does not contain the student's, and TrainingError as the loop
    does.
    """
    teaching = open_placed(teacher)
    initial = open_placed(student) if student else None
    source = training_source(teaching, settings, settings.family_power, data, run, part_of(progress, 0.0, ENCODED))
    task = TASKS[settings.objective](settings, teaching, initial, source)
    save_trained(train(task, run, part_of(progress, ENCODED, 1 - ENCODED)), task.model, out)
