"""The noise levels of a student's steps, and of the two steps that its teacher takes in the place of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule.levels import Level, final_level, levels_at
from mobile_diffusion.schedule.spacing import timesteps


@dataclass(frozen=True)
class Levels:
    """alpha and sigma of a batch of noise levels, float32 (B, 1, 1, 1) each."""

    alpha: Tensor
    sigma: Tensor

    @classmethod
    def of(cls, levels: list[Level]) -> Levels:
        """Pairs (alpha, sigma) as tensors."""
        alpha, sigma = torch.tensor(levels, dtype=torch.float64).float().T
        return cls(alpha[:, None, None, None], sigma[:, None, None, None])

    def at(self, index: Tensor) -> Levels:
        """The levels at indices int64 (B,)."""
        return Levels(self.alpha[index], self.sigma[index])

    def to(self, device: torch.device) -> Levels:
        """The same levels on a device."""
        return Levels(self.alpha.to(device), self.sigma.to(device))


@dataclass(frozen=True)
class StepPairs:
    """For every step of a student of N steps: t, the teacher's t' half way, and t'' where both land."""

    times: Tensor
    """int64 (N,): t."""
    middle_times: Tensor
    """int64 (N,): t'."""
    start: Levels
    middle: Levels
    end: Levels


def step_pairs(schedule: ScheduleConfig, student_steps: int) -> StepPairs:
    """The pairs of a student of `student_steps` and a teacher of twice as many.

    Raises ConfigError when the teacher's time steps do not contain the student's, as with spacings that round
    differently, or when one of the teacher's time steps has no noise.
    """
    student = timesteps(schedule, student_steps)
    teacher = timesteps(schedule, 2 * student_steps)
    if teacher[::2] != student:
        missing = next(time for time in student if time not in teacher[::2])
        raise ConfigError(
            f"spacing: expected {2 * student_steps} steps of the teacher that contain the student's {student_steps}, "
            f"got none at timestep {missing}; take spacing 'trailing'"
        )
    levels = [*levels_at(schedule, teacher), final_level(schedule)]
    if not min(sigma for _, sigma in levels[:-1]) > 0:
        raise ConfigError("schedule: expected noise at every step of the teacher, got a level without")
    return StepPairs(
        torch.tensor(student),
        torch.tensor(teacher[1::2]),
        Levels.of(levels[:-1:2]),
        Levels.of(levels[1::2]),
        Levels.of(levels[2::2]),
    )
