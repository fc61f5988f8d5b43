"""Noise levels (alpha, sigma) of the diffusion process, and of a flow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.schedule.process import alphas_cumprod, alphas_sigmas

Level: TypeAlias = tuple[float, float]
"""alpha and sigma: latents = alpha * clean + sigma * noise."""

CLEAN: Level = (1.0, 0.0)
SMALLEST_ALPHA_BAR = 2.0**-24
"""Replaces an alpha_bar of zero where a solver divides by alpha, as in diffusers."""


def levels_at(config: ScheduleConfig, times: Iterable[int]) -> list[Level]:
    """The levels of integer training timesteps."""
    alpha, sigma = alphas_sigmas(config)
    return [(float(alpha[t]), float(sigma[t])) for t in times]


def final_level(config: ScheduleConfig) -> Level:
    """The level at which the last step ends."""
    return CLEAN if config.final == "clean" else levels_at(config, [0])[0]


def levels_after(config: ScheduleConfig, times: Iterable[int], stride: int) -> list[Level]:
    """The levels `stride` timesteps before each of `times`, with less noise; the final level before timestep 0."""
    nearer, final = [t - stride for t in times], final_level(config)
    levels = levels_at(config, [max(t, 0) for t in nearer])
    return [level if t >= 0 else final for t, level in zip(nearer, levels, strict=True)]


def noise_ratios(config: ScheduleConfig) -> NDArray[np.float64]:
    """sigma_t / alpha_t of every training timestep: float64 (train_steps,), increasing and finite."""
    alpha_bar = alphas_cumprod(config)
    if config.zero_terminal_snr:
        alpha_bar[-1] = SMALLEST_ALPHA_BAR
    return np.sqrt((1 - alpha_bar) / alpha_bar)


def ratio_levels(ratios: Iterable[float]) -> list[Level]:
    """The levels with the noise ratios sigma / alpha."""
    return [(1 / math.hypot(ratio, 1), float(ratio) / math.hypot(ratio, 1)) for ratio in ratios]


def flow_levels(sigmas: Iterable[float]) -> list[Level]:
    """The levels of a flow, x = (1 - sigma) clean + sigma noise."""
    return [(1 - float(sigma), float(sigma)) for sigma in sigmas]


def shifted(sigmas: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """The sigmas of a flow after a time shift (Esser et al. 2024, eq. 23); their shape stays the same."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def times_of(ratios: NDArray[np.float64], of_steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional timesteps of noise ratios, interpolated linearly in the logarithm of the ratios `of_steps`."""
    return np.interp(np.log(ratios), np.log(of_steps), np.arange(len(of_steps)))
