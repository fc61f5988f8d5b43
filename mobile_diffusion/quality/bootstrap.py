"""Confidence intervals by the bootstrap (Efron 1979): what a figure could have been on other pictures.

Percentile intervals of resamples with replacement, from a seeded generator, so that the same figures give the same
interval.  Of values that are all equal the interval has no width: none found among 48 still leaves a share of some
percent possible.  KID has its own resampling (kid.py), because resampled pictures must not be compared with themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.errors import DataError

LEVEL = 0.95
"""Share of resamples that an interval covers."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap confidence interval at `LEVEL`."""

    value: float
    """The figure on the pictures themselves, not the mean of the resamples."""
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def resample(count: int, generator: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Indices int64 (resamples, count), drawn with replacement from 0..count - 1."""
    return generator.integers(0, count, (resamples, count))


def percentiles(value: float, resampled: NDArray[np.float64]) -> Interval:
    """The interval of a figure from what it is on the resamples (R,); raises DataError for NaN."""
    if not (np.isfinite(value) and np.isfinite(resampled).all()):
        raise DataError(f"bootstrap: expected finite figures, got {value} and {resampled}; look at the pictures")
    low, high = np.percentile(resampled, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(value, float(low), float(high))


def mean_interval(values: Sequence[float] | NDArray[np.float64], seed: int = 0) -> Interval:
    """The mean of independent values (N,) with its interval; raises DataError for none, NaN and infinity."""
    figures = np.asarray(values, dtype=np.float64)
    if figures.ndim != 1 or not len(figures):
        raise DataError(f"bootstrap: expected some values in a row, got shape {figures.shape}")
    drawn = figures[resample(len(figures), np.random.default_rng(seed))]  # (R, N)
    return percentiles(float(figures.mean()), drawn.mean(axis=1))
