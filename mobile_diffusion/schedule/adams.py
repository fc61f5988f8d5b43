"""DEIS and LMS: Adams methods, which integrate a polynomial through the last predictions of the noise.

With y = x / alpha and rho = sigma / alpha, the probability-flow equation is dy = epsilon d rho.  DEIS (Zhang and Chen
2023, "log-rho") interpolates epsilon over log(rho), the linear multistep method (Karras et al. 2022) over rho.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.polynomial import Polynomial

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule.dpm_solver import FEW_STEPS
from mobile_diffusion.schedule.first_order import noise_factors
from mobile_diffusion.schedule.grids import Grid, euler_grid, solver_grid
from mobile_diffusion.schedule.levels import Level, levels_at
from mobile_diffusion.schedule.table import StepTable
from mobile_diffusion.schedule.vectors import Vector, remembering_table

LMS_ORDER = 4
Integrate = Callable[[Sequence[float], float], list[float]]
"""rho of the known predictions, newest first, and rho at the end of the step -> the factor of each prediction."""


def deis_table(config: ScheduleConfig, count: int) -> StepTable:
    """DEIS of order 1 to 3; it ends at the first training timestep, or where it is for a flow and for other spacings.

    Raises ConfigError for another order.
    """
    if config.order > 3:
        raise ConfigError(f"order: expected 1 to 3 for solver 'deis', got {config.order}")
    grid = solver_grid(config, count)
    last = grid.path[-2] if config.curve or config.prediction == "flow" else levels_at(config, [0])[0]
    grid = Grid(grid.times, (*grid.path[:-1], last), grid.start)
    lower = config.lower_order_final and count < FEW_STEPS
    orders = [min(config.order, count - step if lower else count) for step in range(count)]
    return _adams_table(config, grid, config.order - 1, orders, _over_logarithm)


def lms_table(config: ScheduleConfig, count: int) -> StepTable:
    """The linear multistep method of order 4, as in diffusers and k-diffusion.

    A drawing that begins late begins with lower orders, as in k-diffusion; diffusers then leaves out terms.
    """
    return _adams_table(config, euler_grid(config, count), LMS_ORDER - 1, [LMS_ORDER] * count, _over_ratio)


def _adams_table(
    config: ScheduleConfig, grid: Grid, memory: int, orders: Sequence[int], integrate: Integrate
) -> StepTable:
    def move(step: int, latents: Vector, known: Sequence[Vector]) -> Vector:
        used = known[: orders[step]]
        points = [_rho(grid.path[step - k]) for k in range(len(used))]
        factors = integrate(points, _rho(grid.path[step + 1]))
        scaled = latents / grid.path[step][0]
        total = sum((factor * one for factor, one in zip(factors, used, strict=True)), scaled)
        return grid.path[step + 1][0] * total

    return remembering_table(grid, memory, partial(noise_factors, config.prediction), move)


def _rho(level: Level) -> float:
    return level[1] / level[0]


def _lagrange(points: Sequence[float], of: int) -> Polynomial:
    """The polynomial that is 1 at point `of` and 0 at the others."""
    others = [point for k, point in enumerate(points) if k != of]
    scale = math.prod(points[of] - point for point in others)
    return (Polynomial.fromroots(others) if others else Polynomial([1.0])) / scale


def _over_ratio(points: Sequence[float], end: float) -> list[float]:
    """Integrals over rho of the polynomials in rho."""
    wholes = [_lagrange(points, k).integ() for k in range(len(points))]
    return [float(whole(end) - whole(points[0])) for whole in wholes]


def _over_logarithm(points: Sequence[float], end: float) -> list[float]:
    """Integrals over rho of the polynomials in log(rho).

    That of p(log rho) is rho (p - p' + p'' - ...), as differentiating it shows.
    """
    logs = [math.log(point) for point in points]
    wholes = []
    for k in range(len(logs)):
        part = whole = _lagrange(logs, k)
        for _ in logs[1:]:
            part = -part.deriv()
            whole = whole + part
        wholes.append(whole)
    first, last = logs[0], math.log(end)
    return [float(np.exp(last) * whole(last) - np.exp(first) * whole(first)) for whole in wholes]
