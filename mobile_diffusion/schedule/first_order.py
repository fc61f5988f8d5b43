"""One step between two noise levels, as factors a and b of the latents x and the network's output m."""

from __future__ import annotations

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
    return 0.0, 1.0


def step_factors(prediction: str, now: Level, then: Level) -> Factors:
    """a and b of x' = a x + b m, where x' = alpha' x_0 + sigma' epsilon (Song et al. 2021, eq. 12 with eta = 0)."""
    clean, noise = clean_factors(prediction, now), noise_factors(prediction, now)
    a, b = (then[0] * of_clean + then[1] * of_noise for of_clean, of_noise in zip(clean, noise, strict=True))
    return a, b


def first_order_table(
    prediction: str, times: Sequence[float], now: list[Level], then: list[Level], start: float = 1.0
) -> StepTable:
    """Build the table of first-order steps from each level in `now` to the one in `then`, at timesteps `times`.

    `start` is the factor of the initial latents as the network sees them.
    """
    inputs = [start] + [1.0] * (len(now) - 1)
    factors = [step_factors(prediction, *pair) for pair in zip(now, then, strict=True)]
    return StepTable(
        timesteps=tuple(map(float, times)),
        inputs=tuple(inputs),
        update=tuple(((scale * a, b),) for scale, (a, b) in zip(inputs, factors, strict=True)),
        noise=(0.0,) * len(now),
        alphas=tuple(alpha / scale for scale, (alpha, _) in zip(inputs, now, strict=True)),
        sigmas=tuple(sigma / scale for scale, (_, sigma) in zip(inputs, now, strict=True)),
    )
