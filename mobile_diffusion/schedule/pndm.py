"""PNDM without Runge-Kutta steps (PLMS) as a step table."""

from __future__ import annotations

import numpy as np

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.schedule.first_order import Factors, first_order_table, step_factors
from mobile_diffusion.schedule.levels import levels_after, levels_at
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.schedule.table import Matrix, StepTable
from mobile_diffusion.schedule.vectors import matrix, rows_with_starts, table_of

PLMS_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth weights, newest output first; row i is for i earlier outputs."""
PLMS_MEMORY = 3


def pndm_table(config: ScheduleConfig, count: int) -> StepTable:
    """PLMS (Liu et al. 2022, eq. 12 and 9), started as in latent diffusion: the first step is taken twice.

    The network is evaluated where the first step ends, and the step is repeated with the mean of both outputs.  So N
    steps need N + 1 evaluations.  The memory is three earlier outputs, newest first; after the first evaluation it is
    that output and the initial latents.  As in DDIM, every step goes down by train_steps // N timesteps.

    A drawing that skips steps does the same from there: as in diffusers, it repeats its first step from the next
    timestep's end, and so ends one level earlier.  Raises ConfigError when the network predicts the sample.
    """
    stride = config.train_steps // count
    visited = timesteps(config, count)
    levels, then = levels_at(config, visited), levels_after(config, visited, stride)
    if count == 1:
        return first_order_table(config.prediction, visited, levels, then)
    steps = [0, 1, *range(1, count)]  # of each evaluation

    def update(evaluation: int, age: int) -> Matrix:
        step = steps[evaluation]
        if age == 1:
            (repeated,) = levels_at(config, [visited[step] + stride])
            return _plms_second(step_factors(config.prediction, repeated, levels[step]))
        factors = step_factors(config.prediction, levels[step], then[step])
        return _plms_later(factors, age - 1) if age else _plms_first(factors)

    rows = rows_with_starts(count + 1, count, PLMS_MEMORY + 1, update)
    of_rows = [steps[evaluation] for evaluation in rows.steps]
    times, at = [visited[step] for step in of_rows], [levels[step] for step in of_rows]
    return table_of(times, rows.matrices, at, starts=rows.starts)


def _plms_first(factors: Factors) -> Matrix:
    """The first step, which stores its output and the latents at its start."""
    latents, *_, output = np.eye(PLMS_MEMORY + 2)
    return matrix(factors[0] * latents + factors[1] * output, output, latents, np.zeros_like(latents))


def _plms_second(factors: Factors) -> Matrix:
    """The first step again from its start, with the mean of its output and the output at its end."""
    _, first_output, beginning, _, output = np.eye(PLMS_MEMORY + 2)
    moved = factors[0] * beginning + factors[1] * (first_output + output) / 2
    return matrix(moved, first_output, np.zeros_like(moved), np.zeros_like(moved))


def _plms_later(factors: Factors, earlier: int) -> Matrix:
    """A step with a weighted sum of the output and the `earlier` outputs, of which at most three are used."""
    latents, *remembered, output = np.eye(PLMS_MEMORY + 2)
    weights = PLMS_WEIGHTS[min(earlier, PLMS_MEMORY)]
    outputs = [output, *remembered]
    mean = sum((weight * row for weight, row in zip(weights, outputs, strict=False)), np.zeros_like(output))
    return matrix(factors[0] * latents + factors[1] * mean, *outputs[:PLMS_MEMORY])
