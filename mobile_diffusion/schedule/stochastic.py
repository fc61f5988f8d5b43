"""The solvers that add fresh noise at their steps, except for those of dpm_solver.py and two_stage.py."""

from __future__ import annotations

import math

import numpy as np

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule.first_order import Factors, clean_factors, plain_table, toward
from mobile_diffusion.schedule.grids import euler_grid
from mobile_diffusion.schedule.levels import CLEAN, Level, levels_at
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.schedule.table import StepTable

LCM_TIME_SCALE = 10.0
LCM_DATA_DEVIATION = 0.5
TCD_ETA = 0.3
SMALLEST_VARIANCE = 1e-20
"""Of DDPM; diffusers adds noise of this variance at the last step, here it is none."""


def ddpm_table(config: ScheduleConfig, count: int) -> StepTable:
    """DDPM (Ho et al. 2020, eq. 7), with the variance "fixed_small" (of the posterior) or "fixed_large" (beta)."""
    times = timesteps(config, count)
    levels = levels_at(config, times)
    factors, noise = [], []
    for time, now, then in zip(times, levels, [*levels[1:], CLEAN], strict=True):
        (alpha, sigma), (next_alpha, next_sigma) = now, then
        beta = 1 - (alpha / next_alpha) ** 2
        small = (next_sigma / sigma) ** 2 * beta
        of_clean, of_latents = next_alpha * beta / sigma**2, alpha / next_alpha * (next_sigma / sigma) ** 2
        a, b = clean_factors(config.prediction, now)
        factors.append((of_clean * a + of_latents, of_clean * b))
        variance = beta if config.variant == "fixed_large" else small
        noise.append(math.sqrt(variance) if time and variance > SMALLEST_VARIANCE else 0.0)
    return plain_table(times, factors, levels, noise)


def euler_ancestral_table(config: ScheduleConfig, count: int) -> StepTable:
    """Euler steps to a lower level, and fresh noise up to the next one (k-diffusion's ancestral sampling)."""
    grid = euler_grid(config, count)
    factors, noise = [], []
    for now, then in zip(grid.path, grid.path[1:], strict=False):
        down, up = ancestral_split(now[1] / now[0], then[1] / then[0])
        factors.append(toward(config.prediction, now, then[0], then[0] * down))
        noise.append(then[0] * up)
    return plain_table(grid.times, factors, grid.path[:-1], noise, grid.start)


def ancestral_split(now: float, then: float) -> tuple[float, float]:
    """The noise ratio to step down to, and that of the fresh noise, whose squares have the sum then^2."""
    up = math.sqrt(then**2 * (now**2 - then**2) / now**2)
    return math.sqrt(then**2 - up**2), up


def stochastic_flow_table(config: ScheduleConfig, count: int) -> StepTable:
    """Steps of a flow that predict clean latents and noise them afresh (diffusers' stochastic_sampling)."""
    grid = euler_grid(config, count)
    factors: list[Factors] = []
    for now, then in zip(grid.path, grid.path[1:], strict=False):
        a, b = clean_factors(config.prediction, now)
        factors.append((then[0] * a, then[0] * b))
    return plain_table(grid.times, factors, grid.path[:-1], [sigma for _, sigma in grid.path[1:]])


def lcm_table(config: ScheduleConfig, count: int) -> StepTable:
    """Multistep consistency sampling (Luo et al. 2023, algorithm 3).

    Every step predicts clean latents and, except for the last, adds noise for the next level.  Raises ConfigError for
    more steps than `config.original_steps`.
    """
    times = _distilled_timesteps(config, count)
    levels = levels_at(config, times)
    then = [*levels[1:], CLEAN]
    factors = []
    for time, now, (next_alpha, _) in zip(times, levels, then, strict=True):
        a, b = clean_factors(config.prediction, now)
        skip, out = boundary_condition(time)
        factors.append((next_alpha * (out * a + skip), next_alpha * out * b))
    return plain_table(times, factors, levels, [sigma for _, sigma in then])


def tcd_table(config: ScheduleConfig, count: int) -> StepTable:
    """Strategic stochastic sampling (Zheng et al. 2024, algorithm 4), whose gamma is `config.eta`.

    Every step goes down to (1 - eta) times the next timestep, and noise leads back up to it.  It ends at the level of
    timestep 0.  Raises ConfigError as `lcm_table` does.
    """
    times = _distilled_timesteps(config, count)
    eta = TCD_ETA if config.eta is None else config.eta
    levels, targets = levels_at(config, times), [*times[1:], 0]
    downs = levels_at(config, [math.floor((1 - eta) * time) for time in targets])
    factors, noise = [], []
    for now, target, down in zip(levels, levels_at(config, targets), downs, strict=True):
        up = target[0] / down[0]
        a, b = toward(config.prediction, now, *down)
        factors.append((up * a, up * b))
        noise.append(math.sqrt(max(1 - up**2, 0.0)))
    return plain_table(times, factors, levels, [*noise[:-1], 0.0])


def _distilled_timesteps(config: ScheduleConfig, count: int) -> list[int]:
    """`count` timesteps of the solver that was distilled, evenly spaced, noisiest first."""
    original = config.original_steps
    if count > original:
        raise ConfigError(
            f"steps: expected 1 to {original}, the original_steps that solver {quoted(config.solver)} chooses from, "
            f"got {count}"
        )
    chosen = np.floor(np.linspace(0, original, count, endpoint=False))
    return [int(original - index) * (config.train_steps // original) - 1 for index in chosen]


def boundary_condition(time: float) -> tuple[float, float]:
    """c_skip and c_out, with which a consistency model is the identity at time 0 (Luo et al. 2023, section 4.1)."""
    scaled, variance = LCM_TIME_SCALE * time, LCM_DATA_DEVIATION**2
    return variance / (scaled**2 + variance), scaled / math.sqrt(scaled**2 + variance)


def ddim_noise(eta: float, now: Level, then: Level) -> float:
    """Standard deviation of DDIM's fresh noise (Song et al. 2021, eq. 16)."""
    variance = (then[1] / now[1]) ** 2 * (1 - (now[0] / then[0]) ** 2)
    return eta * math.sqrt(max(variance, 0.0))
