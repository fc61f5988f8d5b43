"""Solvers that evaluate the network twice per step: Heun (Karras et al. 2022, algorithm 1) and DPM2 of k-diffusion.

A row of a table is one evaluation, so N steps have 2 N - 1 rows: the last step is of first order.  Between the two
evaluations of a step, the memory has what the second one needs; after it, the memory is kept and not read.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.schedule.first_order import noise_factors, step_factors
from mobile_diffusion.schedule.grids import Grid, euler_grid
from mobile_diffusion.schedule.levels import Level, noise_ratios, ratio_levels, times_of
from mobile_diffusion.schedule.stochastic import ancestral_split
from mobile_diffusion.schedule.table import Matrix, StepTable
from mobile_diffusion.schedule.vectors import Vector, matrix, table_of


def heun_table(config: ScheduleConfig, count: int) -> StepTable:
    """Heun's method.  Its memory: the noise that the first evaluation predicted, and the latents that it saw."""
    grid = euler_grid(config, count)
    predict = partial(noise_factors, config.prediction)
    rows, times, levels = [], [], []
    for step in range(count - 1):
        now, then = grid.path[step : step + 2]
        rows += [_heun_first(predict(now), now, then), _heun_second(predict(then), now, then)]
        times += [grid.times[step], grid.times[step + 1]]
        levels += [now, then]
    return _ended(config, grid, rows, times, levels, [0.0] * len(rows))


def _heun_first(factors: tuple[float, float], now: Level, then: Level) -> Matrix:
    latents, _, _, output = np.eye(4)
    epsilon = factors[0] * latents + factors[1] * output
    return matrix(_along(latents, epsilon, now, then, _rho(then)), epsilon, latents)


def _heun_second(factors: tuple[float, float], now: Level, then: Level) -> Matrix:
    latents, first, beginning, output = np.eye(4)
    mean = (first + factors[0] * latents + factors[1] * output) / 2
    return matrix(_along(beginning, mean, now, then, _rho(then)), first, beginning)


def kdpm2_table(config: ScheduleConfig, count: int) -> StepTable:
    """DPM2, and with noise DPM2 ancestral: a step with the noise that is predicted in its middle, in log(sigma).

    Its memory: the latents that the first evaluation saw.
    """
    grid, of_steps = euler_grid(config, count), noise_ratios(config)
    predict = partial(noise_factors, config.prediction)
    rows, times, levels, noise = [], [], [], []
    for step in range(count - 1):
        now, then = grid.path[step : step + 2]
        down, up = ancestral_split(_rho(now), _rho(then)) if config.solver == "kdpm2-ancestral" else (_rho(then), 0.0)
        middle = math.sqrt(_rho(now) * down)
        (half,) = ratio_levels([middle])
        rows += [_kdpm2_first(predict(now), now, half), _kdpm2_second(predict(half), now, then, down)]
        times += [_rounded(config, grid.times[step]), float(times_of(np.array([middle]), of_steps)[0])]
        levels += [now, half]
        noise += [0.0, then[0] * up]
    return _ended(config, grid, rows, times, levels, noise)


def _kdpm2_first(factors: tuple[float, float], now: Level, half: Level) -> Matrix:
    latents, _, output = np.eye(3)
    return matrix(_along(latents, factors[0] * latents + factors[1] * output, now, half, _rho(half)), latents)


def _kdpm2_second(factors: tuple[float, float], now: Level, then: Level, down: float) -> Matrix:
    latents, beginning, output = np.eye(3)
    return matrix(_along(beginning, factors[0] * latents + factors[1] * output, now, then, down), beginning)


def _along(latents: Vector, epsilon: Vector, now: Level, then: Level, rho: float) -> Vector:
    """Latents of the level `now` moved to noise ratio `rho` along epsilon, as latents of the level `then`."""
    return then[0] * (latents / now[0] + (rho - _rho(now)) * epsilon)


def _rho(level: Level) -> float:
    return level[1] / level[0]


def _rounded(config: ScheduleConfig, time: float) -> float:
    """diffusers rounds the timesteps of DPM2 where the levels are Karras'."""
    return float(np.round(time)) if config.karras else time


def _ended(
    config: ScheduleConfig, grid: Grid, rows: list[Matrix], times: list[float], levels: list[Level], noise: list[float]
) -> StepTable:
    """The table with the last step, which is of first order."""
    memory = len(rows[0]) - 1 if rows else 0
    now, then = grid.path[-2:]
    a, b = step_factors(config.prediction, now, then)
    latents, *remembered, output = np.eye(memory + 2)
    last = [a * latents + b * output, *remembered]
    time = _rounded(config, grid.times[-1]) if config.solver != "heun" else grid.times[-1]
    starts = tuple(tuple(range(first, len(rows) + 1)) for first in range(0, len(rows) + 1, 2)) if memory else ()
    return table_of([*times, time], [*rows, matrix(*last)], [*levels, now], [*noise, 0.0], grid.start, starts)
