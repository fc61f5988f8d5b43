"""PNDM without Runge-Kutta steps (PLMS) as a step table."""

from __future__ import annotations

import numpy as np

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.schedule.first_order import Factors, first_order_table, step_factors
from mobile_diffusion.schedule.levels import levels_after, levels_at
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.schedule.table import Matrix, StepTable
from mobile_diffusion.schedule.vectors import matrix, table_of

PLMS_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth weights, newest output first; row i is for i earlier outputs."""
PLMS_MEMORY = 3


def pndm_table(config: ScheduleConfig, count: int) -> StepTable:
    """PLMS (Liu et al. 2022, eq. 12 and 9), started as in latent diffusion: the first step is taken twice.

    The network is evaluated where the first step ends, and the step is repeated with the mean of both outputs.  So N
    steps need N + 1 evaluations.  The memory is three earlier outputs, newest first; after the first evaluation it is
    that output and the initial latents.  As in DDIM, every step goes down by train_steps // N timesteps.  Raises
    ConfigError when the network predicts the sample.
    """
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
    return table_of([visited[0], visited[1], *visited[1:]], update, [levels[0], levels[1], *levels[1:]])


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
