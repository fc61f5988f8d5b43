"""Ratios with paired intervals, against loops of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import RESAMPLES, Interval
from mobile_diffusion.quality.pairing import median_ratio, ratio_of_means, ratio_of_resampled


def by_loops(ours: list[list[float]], theirs: list[list[float]], seed: int) -> Interval:
    """Every resample summed prompt by prompt; the interval from the sorted ratios."""
    generator = np.random.default_rng(seed)
    places = [generator.integers(0, len(values), (RESAMPLES, len(values))) for values in ours]
    ratios = []
    for n in range(RESAMPLES):
        left = sum(values[i] for values, each in zip(ours, places, strict=True) for i in each[n])
        right = sum(values[i] for values, each in zip(theirs, places, strict=True) for i in each[n])
        ratios.append(left / right)
    ratios.sort()  # (1 - 0.95) / 2 is a little more than 1 / 40 in float64
    value = sum(map(sum, ours)) / sum(map(sum, theirs))
    return Interval(value, ratios[RESAMPLES // 40], ratios[39 * RESAMPLES // 40 - 1])


def sets_of(seed: int, shift: float) -> list[list[float]]:
    generator = np.random.default_rng(seed)
    return [(generator.random(count) + shift).tolist() for count in (7, 12)]


def test_against_loops() -> None:
    ours, theirs = sets_of(1, 0.2), sets_of(2, 0.5)
    found, expected = ratio_of_means(ours, theirs, seed=3), by_loops(ours, theirs, 3)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_pairing_is_narrower_than_other_prompts() -> None:
    theirs = sets_of(1, 0.1)
    paired = [[0.9 * value for value in values] for values in theirs]
    found = ratio_of_means(paired, theirs)
    assert found.high - found.low < 1e-12 and found.value == pytest.approx(0.9)
    other = ratio_of_means([values[::-1] for values in paired], theirs)
    assert other.value == pytest.approx(0.9) and other.high - other.low > 0.1


def test_a_denominator_that_is_not_above_zero_is_no_ratio() -> None:
    found = ratio_of_means([[1.0, 1.0]], [[1.0, -1.0]])
    assert math.isnan(found.value) and found.high == math.inf
    found = ratio_of_means([[1.0] * 4], [[3.0, -1.0, -1.0, 1.0]])
    assert found.value == 2.0 and found.high == math.inf


def test_resampled_figures_are_compared_resample_by_resample() -> None:
    ours = [[2.0, 4.0, math.nan, 6.0], [2.0, 4.0, 1.0, 6.0]]
    theirs = [[1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 2.0]]
    found = ratio_of_resampled([2.0, 4.0], [1.0, 1.0], ours, theirs)
    assert found == Interval(3.0, 2.0, 4.0)  # of 2, 4 and 3; the third resample gave none
    nothing = ratio_of_resampled([2.0], [1.0], [[math.nan]], [[1.0]])
    assert nothing.value == 2.0 and math.isnan(nothing.low)


def test_median_over_rounds() -> None:
    found = median_ratio([20.0, 44.0, 60.0], [10.0, 11.0, 20.0])
    assert found.value == 3.0 and (found.low, found.high) == (2.0, 4.0)


def test_other_prompts_are_refused() -> None:
    for ours, theirs in (([[1.0]], [[1.0, 2.0]]), ([[]], [[]]), ([], []), ([[1.0]], [[1.0], [1.0]])):
        with pytest.raises(DataError, match="pairing: expected equal numbers of values"):
            ratio_of_means(ours, theirs)
