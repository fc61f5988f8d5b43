"""UniPC (Zhao et al. 2023): a predictor, and a corrector that uses the output at the predicted latents.

The corrector costs no evaluation.  It replaces the latents from which the next step begins, and both start from the
same earlier latents, so the difference of corrected and predicted latents is linear in the known predictions alone.
That is why no earlier latents have to be remembered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule.dpm_solver import log_ratio
from mobile_diffusion.schedule.first_order import clean_factors
from mobile_diffusion.schedule.grids import Grid, solver_grid
from mobile_diffusion.schedule.table import StepTable
from mobile_diffusion.schedule.vectors import Vector, remembering_table


def unipc_table(config: ScheduleConfig, count: int) -> StepTable:
    """UniPC of order 1 to 4 in its formulas "bh2" and "bh1", which predicts clean latents.

    Raises ConfigError when a step of a higher order would end at clean latents.
    """
    grid = solver_grid(config, count)
    left = [count - step if config.lower_order_final else count for step in range(count)]
    orders = [min(config.order, left[step]) for step in range(count)]
    if orders[-1] > 1 and count > 1 and config.final == "clean":
        raise ConfigError(
            f"lower_order_final: expected true, as solver 'unipc' of order {config.order} ends at clean latents, "
            "got false; or choose final 'first'"
        )
    bh1 = config.variant == "bh1"

    def move(step: int, latents: Vector, known: Sequence[Vector]) -> Vector:
        age = len(known) - 1  # steps that this drawing made before, up to the order
        if age and step - 1 not in config.uncorrected:
            latents = latents + _correction(grid, bh1, step, min(orders[step - 1], age), known)
        return _predicted(grid, bh1, step, min(orders[step], age + 1), latents, known)

    return remembering_table(grid, config.order, partial(clean_factors, config.prediction), move)


def _predicted(grid: Grid, bh1: bool, step: int, order: int, latents: Vector, known: Sequence[Vector]) -> Vector:
    """The predictor's latents (UniP), from those of the step and the predictions, newest first."""
    (alpha, sigma), (next_alpha, next_sigma) = grid.path[step : step + 2]
    weight = next_alpha - next_sigma * alpha / sigma  # alpha' (1 - exp(-h))
    moved = next_sigma / sigma * latents + weight * known[0]
    return moved - _bent(grid, bh1, step, _predictor(grid, bh1, step, order), known)


def _correction(grid: Grid, bh1: bool, step: int, order: int, known: Sequence[Vector]) -> Vector:
    """Corrected minus predicted latents (UniC minus UniP) at the end of the step before `step`, of that order."""
    newest, before = known[0], known[1:]
    matrix, right = _system(grid, bh1, step - 1, order)
    corrector = np.array([0.5]) if order == 1 else np.linalg.solve(matrix, right)
    both = corrector[:-1] - _predictor(grid, bh1, step - 1, order)
    scale = grid.path[step][0] * _scale(grid, bh1, step - 1)
    return -_bent(grid, bh1, step - 1, both, before) - scale * corrector[-1] * (newest - before[0])


def _bent(grid: Grid, bh1: bool, step: int, factors: NDArray[np.float64], known: Sequence[Vector]) -> Vector:
    """alpha' B(h) times the sum of factor times difference quotient of the predictions."""
    scale, ratios = grid.path[step + 1][0] * (_scale(grid, bh1, step) if len(factors) else 0.0), _ratios(grid, step)
    total = np.zeros_like(known[0])
    for k, factor in enumerate(factors, 1):
        total = total + factor * (known[k] - known[0]) / ratios(k)
    return scale * total


def _length(grid: Grid, step: int) -> float:
    """h: the length of a step in lambda = log(alpha / sigma)."""
    return log_ratio(grid.path[step + 1]) - log_ratio(grid.path[step])


def _ratios(grid: Grid, step: int) -> Callable[[int], float]:
    """k -> how far the prediction of k steps ago is, over the length of the step (r_k; negative)."""

    def ratio(k: int) -> float:
        return (log_ratio(grid.path[step - k]) - log_ratio(grid.path[step])) / _length(grid, step)

    return ratio


def _scale(grid: Grid, bh1: bool, step: int) -> float:
    """B(h) of the two formulas, with the sign of -h as in diffusers."""
    h = _length(grid, step)
    return -h if bh1 else math.expm1(-h)


def _predictor(grid: Grid, bh1: bool, step: int, order: int) -> NDArray[np.float64]:
    """The predictor's factors of the order - 1 difference quotients."""
    if order < 3:
        return np.full(order - 1, 0.5)
    matrix, right = _system(grid, bh1, step, order)
    return np.asarray(np.linalg.solve(matrix[:-1, :-1], right[:-1]), np.float64)


def _system(grid: Grid, bh1: bool, step: int, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The linear equations of the factors: matrix (order, order) and right-hand side (order,) (eq. 9)."""
    negative = -_length(grid, step)
    ratio = _ratios(grid, step)
    points = np.array([*(ratio(k) for k in range(1, order)), 1.0])
    matrix = np.stack([points**row for row in range(order)])
    right, factorial = [], 1
    phi = math.expm1(negative) / negative - 1
    for row in range(1, order + 1):
        right.append(phi * factorial / _scale(grid, bh1, step))
        factorial *= row + 1
        phi = phi / negative - 1 / factorial
    return matrix, np.array(right)
