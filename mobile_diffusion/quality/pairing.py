"""Compares two models: ratios of their metrics with paired bootstrap intervals.

Both models drew the same prompts with the same seeds, so the same prompts were easy or hard for both.  Every resample
therefore takes the same prompts of both models, and the interval shows only the difference between them; two separate
intervals would be too wide to compare.  Each set of prompts is resampled separately, because its size is fixed.

A ratio with a denominator of zero or less is undefined: NaN for the metric, infinity for a resample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import LEVEL, Interval, resample

Sets = Sequence[Sequence[float]]
"""A value per prompt, per set of prompts."""


def ratio_of_means(ours: Sets, theirs: Sets, seed: int = 0) -> Interval:
    """The mean of our values over all prompts, divided by the mean of theirs, with its interval.

    Raises DataError when the numbers of prompts differ.
    """
    generator = np.random.default_rng(seed)
    totals = [np.zeros(0), np.zeros(0)]
    for number, (left, right) in enumerate(_paired(ours, theirs)):
        places = resample(len(left), generator)  # (R, N)
        drawn = [np.asarray(values, dtype=np.float64)[places].sum(axis=1) for values in (left, right)]
        totals = drawn if number == 0 else [total + more for total, more in zip(totals, drawn, strict=True)]
    sums = [sum(sum(values) for values in side) for side in (ours, theirs)]
    return _ratio(sums[0], sums[1], totals[0], totals[1])


def ratio_of_resampled(
    ours: Sequence[float], theirs: Sequence[float], our_resamples: Sets, their_resamples: Sets
) -> Interval:
    """The ratio of means over sets, ours to theirs, of a metric that was resampled with the same seed, such as KID.

    Args:
        ours: our value per set.
        theirs: their value per set.
        our_resamples: our value on every resample, per set; resamples with NaN are left out.
        their_resamples: theirs.

    Raises DataError when the numbers of resamples differ.
    """
    _paired(our_resamples, their_resamples)
    drawn = [np.asarray(side, dtype=np.float64).mean(axis=0) for side in (our_resamples, their_resamples)]  # (R,)
    kept = np.isfinite(drawn[0]) & np.isfinite(drawn[1])
    return _ratio(float(np.mean(ours)), float(np.mean(theirs)), drawn[0][kept], drawn[1][kept])


def median_ratio(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Interval:
    """The median over rounds of our time divided by theirs in the same round, with its interval.

    Raises DataError when the numbers of rounds differ.
    """
    ((left, right),) = _paired([ours], [theirs])
    ratios = np.asarray(left, dtype=np.float64) / np.asarray(right, dtype=np.float64)
    drawn = np.median(ratios[resample(len(ratios), np.random.default_rng(seed))], axis=1)
    return _ratio(float(np.median(ratios)), 1.0, drawn, np.ones_like(drawn))


def _paired(ours: Sets, theirs: Sets) -> list[tuple[Sequence[float], Sequence[float]]]:
    sizes = [[len(values) for values in side] for side in (ours, theirs)]
    if sizes[0] != sizes[1] or not all(sizes[0]) or not sizes[0]:
        raise DataError(f"pairing: expected equal numbers of values, got {sizes[0]} and {sizes[1]}; measure both again")
    return list(zip(ours, theirs, strict=True))


def _ratio(ours: float, theirs: float, left: NDArray[np.float64], right: NDArray[np.float64]) -> Interval:
    """The ratio `ours` / `theirs`, and its percentile interval from both sides of every resample (R,)."""
    value = ours / theirs if theirs > 0 else float("nan")
    ratios = np.divide(left, right, out=np.full_like(left, np.inf), where=right > 0)
    if not len(ratios):
        return Interval(value, float("nan"), float("nan"))
    shares = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    low, high = np.percentile(ratios, shares, method="inverted_cdf")  # no interpolation: infinity stays infinity
    return Interval(value, float(low), float(high))
