"""The formulas of step distillation (SnapFusion, section 4), in float32 even where the networks compute in bfloat16.

z_t = alpha x + sigma e, v = alpha e - sigma x, and x^ = alpha z - sigma v^.  The target amplifies the teacher's error,
up to 15 times on an 8-step grid, which is too much for half precision.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mobile_diffusion.distillation.grid import Levels
from mobile_diffusion.schedule import clean_from_velocity

PredictClean = Callable[[Tensor, Tensor, Levels], Tensor]
"""Latents (B, C, h, w), timesteps (B,), their levels -> the clean latents x^ that a network predicts."""


def clean_from_output(latents: Tensor, velocity: Tensor, now: Levels) -> Tensor:
    """x^ = alpha z - sigma v^ in float32."""
    clean: Tensor = clean_from_velocity(latents.float(), velocity.float(), now.alpha, now.sigma)
    return clean


def ddim_step(latents: Tensor, clean: Tensor, now: Levels, then: Levels) -> Tensor:
    """z' = alpha' x^ + sigma' (z - alpha x^) / sigma (Song et al. 2021, eq. 12 without noise)."""
    noise = (latents - now.alpha * clean) / now.sigma
    return then.alpha * clean + then.sigma * noise


def two_steps(
    teacher: PredictClean, latents: Tensor, times: tuple[Tensor, Tensor], levels: tuple[Levels, Levels, Levels]
) -> Tensor:
    """z'' after the teacher's DDIM steps t -> t' -> t'' (SnapFusion, step distillation)."""
    start, middle, end = levels
    half_way = ddim_step(latents, teacher(latents, times[0], start), start, middle)
    return ddim_step(half_way, teacher(half_way, times[1], middle), middle, end)


def target_clean(latents: Tensor, arrived: Tensor, start: Levels, end: Levels) -> Tensor:
    """x* = (z'' - (sigma''/sigma) z) / (alpha'' - (sigma''/sigma) alpha): from it one step lands on z''."""
    ratio = end.sigma / start.sigma
    return (arrived - ratio * latents) / (end.alpha - ratio * start.alpha)


def truncated_weight(level: Levels) -> Tensor:
    """max(alpha^2 / sigma^2, 1): the truncated signal-to-noise ratio (Salimans and Ho 2022)."""
    return (level.alpha / level.sigma).square().clamp(min=1.0)


def clean_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over batch and elements of weight * ||x^ - x*||^2 (SnapFusion, vanilla step distillation)."""
    return (weight * (predicted - target).square()).mean()


def mixed_loss(distilled: Tensor, original: Tensor, share: float) -> Tensor:
    """L + share * L_ori, with L_ori rescaled to the magnitude of L; the rescaling gets no gradient."""
    scale = distilled.detach() / original.detach().clamp(min=1e-12)
    return distilled + share * scale * original
