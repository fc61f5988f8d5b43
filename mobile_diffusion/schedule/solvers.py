"""The solvers without memory as step tables: DDIM, Euler, and the sampler of latent consistency models.

A solver chooses timesteps, noise levels, and the update between two levels.  Each solver matches diffusers' scheduler
of the same name for any number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule.first_order import clean_factors, first_order_table
from mobile_diffusion.schedule.levels import (
    CLEAN,
    final_level,
    karras_ratios,
    levels_after,
    levels_at,
    noise_ratios,
    ratio_levels,
    times_of,
)
from mobile_diffusion.schedule.multistep import dpm_solver_table, pndm_table
from mobile_diffusion.schedule.spacing import check_steps, timesteps
from mobile_diffusion.schedule.table import StepTable

KARRAS_SOLVERS = ("euler", "dpm-solver++")
LCM_TIME_SCALE = 10.0
LCM_DATA_DEVIATION = 0.5


def step_table(config: ScheduleConfig, steps: int | None = None) -> StepTable:
    """Build the step table of the schedule's solver with `steps` steps, by default `config.steps`.

    PNDM's table has N + 1 rows for N > 1 steps.  Raises ConfigError for a number of steps or a combination of options
    that the solver does not support.
    """
    count = check_steps(config, steps)
    if config.karras and config.solver not in KARRAS_SOLVERS:
        raise ConfigError(f"karras: expected solver {' or '.join(KARRAS_SOLVERS)}, got {quoted(config.solver)}")
    return TABLES[config.solver](config, count)


def ddim_table(config: ScheduleConfig, count: int) -> StepTable:
    """DDIM without noise (Song et al. 2021, eq. 12 with eta = 0).

    Every step goes down by train_steps // N timesteps.  With linspace spacing this may differ from the next timestep.
    """
    times = timesteps(config, count)
    then = levels_after(config, times, config.train_steps // count)
    return first_order_table(config.prediction, times, levels_at(config, times), then)


def euler_table(config: ScheduleConfig, count: int) -> StepTable:
    """Euler steps of the probability-flow equation in sigma / alpha (Karras et al. 2022, algorithm 1).

    Euler's latents x_0 + (sigma / alpha) epsilon, multiplied by alpha, are those of a first-order step, so the table
    uses that step.  It starts from sigma times the noise, but with leading spacing from the noise, as in diffusers.
    """
    of_steps = noise_ratios(config)
    if config.spacing == "linspace":
        times = np.linspace(0, config.train_steps - 1, count)[::-1]
    else:
        times = np.array(timesteps(config, count), dtype=np.float64)
    ratios = np.interp(times, np.arange(config.train_steps), of_steps)
    if config.karras:
        ratios = karras_ratios(ratios[0], ratios[-1], count)
        times = times_of(ratios, of_steps)
    levels = ratio_levels(ratios)
    start = 1.0 if config.spacing == "leading" else levels[0][1]
    return first_order_table(config.prediction, times.tolist(), levels, [*levels[1:], final_level(config)], start)


def lcm_table(config: ScheduleConfig, count: int) -> StepTable:
    """Multistep consistency sampling (Luo et al. 2023, algorithm 3).

    Every step predicts clean latents and, except for the last, adds noise for the next level.  Raises ConfigError for
    more steps than `config.original_steps`.
    """
    times = _lcm_timesteps(config, count)
    levels = levels_at(config, times)
    then = [*levels[1:], CLEAN]
    update = []
    for time, now, (next_alpha, _) in zip(times, levels, then, strict=True):
        a, b = clean_factors(config.prediction, now)
        skip, out = boundary_condition(time)
        update.append(((next_alpha * (out * a + skip), next_alpha * out * b),))
    alphas, sigmas = zip(*levels, strict=True)
    noise = tuple(sigma for _, sigma in then)
    return StepTable(tuple(map(float, times)), (1.0,) * count, tuple(update), noise, alphas, sigmas)


def _lcm_timesteps(config: ScheduleConfig, count: int) -> list[int]:
    """`count` timesteps of the solver that was distilled, evenly spaced, noisiest first."""
    original = config.original_steps
    if count > original:
        raise ConfigError(
            f"steps: expected 1 to {original}, the original_steps that solver 'lcm' chooses from, got {count}"
        )
    chosen = np.floor(np.linspace(0, original, count, endpoint=False))
    return [int(original - index) * (config.train_steps // original) - 1 for index in chosen]


def boundary_condition(time: float) -> tuple[float, float]:
    """c_skip and c_out, with which a consistency model is the identity at time 0 (Luo et al. 2023, section 4.1)."""
    scaled, variance = LCM_TIME_SCALE * time, LCM_DATA_DEVIATION**2
    return variance / (scaled**2 + variance), scaled / math.sqrt(scaled**2 + variance)


TABLES: dict[str, Callable[[ScheduleConfig, int], StepTable]] = {
    "ddim": ddim_table,
    "euler": euler_table,
    "dpm-solver++": dpm_solver_table,
    "pndm": pndm_table,
    "lcm": lcm_table,
}
