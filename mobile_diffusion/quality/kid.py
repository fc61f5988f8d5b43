"""KID, the kernel Inception distance (Binkowski et al. 2018): how far drawn pictures are from real ones as a set.

KID is the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, lemma 6) between features,
with the kernel (x . y / d + 1)^3.  Unlike FID it is unbiased at any number of pictures, so some hundred suffice, and
it can be slightly below zero.  All in float64.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import Interval, percentiles, resample

DEGREE = 3
SUBSETS = 100


def polynomial_kernel(left: Tensor, right: Tensor) -> Tensor:
    """Features (M, D) and (N, D) -> (x . y / D + 1)^3 of every pair, float64 (M, N)."""
    return (left.double() @ right.double().T / left.shape[1] + 1) ** DEGREE


def kid(
    real_features: Tensor,
    fake_features: Tensor,
    subset_size: int | None = None,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> float:
    """KID between features (M, D) and (N, D), over all of them, or the mean over random subsets of one size.

    Subsets, drawn without replacement, are what most published figures use: the expectation is the same, memory is
    less.  Raises DataError for fewer than two pictures on a side, for widths that differ, and for NaN.
    """
    _check(real_features, fake_features)
    if subset_size is None:
        return float(_mmd(*_kernels(real_features, fake_features)))
    smaller = min(len(real_features), len(fake_features))
    if not 2 <= subset_size <= smaller:
        raise DataError(f"subset_size: expected 2 to {smaller} pictures, got {subset_size}")
    generator = np.random.default_rng(seed)

    def choose(features: Tensor) -> Tensor:
        return features[generator.permutation(len(features))[:subset_size]]

    return float(np.mean([kid(choose(real_features), choose(fake_features)) for _ in range(subsets)]))


def kid_interval(real_features: Tensor, fake_features: Tensor, seed: int = 0) -> Interval:
    """KID over all features with its bootstrap interval; both sides are resampled, independently."""
    return resampled_kid(real_features, fake_features, seed)[0]


def resampled_kid(real_features: Tensor, fake_features: Tensor, seed: int = 0) -> tuple[Interval, NDArray[np.float64]]:
    """`kid_interval`, and the KID of every resample, float64 (R,).

    Resample n takes the same places of both sides whatever the features are, so two models that drew the same prompts
    can be compared resample by resample (pairing.py).

    A resample counts each picture w_i times.  A picture that was drawn twice is no pair of pictures: taken as one it
    would add k(x, x), and every resample would be too high.  So pairs of one picture with itself are left out,
    and the sum is divided by the weight of the pairs that stay.  Resamples in which one picture is all that was drawn
    have no such pair, are NaN and are left out of the interval.  Of fewer than some twenty pictures the interval comes
    out too narrow.
    """
    _check(real_features, fake_features)
    kernels = _kernels(real_features, fake_features)
    generator = np.random.default_rng(seed)
    weights = [_weights(len(side), generator) for side in (real_features, fake_features)]
    resampled = _weighted_mmd(*(kernel.numpy() for kernel in kernels), *weights)
    defined = resampled[np.isfinite(resampled)]
    return percentiles(float(_mmd(*kernels)), defined), resampled


def _check(real: Tensor, fake: Tensor) -> None:
    for name, features in (("real", real), ("fake", fake)):
        if features.ndim != 2 or len(features) < 2:
            raise DataError(f"{name} features: expected two pictures or more (N, D), got {tuple(features.shape)}")
        if not torch.isfinite(features).all():
            raise DataError(f"{name} features: expected finite values, got NaN or infinity; look at the pictures")
    if real.shape[1] != fake.shape[1]:
        raise DataError(f"features: expected one width, got {real.shape[1]} and {fake.shape[1]}")


def _kernels(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Real with real, fake with fake, real with fake; pairs of a picture with itself are zero."""
    within = (polynomial_kernel(side, side).fill_diagonal_(0) for side in (real, fake))
    return (*within, polynomial_kernel(real, fake))  # type: ignore[return-value]


def _mmd(real: Tensor, fake: Tensor, across: Tensor) -> Tensor:
    """The unbiased estimate from the three kernels."""
    within = (kernel.sum() / (len(kernel) * (len(kernel) - 1)) for kernel in (real, fake))
    return sum(within) - 2 * across.mean()


def _weights(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `count` pictures is in each resample: float64 (R, count)."""
    drawn = resample(count, generator)
    return np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)


def _weighted_mmd(
    real: NDArray[np.float64],
    fake: NDArray[np.float64],
    across: NDArray[np.float64],
    real_weights: NDArray[np.float64],
    fake_weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`_mmd` of every resample (R,), NaN where one picture is all that was drawn."""
    within = np.zeros(len(real_weights))
    for kernel, weights in ((real, real_weights), (fake, fake_weights)):
        pairs = len(kernel) ** 2 - (weights**2).sum(axis=1)  # weight of the pairs of two pictures
        total = ((weights @ kernel) * weights).sum(axis=1)
        within += np.divide(total, pairs, out=np.full_like(total, np.nan), where=pairs > 0)
    between = ((real_weights @ across) * fake_weights).sum(axis=1) / across.size
    return within - 2 * between
