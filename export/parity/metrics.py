"""How far an array is from its reference, in float64.

Everything is normalised by the reference, never by the candidate: a candidate that explodes cannot flatter
itself.  NaN or infinity in a candidate gives NaN or minus infinity, which no limit accepts (gates.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mobile_diffusion.decibels import float64_pair, psnr_db, snr_db

_SSIM_WINDOW = 7
_SSIM_K1, _SSIM_K2 = 0.01, 0.03


@dataclass(frozen=True)
class Metrics:
    """Distance of one array from its reference."""

    snr_db: float
    """Energy of the reference over energy of the error; infinity when equal."""
    max_abs: float
    cosine: float
    finite: bool
    """False when the candidate (or the reference) holds NaN or infinity."""


@dataclass(frozen=True)
class PictureMetrics:
    """Distance of one picture in [0, 1] from its reference."""

    psnr_db: float
    ssim: float
    finite: bool


def compare(reference: ArrayLike, candidate: ArrayLike) -> Metrics:
    """All metrics of two arrays of one shape; raises `ParityError` when the shapes differ."""
    left, right = float64_pair(reference, candidate)
    finite = bool(np.isfinite(left).all() and np.isfinite(right).all())
    return Metrics(snr_db(left, right), max_abs(left, right), cosine(left, right), finite)


def compare_pictures(reference: ArrayLike, candidate: ArrayLike) -> PictureMetrics:
    """PSNR and SSIM of two pictures (1, C, H, W) in [0, 1]; raises `ParityError` when the shapes differ."""
    left, right = float64_pair(reference, candidate)
    finite = bool(np.isfinite(left).all() and np.isfinite(right).all())
    return PictureMetrics(psnr_db(left, right), ssim(left, right), finite)


def max_abs(reference: ArrayLike, candidate: ArrayLike) -> float:
    """Largest absolute difference; NaN when there is a NaN."""
    left, right = float64_pair(reference, candidate)
    with np.errstate(all="ignore"):
        return float(np.max(np.abs(left - right)))


def cosine(reference: ArrayLike, candidate: ArrayLike) -> float:
    """Cosine of the angle between two arrays; NaN when one of them is zero or not finite."""
    left, right = float64_pair(reference, candidate)
    with np.errstate(all="ignore"):
        return float(np.sum(left * right) / np.sqrt(np.sum(left**2) * np.sum(right**2)))


def ssim(reference: ArrayLike, candidate: ArrayLike) -> float:
    """Structural similarity (Wang et al. 2004) of (1, C, H, W) in [0, 1], mean over channels and windows.

    Uniform windows of 7 x 7 that lie in the picture, unbiased variances; a smaller picture is one window.
    """
    left, right = float64_pair(reference, candidate)
    count = min(_SSIM_WINDOW, *left.shape[-2:]) ** 2
    unbiased = count / (count - 1)
    with np.errstate(all="ignore"):
        mean_l, mean_r = _window_mean(left), _window_mean(right)
        variance_l = unbiased * (_window_mean(left**2) - mean_l**2)
        variance_r = unbiased * (_window_mean(right**2) - mean_r**2)
        covariance = unbiased * (_window_mean(left * right) - mean_l * mean_r)
        c1, c2 = _SSIM_K1**2, _SSIM_K2**2
        numerator = (2 * mean_l * mean_r + c1) * (2 * covariance + c2)
        denominator = (mean_l**2 + mean_r**2 + c1) * (variance_l + variance_r + c2)
        return float(np.mean(numerator / denominator))


def _window_mean(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1, C, H, W) -> mean of every whole window (1, C, H-6, W-6)."""
    height, width = (min(_SSIM_WINDOW, size) for size in images.shape[-2:])
    windows = np.lib.stride_tricks.sliding_window_view(images, (height, width), axis=(-2, -1))
    return np.asarray(windows.mean(axis=(-2, -1)))
