"""The step table: a whole sampler as constants, which is all that an artifact or an app has to know.

Every solver here is linear in the latents, in a few remembered tensors and in the network's output, so one step
is one small matrix.  How the matrices come about is in solvers.py and multistep.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from mobile_diffusion.errors import ConfigError

Matrix: TypeAlias = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class StepTable:
    """N evaluations of the network, first one first; the first latents are standard normal noise.

    With K = 1 + memory, s the K tensors (latents, p_1 .. p_{K-1}), p zero at the beginning, and m the network's
    output for `inputs[i] * latents` at `timesteps[i]`: s' = update[i] (s, m), and `noise[i]` times fresh standard
    normal noise is then added to the latents.  ConfigError if the columns differ in length or are not finite.
    """

    timesteps: tuple[float, ...]
    """Training timestep that the network sees; not always a whole number."""
    inputs: tuple[float, ...]
    """Factor of the latents as the network sees them; 1 but where a solver starts from scaled noise."""
    update: tuple[Matrix, ...]
    """Matrix of every step: K rows of K + 1 factors."""
    noise: tuple[float, ...]
    """Factor of the noise that is added to the latents; 0 for a deterministic step."""
    alphas: tuple[float, ...]
    """Before step i the latents are alphas[i] * clean + sigmas[i] * noise, up to the solver's error."""
    sigmas: tuple[float, ...]

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

    def __len__(self) -> int:
        return len(self.timesteps)

    def _values(self) -> Iterator[float]:
        """Every number of the table."""
        for column in (self.timesteps, self.inputs, self.noise, self.alphas, self.sigmas):
            yield from column
        for matrix in self.update:
            for row in matrix:
                yield from row

    @property
    def memory(self) -> int:
        """Tensors, of the latents' shape, that one step hands to the next beside the latents."""
        return len(self.update[0]) - 1

    @property
    def stochastic(self) -> bool:
        """Whether any step adds noise."""
        return any(self.noise)
