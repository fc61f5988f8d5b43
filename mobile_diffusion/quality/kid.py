"""KID, the kernel Inception distance (Binkowski et al. 2018) between a set of drawn and a set of real pictures.

KID is the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, lemma 6) between features,
with the kernel (x . y / d + 1)^3.  Unlike FID it is unbiased for any number of pictures, so a few hundred are enough;
it can be slightly below zero.  Everything is computed in float64.
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
    """(x . y / D + 1)^3 of every pair of features (M, D) and (N, D): float64 (M, N)."""
    return (left.double() @ right.double().T / left.shape[1] + 1) ** DEGREE


def kid(
    real_features: Tensor,
    fake_features: Tensor,
    subset_size: int | None = None,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> float:
    """KID between features (M, D) and (N, D).

    With `subset_size`, it is the mean over `subsets` random subsets, drawn without replacement.  Most published values
    use subsets: the expectation is the same, and less memory is needed.  Raises DataError for fewer than two pictures
    on a side, for widths that differ, for a `subset_size` out of range, and for NaN or infinity.
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
    """KID of all features with its bootstrap interval; both sides are resampled independently.

    Raises DataError as `kid` does.
    """
    return resampled_kid(real_features, fake_features, seed)[0]


def resampled_kid(real_features: Tensor, fake_features: Tensor, seed: int = 0) -> tuple[Interval, NDArray[np.float64]]:
    """`kid_interval`, and the KID of every resample: float64 (R,).

    Resample n takes the same rows of both sides whatever the features are, so two models that drew the same prompts
    can be compared resample by resample (pairing.py).

    A resample contains picture i w_i times.  Pairs of a picture with itself are left out, because each would add
    k(x, x) and make every resample too high.  The sum is divided by the weight of the remaining pairs.  A resample
    that contains only one picture has no such pair; it is NaN and is left out of the interval.  With fewer than about
    twenty pictures the interval is too narrow.
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
            raise DataError(f"{name} features: expected finite values, got NaN or infinity; check the pictures")
    if real.shape[1] != fake.shape[1]:
        raise DataError(f"features: expected the same width, got {real.shape[1]} and {fake.shape[1]}; use one network")


def _kernels(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The kernels (M, M) of real with real, (N, N) of fake with fake, (M, N) of real with fake.

    Pairs of a picture with itself are zero.
    """
    within = (polynomial_kernel(side, side).fill_diagonal_(0) for side in (real, fake))
    return (*within, polynomial_kernel(real, fake))  # type: ignore[return-value]


def _mmd(real: Tensor, fake: Tensor, across: Tensor) -> Tensor:
    """The unbiased estimate from the three kernels."""
    within = (kernel.sum() / (len(kernel) * (len(kernel) - 1)) for kernel in (real, fake))
    return sum(within) - 2 * across.mean()


def _weights(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How often each resample contains each of `count` pictures: float64 (R, count)."""
    drawn = resample(count, generator)
    return np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)


def _weighted_mmd(
    real: NDArray[np.float64],
    fake: NDArray[np.float64],
    across: NDArray[np.float64],
    real_weights: NDArray[np.float64],
    fake_weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`_mmd` of every resample: float64 (R,), NaN for a resample that contains only one picture of a side."""
    within = np.zeros(len(real_weights))
    for kernel, weights in ((real, real_weights), (fake, fake_weights)):
        pairs = len(kernel) ** 2 - (weights**2).sum(axis=1)  # weight of the pairs of two pictures
        total = ((weights @ kernel) * weights).sum(axis=1)
        within += np.divide(total, pairs, out=np.full_like(total, np.nan), where=pairs > 0)
    between = ((real_weights @ across) * fake_weights).sum(axis=1) / across.size
    return within - 2 * between
