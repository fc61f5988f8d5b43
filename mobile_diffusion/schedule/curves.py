"""Ways to space the noise levels of N steps between the highest and the lowest, other than by timesteps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

KARRAS_RHO = 7.0
BETA_SHAPE = 0.6
"""Both parameters of the beta distribution, as in diffusers."""
SERIES_TERMS, HALVINGS = 64, 80


def karras_ratios(highest: float, lowest: float, count: int) -> NDArray[np.float64]:
    """`count` noise ratios from highest to lowest, float64 (count,) (Karras et al. 2022, eq. 5)."""
    ramp = np.linspace(0, 1, count)
    high, low = highest ** (1 / KARRAS_RHO), lowest ** (1 / KARRAS_RHO)
    return (high + ramp * (low - high)) ** KARRAS_RHO


def exponential_ratios(highest: float, lowest: float, count: int) -> NDArray[np.float64]:
    """`count` noise ratios with even logarithms; diffusers' "lu" spacing (Lu et al. 2022) is the same."""
    return np.exp(np.linspace(math.log(highest), math.log(lowest), count))


def beta_ratios(highest: float, lowest: float, count: int) -> NDArray[np.float64]:
    """`count` noise ratios at even quantiles of a beta distribution (Lee et al. 2024)."""
    shares = np.array([beta_quantile(float(share)) for share in 1 - np.linspace(0, 1, count)])
    return lowest + shares * (highest - lowest)


def beta_quantile(share: float) -> float:
    """The x below which a symmetric beta distribution of shape 0.6 has `share` of its mass, by bisection."""
    if share > 0.5:  # the series converges quickly below 0.5 only
        return 1 - beta_quantile(1 - share)
    whole = math.gamma(BETA_SHAPE) ** 2 / math.gamma(2 * BETA_SHAPE)
    low, high = 0.0, 0.5
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _incomplete_beta(middle) < share * whole else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float) -> float:
    """The integral of (t (1 - t))^(a - 1) from 0 to x, a being the shape, by its power series in x."""
    total, factor = 0.0, 1.0
    for n in range(SERIES_TERMS):
        total += factor / (BETA_SHAPE + n)
        factor *= (n + 1 - BETA_SHAPE) / (n + 1) * x
    return total * x**BETA_SHAPE


CURVED: dict[str, Callable[[float, float, int], NDArray[np.float64]]] = {
    "karras": karras_ratios,
    "exponential": exponential_ratios,
    "beta": beta_ratios,
    "lu": exponential_ratios,
}
