"""The multistep solvers as step tables: DPM-Solver++ 2M, and PNDM without Runge-Kutta steps.

A tensor is represented by the vector of its factors over (latents, memory..., output).  So a formula looks as in its
paper, and its result is a row of the update matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule.first_order import clean_factors, first_order_table, step_factors
from mobile_diffusion.schedule.levels import (
    Level,
    final_level,
    karras_ratios,
    levels_after,
    levels_at,
    noise_ratios,
    ratio_levels,
    times_of,
)
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.schedule.table import Matrix, StepTable

Vector = NDArray[np.float64]
"""Factors of latents, memory and output, in this order."""

FEW_STEPS = 15
"""With fewer steps, DPM-Solver++ may end with a first-order step."""
PLMS_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth weights, newest output first; row i is for i earlier outputs."""
PLMS_MEMORY = 3


def dpm_solver_table(config: ScheduleConfig, count: int) -> StepTable:
    """DPM-Solver++ 2M, midpoint variant (Lu et al. 2022, algorithm 2).

    Its memory is the previous prediction of x_0.  Raises ConfigError when `count` is not supported.
    """
    times, levels = _dpm_grid(config, count)
    path = [*levels, final_level(config)]
    short_end = config.final == "clean" or (config.lower_order_final and count < FEW_STEPS)
    update = []
    for step in range(count):
        first_order = step == 0 or (short_end and step == count - 1)
        before = None if first_order else path[step - 1]
        update.append(_dpm_matrix(config.prediction, before, path[step], path[step + 1]))
    return _with_memory(times, update, levels)


def _dpm_grid(config: ScheduleConfig, count: int) -> tuple[Sequence[float], list[Level]]:
    """Timesteps and levels of the steps; unless the spacing is trailing, those of N + 1 steps without the last."""
    of_steps = noise_ratios(config)
    if config.karras:
        ratios = karras_ratios(of_steps[-1], of_steps[0], count)
        times = times_of(ratios, of_steps)
        whole = np.trunc(times) if config.beta_schedule == "cosine" else np.round(times)
        return whole.tolist(), ratio_levels(ratios)
    if config.spacing == "trailing":
        chosen = timesteps(config, count)
    elif count < config.train_steps:
        chosen = timesteps(config, count + 1)[:-1]
    else:
        raise ConfigError(f"steps: solver 'dpm-solver++' takes at most {count - 1}, but {count} in spacing 'trailing'")
    return chosen, ratio_levels(of_steps[list(chosen)])


def _dpm_matrix(prediction: str, before: Level | None, now: Level, then: Level) -> Matrix:
    """The matrix of a step from `now` to `then`; it is of first order when `before` is None."""
    latents, remembered, output = np.eye(3)
    a, b = clean_factors(prediction, now)
    clean = a * latents + b * output
    weight = then[0] - then[1] * now[0] / now[1]  # alpha' (1 - exp(-h))
    moved = then[1] / now[1] * latents + weight * clean
    if before is not None:
        moved = moved + weight / 2 * _growth(before, now, then) * (clean - remembered)
    return _matrix(moved, clean)


def _growth(before: Level, now: Level, then: Level) -> float:
    """1 / r: the length of the step over that of the previous one, in lambda = log(alpha / sigma)."""
    behind, ahead = np.diff([math.log(alpha / sigma) for alpha, sigma in (before, now, then)])
    return float(ahead / behind)


def pndm_table(config: ScheduleConfig, count: int) -> StepTable:
    """PLMS (Liu et al. 2022, eq. 12 and 9), started as in latent diffusion: the first step is taken twice.

    The network is evaluated where the first step ends, and the step is repeated with the mean of both outputs.  So N
    steps need N + 1 evaluations.  The memory is three earlier outputs, newest first; after the first evaluation it is
    that output and the initial latents.  As in DDIM, every step goes down by train_steps // N timesteps.  Raises
    ConfigError when the network predicts the sample.
    """
    if config.prediction == "sample":
        raise ConfigError("prediction: 'sample' is not defined for solver 'pndm'; choose 'ddim'")
    stride = config.train_steps // count
    visited = timesteps(config, count)
    levels, then = levels_at(config, visited), levels_after(config, visited, stride)
    if count == 1:
        return first_order_table(config.prediction, visited, levels, then)
    repeated = levels_at(config, [visited[1] + stride])[0]
    update = [
        _plms_first(step_factors(config.prediction, levels[0], then[0])),
        _plms_second(step_factors(config.prediction, repeated, levels[1])),
        *(_plms_later(step_factors(config.prediction, levels[i], then[i]), i) for i in range(1, count)),
    ]
    return _with_memory([visited[0], visited[1], *visited[1:]], update, [levels[0], levels[1], *levels[1:]])


def _plms_first(factors: tuple[float, float]) -> Matrix:
    """The first step, which stores its output and the latents at its start."""
    latents, *_, output = np.eye(PLMS_MEMORY + 2)
    return _matrix(factors[0] * latents + factors[1] * output, output, latents, np.zeros_like(latents))


def _plms_second(factors: tuple[float, float]) -> Matrix:
    """The first step again from its start, with the mean of its output and the output at its end."""
    _, first_output, beginning, _, output = np.eye(PLMS_MEMORY + 2)
    moved = factors[0] * beginning + factors[1] * (first_output + output) / 2
    return _matrix(moved, first_output, np.zeros_like(moved), np.zeros_like(moved))


def _plms_later(factors: tuple[float, float], earlier: int) -> Matrix:
    """A step with a weighted sum of the output and the `earlier` outputs, of which at most three are used."""
    latents, *remembered, output = np.eye(PLMS_MEMORY + 2)
    weights = PLMS_WEIGHTS[min(earlier, PLMS_MEMORY)]
    outputs = [output, *remembered]
    mean = sum((weight * row for weight, row in zip(weights, outputs, strict=False)), np.zeros_like(output))
    return _matrix(factors[0] * latents + factors[1] * mean, *outputs[:PLMS_MEMORY])


def _matrix(*rows: Vector) -> Matrix:
    """Convert rows to tuples of floats."""
    return tuple(tuple(row.tolist()) for row in rows)


def _with_memory(times: Iterable[float], update: Sequence[Matrix], levels: Iterable[Level]) -> StepTable:
    """Build a deterministic table in which the network sees the latents unscaled."""
    alphas, sigmas = zip(*levels, strict=True)
    ones, zeros = (1.0,) * len(update), (0.0,) * len(update)
    return StepTable(tuple(map(float, times)), ones, tuple(update), zeros, alphas, sigmas)
