"""How the solvers with memory write their formulas.

A tensor is represented by the vector of its factors over (latents, memory..., output).  So a formula looks as in its
paper, and its result is a row of the update matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
    starts: tuple[tuple[int, ...], ...] = (),
) -> StepTable:
    """Build a table of matrices; `start` is the factor of the initial latents as the network sees them."""
    alphas, sigmas = zip(*levels, strict=True)
    ones, none = (1.0,) * len(update), (0.0,) * len(update)
    table = StepTable(tuple(map(float, times)), ones, tuple(update), tuple(noise or none), alphas, sigmas, starts)
    return scaled_start(table, start)


def remembering_table(
    grid: Grid, memory: int, predict: Predict, move: Move, noise: Sequence[float] | None = None
) -> StepTable:
    """Build the table of a solver that remembers its last `memory` predictions, newest first."""

    def update(step: int, age: int) -> Matrix:
        latents, *remembered, output = np.eye(memory + 2)
        a, b = predict(grid.path[step])
        known = [a * latents + b * output, *remembered[:age]]
        kept = [*known, *[np.zeros_like(latents)] * memory][:memory]
        return matrix(move(step, latents, known), *kept)

    count = len(grid.times)
    rows = rows_with_starts(count, count, memory, update)
    times, levels = [grid.times[step] for step in rows.steps], [grid.path[step] for step in rows.steps]
    noises = None if noise is None else [noise[step] for step in rows.steps]
    return table_of(times, rows.matrices, levels, noises, grid.start, rows.starts)


@dataclass(frozen=True)
class Rows:
    """The rows of a solver with memory: those of a whole drawing, then those of drawings that begin late."""

    matrices: list[Matrix]
    steps: list[int]
    """The evaluation of a whole drawing that each row belongs to: its timestep, level and noise."""
    starts: tuple[tuple[int, ...], ...]
    """`StepTable.starts`."""


def rows_with_starts(evaluations: int, steps: int, memory: int, update: Callable[[int, int], Matrix]) -> Rows:
    """Build the rows from `update`: evaluation, and evaluations that a drawing made before it -> matrix.

    A drawing may skip 0 to `steps` - 1 evaluations.  Its first `memory` evaluations remember less than those of a whole
    drawing; they have rows of their own where that makes a difference.
    """
    matrices, of_rows = [update(each, each) for each in range(evaluations)], list(range(evaluations))
    starts = [tuple(of_rows)]
    for skipped in range(1, steps) if memory else ():
        path = list(range(skipped, evaluations))
        for age, each in enumerate(path[:memory]):
            late = update(each, age)
            if late != matrices[each]:
                path[age] = len(matrices)
                matrices.append(late)
                of_rows.append(each)
        starts.append(tuple(path))
    return Rows(matrices, of_rows, tuple(starts) if len(starts) > 1 else ())
