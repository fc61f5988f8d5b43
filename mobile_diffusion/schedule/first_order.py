"""One step between two noise levels, as factors a and b of the latents x and the network's output m."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule.levels import Level
from mobile_diffusion.schedule.table import StepTable

Factors = tuple[float, float]
"""a and b: the factors of the latents x and of the network's output m."""


def clean_factors(prediction: str, level: Level) -> Factors:
    """a and b of x_0 = a x + b m; raises ConfigError when epsilon is predicted from pure noise (alpha = 0)."""
    alpha, sigma = level
    if prediction == "v":
        return alpha, -sigma
    if prediction == "sample":
        return 0.0, 1.0
    if prediction == "flow":  # m = epsilon - x_0
        return 1 / (alpha + sigma), -sigma / (alpha + sigma)
    if alpha == 0:
        raise ConfigError(
            "prediction: 'epsilon' is not supported at pure noise (zero_terminal_snr), because it does not determine "
            "the picture; choose solver 'euler' or 'dpm-solver++', spacing 'leading', or a model that predicts 'v'"
        )
    return 1 / alpha, -sigma / alpha


def noise_factors(prediction: str, level: Level) -> Factors:
    """a and b of epsilon = a x + b m."""
    alpha, sigma = level
    if prediction == "v":
        return sigma, alpha
    if prediction == "sample":
        return 1 / sigma, -alpha / sigma
    if prediction == "flow":
        return 1 / (alpha + sigma), alpha / (alpha + sigma)
    return 0.0, 1.0


def toward(prediction: str, now: Level, alpha: float, sigma: float) -> Factors:
    """a and b of x' = alpha x_0 + sigma epsilon, both as predicted at the level `now`."""
    clean, noise = clean_factors(prediction, now), noise_factors(prediction, now)
    a, b = (alpha * of_clean + sigma * of_noise for of_clean, of_noise in zip(clean, noise, strict=True))
    return a, b


def step_factors(prediction: str, now: Level, then: Level) -> Factors:
    """a and b of x' = a x + b m, where x' = alpha' x_0 + sigma' epsilon (Song et al. 2021, eq. 12 with eta = 0)."""
    return toward(prediction, now, *then)


def plain_table(
    times: Sequence[float],
    factors: Sequence[Factors],
    levels: Sequence[Level],
    noise: Sequence[float] | None = None,
    start: float = 1.0,
) -> StepTable:
    """Build the table of a solver without memory: factors, level and fresh noise of each step.

    `start` is the factor of the initial latents as the network sees them.
    """
    alphas, sigmas = zip(*levels, strict=True)
    ones, none = (1.0,) * len(factors), (0.0,) * len(factors)
    update = tuple((pair,) for pair in factors)
    table = StepTable(tuple(map(float, times)), ones, update, tuple(noise or none), alphas, sigmas)
    return scaled_start(table, start)


def scaled_start(table: StepTable, start: float) -> StepTable:
    """The same table, for initial latents that must be multiplied by `start` first."""
    first, *others = table.update
    scaled = tuple((row[0] * start, *row[1:]) for row in first)
    return dataclasses.replace(
        table,
        inputs=(start, *table.inputs[1:]),
        update=(scaled, *others),
        alphas=(table.alphas[0] / start, *table.alphas[1:]),
        sigmas=(table.sigmas[0] / start, *table.sigmas[1:]),
    )


def first_order_table(
    prediction: str, times: Sequence[float], now: Sequence[Level], then: Sequence[Level], start: float = 1.0
) -> StepTable:
    """Build the table of first-order steps from each level in `now` to the one in `then`, at timesteps `times`."""
    factors = [step_factors(prediction, *pair) for pair in zip(now, then, strict=True)]
    return plain_table(times, factors, now, None, start)
