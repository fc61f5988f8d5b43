"""Ratios of energies in decibels, computed in float64.  All decibels in this project come from here.

The ratio of equal arrays is infinity.  With NaN or infinity among the values it is NaN or minus infinity.  So check a
limit as `not ratio >= limit`, which rejects both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mobile_diffusion.errors import ParityError

MAX_DB = 300.0
"""Replaces infinity, the ratio of equal arrays, in JSON."""


def ratio_db(signal: float, error: float) -> float:
    """10 log10(signal / error) of two energies; infinity for an error of 0, NaN if either is NaN."""
    if error == 0:
        return math.inf if math.isfinite(signal) else math.nan
    with np.errstate(all="ignore"):
        return float(10 * np.log10(np.float64(signal) / np.float64(error)))


def share_db(share: float) -> float:
    """10 log10(1 / share), where `share` is the error's energy divided by the signal's."""
    return ratio_db(1.0, share)


def share_of(decibels: float) -> float:
    """The error's energy divided by the signal's at a ratio in dB; the inverse of `share_db`."""
    return float(10 ** (-decibels / 10))


def gain_db(factor: float) -> float:
    """20 log10(factor) of a factor of amplitudes, which must be above 0."""
    return 20 * math.log10(factor)


def snr_db(reference: ArrayLike, candidate: ArrayLike) -> float:
    """SNR in dB, 10 log10(sum reference^2 / sum (reference - candidate)^2).

    Raises ParityError when the shapes differ or the arrays are empty.
    """
    left, right = float64_pair(reference, candidate)
    with np.errstate(all="ignore"):
        return ratio_db(float(np.sum(left**2)), float(np.sum((left - right) ** 2)))


def psnr_db(reference: ArrayLike, candidate: ArrayLike) -> float:
    """PSNR in dB of pictures in [0, 1], 10 log10(1 / mean (reference - candidate)^2).

    Raises ParityError when the shapes differ or the arrays are empty.
    """
    left, right = float64_pair(reference, candidate)
    with np.errstate(all="ignore"):
        return ratio_db(1.0, float(np.mean((left - right) ** 2)))


def psnr_each(images: Tensor, others: Tensor, span: float = 1.0) -> Tensor:
    """PSNR in dB per pair of pictures (N, 3, H, W), float64 (N,); `span` is the largest possible difference."""
    error = (images - others).double().square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(span**2 / error)


def worst(ratios: Iterable[float]) -> float:
    """The smallest ratio; NaN if one is NaN or there are none."""
    values = list(ratios)
    return float(np.min(values)) if values else math.nan


def json_number(value: float) -> float | None:
    """Convert a value for JSON: infinity to MAX_DB (minus infinity to -MAX_DB), NaN to None."""
    if math.isnan(value):
        return None
    return math.copysign(MAX_DB, value) if math.isinf(value) else value


def db_text(ratio: float) -> str:
    """Format a ratio for people.

    >>> db_text(80.25), db_text(math.inf)
    ('80.2 dB', 'equal')
    """
    return "equal" if ratio == math.inf else f"{ratio:.1f} dB"


def float64_pair(reference: ArrayLike, candidate: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert both arrays to float64; raise ParityError when the shapes differ or the arrays are empty."""
    left, right = np.asarray(reference, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if left.shape != right.shape:
        raise ParityError(f"expected an output of shape {left.shape}, as PyTorch returns, got {right.shape}")
    if left.size == 0:
        raise ParityError("expected an output with values, got an empty array")
    return left, right
