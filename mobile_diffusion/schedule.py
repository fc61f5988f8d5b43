"""The diffusion schedule and its sampler as a table of linear updates, all in float64.

x_t = alpha_t x_0 + sigma_t epsilon with alpha_t^2 + sigma_t^2 = 1.  One deterministic DDIM step (Song et al.
2021, eq. 12 with eta = 0) is linear in the latents x and the network's output m: x' = a x + b m, whether m is
epsilon or v.  A table of timesteps, a and b is all that an exported artifact or an app has to know.
Training uses the same alphas and the conversions below; the loop itself is in sampler.py.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import SPACINGS, ScheduleConfig
from mobile_diffusion.errors import ConfigError

Array: TypeAlias = Any
"""A float, a numpy array or a torch tensor: the conversions are arithmetic that each of them can do."""

MAX_BETA = 0.999
COSINE_OFFSET = 0.008


@dataclass(frozen=True)
class StepTable:
    """The updates x' = a_i x + b_i m of an N-step sampler, first step first."""

    timesteps: tuple[int, ...]
    """Training timestep that the network is given at each step."""
    a: tuple[float, ...]
    """Factor of the latents."""
    b: tuple[float, ...]
    """Factor of the network's output."""

    def __post_init__(self) -> None:
        lengths = {len(self.timesteps), len(self.a), len(self.b)}
        if len(lengths) != 1 or not self.timesteps:
            raise ConfigError(f"step table: expected as many a and b as timesteps, got lengths {lengths}")
        if not all(math.isfinite(value) for value in (*self.a, *self.b)):
            raise ConfigError("step table: a coefficient is not finite; predict 'v' or lower beta_end")

    def __len__(self) -> int:
        return len(self.timesteps)


def betas(config: ScheduleConfig) -> NDArray[np.float64]:
    """Variances beta_t of the forward process: (train_steps,) float64."""
    count, start, end = config.train_steps, config.beta_start, config.beta_end
    if config.beta_schedule == "linear":  # Ho et al. 2020
        return np.linspace(start, end, count, dtype=np.float64)
    if config.beta_schedule == "scaled_linear":  # Rombach et al. 2022
        return np.square(np.linspace(math.sqrt(start), math.sqrt(end), count, dtype=np.float64))
    return _cosine_betas(count)


def _cosine_betas(count: int) -> NDArray[np.float64]:
    """Nichol and Dhariwal 2021, eq. 17: alpha_bar is a squared cosine, beta is capped."""
    time = np.arange(count + 1, dtype=np.float64) / count
    alpha_bar = np.square(np.cos((time + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2))
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], MAX_BETA)


def alphas_cumprod(config: ScheduleConfig) -> NDArray[np.float64]:
    """alpha_bar_t = alpha_t^2: (train_steps,) float64, falling from near 1 to near 0."""
    return np.cumprod(1 - betas(config), dtype=np.float64)


def alphas_sigmas(config: ScheduleConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """alpha_t and sigma_t of every training timestep: two (train_steps,) float64."""
    alpha_bar = alphas_cumprod(config)
    return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


def check_steps(config: ScheduleConfig, steps: int | None) -> int:
    """The number of sampling steps, `config.steps` for None; ConfigError unless 1..train_steps."""
    count = config.steps if steps is None else steps
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= config.train_steps:
        raise ConfigError(f"steps: expected an integer from 1 to {config.train_steps}, got {count!r}")
    return count


def timesteps(config: ScheduleConfig, steps: int | None = None, offset: int = 0) -> tuple[int, ...]:
    """Training timesteps of an N-step sampler, noisiest first (Lin et al. 2023, table 2).

    `offset` is added under "leading" spacing only (diffusers' steps_offset, 1 for Stable Diffusion 1).
    """
    count, total = check_steps(config, steps), config.train_steps
    if config.spacing == "trailing":
        return tuple(round(total - step * total / count) - 1 for step in range(count))
    if config.spacing == "linspace":
        return tuple(int(t) for t in np.linspace(0, total - 1, count).round()[::-1])
    if config.spacing == "leading":
        return _leading(total, count, offset)
    raise ConfigError(f"spacing: expected one of {SPACINGS}, got {config.spacing!r}")


def _leading(total: int, count: int, offset: int) -> tuple[int, ...]:
    """Multiples of total // count, plus the offset."""
    result = tuple(step * (total // count) + offset for step in reversed(range(count)))
    if not 0 <= result[-1] <= result[0] < total:
        raise ConfigError(f"offset: expected timesteps within 0..{total - 1}, got {result[-1]}..{result[0]}")
    return result


def step_table(config: ScheduleConfig, steps: int | None = None, offset: int = 0) -> StepTable:
    """The DDIM table of a schedule; the last step lands on alpha_bar = 1, the clean latents.

    Each step goes to the next timestep of the list, also where N does not divide train_steps.
    """
    times = timesteps(config, steps, offset)
    alpha, sigma = alphas_sigmas(config)
    levels = [(float(alpha[t]), float(sigma[t])) for t in times] + [(1.0, 0.0)]
    pairs = itertools.pairwise(levels)
    a, b = zip(*(ddim_coefficients(config.prediction, *now, *then) for now, then in pairs), strict=True)
    return StepTable(times, a, b)


def ddim_coefficients(
    prediction: str, alpha: float, sigma: float, next_alpha: float, next_sigma: float
) -> tuple[float, float]:
    """a and b of x' = a x + b m for one step from (alpha, sigma) to (next_alpha, next_sigma).

    x' = alpha' x_0 + sigma' epsilon, with x_0 and epsilon written in x and m.
    """
    if prediction == "v":
        return next_alpha * alpha + next_sigma * sigma, next_sigma * alpha - next_alpha * sigma
    if alpha == 0.0:
        return math.inf, -math.inf  # epsilon says nothing of x_0 in pure noise; StepTable refuses it
    return next_alpha / alpha, next_sigma - next_alpha * sigma / alpha


def add_noise(clean: Array, noise: Array, alpha: Array, sigma: Array) -> Array:
    """x_t = alpha x_0 + sigma epsilon."""
    return alpha * clean + sigma * noise


def velocity(clean: Array, noise: Array, alpha: Array, sigma: Array) -> Array:
    """v = alpha epsilon - sigma x_0 (Salimans and Ho 2022)."""
    return alpha * noise - sigma * clean


def clean_from_epsilon(latents: Array, epsilon: Array, alpha: Array, sigma: Array) -> Array:
    """x_0 = (x_t - sigma epsilon) / alpha."""
    return (latents - sigma * epsilon) / alpha


def clean_from_velocity(latents: Array, v: Array, alpha: Array, sigma: Array) -> Array:
    """x_0 = alpha x_t - sigma v."""
    return alpha * latents - sigma * v


def epsilon_from_velocity(latents: Array, v: Array, alpha: Array, sigma: Array) -> Array:
    """epsilon = sigma x_t + alpha v."""
    return sigma * latents + alpha * v


def velocity_from_epsilon(latents: Array, epsilon: Array, alpha: Array, sigma: Array) -> Array:
    """v = (epsilon - sigma x_t) / alpha."""
    return (epsilon - sigma * latents) / alpha
