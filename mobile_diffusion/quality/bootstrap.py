"""Bootstrap confidence intervals (Efron 1979): the range that a metric could have on other pictures.

These are percentile intervals of resamples with replacement.  The generator is seeded, so the same values always
return the same interval.  When all values are equal the interval has no width, which understates the uncertainty: a
share of 0 among 48 pictures is still compatible with a few percent.  KID has its own resampling (kid.py), because a
picture must not be compared with itself.
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
    """A metric with its bootstrap confidence interval at `LEVEL`."""

    value: float
    """The metric on the original pictures, not the mean over resamples."""
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def resample(count: int, generator: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Draw indices int64 (resamples, count) with replacement from 0..count - 1."""
    return generator.integers(0, count, (resamples, count))


def percentiles(value: float, resampled: NDArray[np.float64]) -> Interval:
    """The interval of a metric from its values on the resamples (R,); raises DataError for NaN and infinity."""
    if not (np.isfinite(value) and np.isfinite(resampled).all()):
        raise DataError(f"bootstrap: expected finite values, got {value} and {resampled}; check the pictures")
    low, high = np.percentile(resampled, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(value, float(low), float(high))


def mean_interval(values: Sequence[float] | NDArray[np.float64], seed: int = 0) -> Interval:
    """The mean of independent values (N,) with its interval; raises DataError without values, or for NaN or infinity.

    `seed` is that of the resampling.
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.ndim != 1 or not len(figures):
        raise DataError(f"bootstrap: expected one or more values of shape (N,), got {figures.shape}; pass a list")
    drawn = figures[resample(len(figures), np.random.default_rng(seed))]  # (R, N)
    return percentiles(float(figures.mean()), drawn.mean(axis=1))
