"""The step table: a whole sampler as constants.  Exported graphs and apps need nothing else of a solver.

Every solver is linear in the latents, in a few tensors from earlier steps, and in the network's output, so a step is
one small matrix.  solvers.py and the modules that it names compute the matrices.

A drawing that begins late (image-to-image) skips steps.  A solver with memory then has none yet, so its next steps are
of a lower order: the table has rows for them, after those of a whole drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mobile_diffusion.errors import ConfigError

Matrix: TypeAlias = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class StepTable:
    """The constants of N evaluations of the network.  The initial latents are standard normal noise.

    Step i maps the state s = (latents, p_1, ..., p_{K-1}), where K = 1 + memory and every p is initially zero, to
    s' = update[i] (s, m).  Here m is the network's output for `inputs[i] * latents` at `timesteps[i]`.  Then
    `noise[i]` times new standard normal noise is added to the latents.

    Raises ConfigError when the columns differ in length, a matrix has a wrong shape, or a value is not finite.
    """

    timesteps: tuple[float, ...]
    """Training timestep per evaluation; it may be fractional."""
    inputs: tuple[float, ...]
    """Factor by which the latents are multiplied for the network; 1 unless a solver starts from scaled noise."""
    update: tuple[Matrix, ...]
    """Matrix per step: K rows of K + 1 factors."""
    noise: tuple[float, ...]
    """Factor of the noise that is added to the latents; 0 for a deterministic step."""
    alphas: tuple[float, ...]
    """Before step i the latents are alphas[i] * clean + sigmas[i] * noise, up to the solver's error."""
    sigmas: tuple[float, ...]
    starts: tuple[tuple[int, ...], ...] = ()
    """Rows that a drawing evaluates, in order, when it skips 0, 1, ... steps; () when it evaluates all rows that are
    left."""

    def __post_init__(self) -> None:
        columns = (self.timesteps, self.inputs, self.update, self.noise, self.alphas, self.sigmas)
        lengths = sorted({len(column) for column in columns})
        if len(lengths) != 1 or not self.timesteps:
            raise ConfigError(f"step table: expected columns of one length, at least 1, got lengths {lengths}")
        rows = len(self.update[0])
        square = all(len(matrix) == rows and all(len(row) == rows + 1 for row in matrix) for matrix in self.update)
        if not rows or not square:
            raise ConfigError(f"step table: expected update matrices of {rows} rows and {rows + 1} columns")
        if not all(math.isfinite(value) for value in self._values()):
            raise ConfigError("step table: a coefficient is not finite; choose another solver, spacing or prediction")
        if not all(path and min(path) >= 0 and max(path) < len(self) for path in self.starts):
            raise ConfigError(f"step table: expected starts with rows from 0 to {len(self) - 1}, got {self.starts}")

    def __len__(self) -> int:
        return len(self.timesteps)

    def rows(self, skipped: int = 0) -> tuple[int, ...]:
        """The rows that a drawing evaluates, in order, when it skips the first `skipped` steps."""
        return rows_after(self.starts, len(self), skipped)

    def _values(self) -> Iterator[float]:
        """Every number of the table."""
        for column in (self.timesteps, self.inputs, self.noise, self.alphas, self.sigmas):
            yield from column
        for matrix in self.update:
            for row in matrix:
                yield from row

    def evaluations(self) -> tuple[int, ...]:
        """The evaluation of a whole drawing that each row stands for: several where a drawing may begin late."""
        found, count = list(range(len(self))), len(self.rows())
        for path in self.starts:
            for evaluation, row in enumerate(path, count - len(path)):
                found[row] = evaluation
        return tuple(found)

    @property
    def memory(self) -> int:
        """Number of tensors besides the latents, each of their shape, that one step passes to the next."""
        return len(self.update[0]) - 1

    @property
    def stochastic(self) -> bool:
        """Whether any step adds noise."""
        return any(self.noise)


def rows_after(starts: Sequence[Sequence[int]], count: int, skipped: int) -> tuple[int, ...]:
    """The rows, of `count`, of a drawing that skips `skipped` steps; `starts` is that of `StepTable`."""
    return tuple(starts[skipped]) if starts else tuple(range(skipped, count))
