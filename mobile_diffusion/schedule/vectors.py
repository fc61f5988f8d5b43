"""How the solvers with memory write their formulas.

A tensor is represented by the vector of its factors over (latents, memory..., output).  So a formula looks as in its
paper, and its result is a row of the update matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.schedule.first_order import Factors, scaled_start
from mobile_diffusion.schedule.grids import Grid
from mobile_diffusion.schedule.levels import Level
from mobile_diffusion.schedule.table import Matrix, StepTable

Vector: TypeAlias = NDArray[np.float64]
"""Factors of latents, memory and output, in this order."""
Predict: TypeAlias = Callable[[Level], Factors]
"""Level -> factors a and b of the prediction a x + b m that a solver remembers."""
Move: TypeAlias = Callable[[int, Vector, Sequence[Vector]], Vector]
"""Step, latents, and the predictions that are known, newest first -> the next latents."""


def matrix(*rows: Vector) -> Matrix:
    """Convert rows to tuples of floats."""
    return tuple(tuple(row.tolist()) for row in rows)


def table_of(
    times: Iterable[float],
    update: Sequence[Matrix],
    levels: Iterable[Level],
    noise: Sequence[float] | None = None,
    start: float = 1.0,
) -> StepTable:
    """Build a table of matrices; `start` is the factor of the initial latents as the network sees them."""
    alphas, sigmas = zip(*levels, strict=True)
    ones, none = (1.0,) * len(update), (0.0,) * len(update)
    table = StepTable(tuple(map(float, times)), ones, tuple(update), tuple(noise or none), alphas, sigmas)
    return scaled_start(table, start)


def remembering_table(
    grid: Grid, memory: int, predict: Predict, move: Move, noise: Sequence[float] | None = None
) -> StepTable:
    """Build the table of a solver that remembers its last `memory` predictions, newest first."""
    update = []
    for step, level in enumerate(grid.path[:-1]):
        latents, *remembered, output = np.eye(memory + 2)
        a, b = predict(level)
        known = [a * latents + b * output, *remembered[:step]]
        kept = [*known, *[np.zeros_like(latents)] * memory][:memory]
        update.append(matrix(move(step, latents, known), *kept))
    return table_of(grid.times, update, grid.path[:-1], noise, grid.start)
