"""Latent consistency distillation (Luo et al. 2023): the student sees the same picture from every point of a path.

    f(z, t) = c_skip(t) z + c_out(t) x^(z, t),   f(z, 0) = z
    L = d(f(z_n+1, t_n+1), f(z_n, t_n)),   z_n = one guided DDIM step of the teacher from z_n+1

with the pseudo-Huber distance d (Song and Dhariwal 2023), and no gradient and no moving average for the second f.
The solver "lcm" draws with such a student and has the same boundary condition.  The settings are in
teacher_student.py; `distil` in distil.py runs this task for the objective "consistency".
"""

from __future__ import annotations

import torch
from torch import Tensor

from mobile_diffusion.distillation.grid import Levels
from mobile_diffusion.distillation.networks import guided_velocity
from mobile_diffusion.distillation.targets import clean_from_output, ddim_step
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.recipes.teacher_student import DistillationPair
from mobile_diffusion.schedule import add_noise
from mobile_diffusion.schedule.levels import final_level, levels_at
from mobile_diffusion.schedule.stochastic import boundary_condition
from mobile_diffusion.training.workers import WHOLE, BatchShare

HUBER = 0.001
"""c of the loss sqrt(d^2 + c^2) - c."""


def pseudo_huber(difference: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + c^2) - c: quadratic near zero, linear far away."""
    return ((difference.square() + HUBER**2).sqrt() - HUBER).mean()


class ConsistencyTask(DistillationPair):
    """The loop's task, on the time steps of a solver with `schedule.original_steps` steps."""

    def prepare(self) -> None:
        """The noise levels of the solver's steps, least noise first."""
        if self.distillation.guidance == "cfg":
            raise ConfigError("guidance: expected 'fixed' or 'embedded' for objective 'consistency', got 'cfg'")
        schedule = self.model.config.schedule
        stride = schedule.train_steps // schedule.original_steps
        times = [stride * (index + 1) - 1 for index in range(schedule.original_steps)]  # least noise first
        levels = [final_level(schedule), *levels_at(schedule, times)]
        self.times = torch.tensor([0, *times]).to(self.device)
        self.levels = Levels.of(levels).to(self.device)
        conditions = [(1.0, 0.0), *(boundary_condition(float(time)) for time in times)]
        self.conditions = Levels.of(conditions).to(self.device)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """The distance between f at t_n+1 and f at t_n."""
        picked, clean, noise = self.pictures(step, generator, part)
        index = part.of(1 + torch.randint(len(self.times) - 1, (self.loop.batch,), generator=generator))
        scale, context = self.scales(generator, part), self.contexts(picked, 0.0, generator, part)
        clean, noise, index, scale, context = self.placed(clean, noise, index, scale, context)
        far = self.levels.at(index)
        latents = add_noise(clean, noise, far.alpha, far.sigma).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            seen = guided_velocity(self.teacher, latents, self.times[index], context, self.null, scale)
            nearer = ddim_step(latents, clean_from_output(latents, seen, far), far, self.levels.at(index - 1))
            target = self.consistency(nearer, index - 1, context, scale)
        return pseudo_huber(self.consistency(latents, index, context, scale) - target)

    def consistency(self, latents: Tensor, index: Tensor, context: Tensor, scale: Tensor) -> Tensor:
        """f(z, t) of the student: (B, C, h, w)."""
        velocity = self.module(latents, self.times[index], context, self.embedded(scale))
        clean = clean_from_output(latents, velocity, self.levels.at(index))
        condition = self.conditions.at(index)
        return condition.alpha * latents + condition.sigma * clean
