"""Intervals against SciPy's bootstrap, on the same resamples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality import Interval, mean_interval
from mobile_diffusion.quality.bootstrap import LEVEL, RESAMPLES


@pytest.mark.parametrize("count", [2, 25, 200])
def test_against_scipy(count: int) -> None:
    values = np.random.default_rng(count).gamma(2.0, size=count)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", rng=5
    ).confidence_interval
    found = mean_interval(values, seed=5)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found == mean_interval(values, seed=5)
    assert (found == mean_interval(values, seed=6)) == (count == 2)  # two values have few resamples


def test_covers_the_truth() -> None:
    generator = np.random.default_rng(0)
    intervals = [mean_interval(generator.random(40) < 0.3, seed) for seed in range(200)]
    covered = np.mean([each.low <= 0.3 <= each.high for each in intervals])
    assert 0.88 <= covered <= 0.99


def test_without_spread() -> None:
    assert mean_interval([0.5] * 7) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, np.nan], [np.inf, 1.0]])
def test_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="bootstrap: expected"):
        mean_interval(values)
