"""The diffusion process x_t = alpha_t x_0 + sigma_t epsilon with alpha_t^2 + sigma_t^2 = 1, in float64.

Training and the solvers use these alphas and conversions.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import ScheduleConfig

Array: TypeAlias = Any
"""A float, a numpy array or a torch tensor; the conversions work with each of them."""

MAX_BETA = 0.999
COSINE_OFFSET = 0.008


def betas(config: ScheduleConfig) -> NDArray[np.float64]:
    """Variances beta_t of the forward process: float64 (train_steps,)."""
    plain = _plain_betas(config)
    return _rescaled_to_zero(plain) if config.zero_terminal_snr else plain


def _plain_betas(config: ScheduleConfig) -> NDArray[np.float64]:
    """Betas before any rescaling."""
    count, start, end = config.train_steps, config.beta_start, config.beta_end
    if config.beta_schedule == "linear":  # Ho et al. 2020
        return np.linspace(start, end, count, dtype=np.float64)
    if config.beta_schedule == "scaled_linear":  # Rombach et al. 2022
        return np.square(np.linspace(math.sqrt(start), math.sqrt(end), count, dtype=np.float64))
    return _cosine_betas(count)


def _cosine_betas(count: int) -> NDArray[np.float64]:
    """Betas of the cosine schedule (Nichol and Dhariwal 2021, eq. 17), limited to MAX_BETA."""
    time = np.arange(count + 1, dtype=np.float64) / count
    alpha_bar = np.square(np.cos((time + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2))
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], MAX_BETA)


def _rescaled_to_zero(plain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Betas with zero terminal SNR (Lin et al. 2023, algorithm 1).

    alpha_t is shifted to end at zero and scaled to keep its first value.
    """
    alpha = np.sqrt(np.cumprod(1 - plain))
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    alpha_bar = np.square(alpha)
    return 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])


def alphas_cumprod(config: ScheduleConfig) -> NDArray[np.float64]:
    """alpha_bar_t = alpha_t^2: float64 (train_steps,), decreasing from nearly 1 to nearly or exactly 0."""
    return np.cumprod(1 - betas(config), dtype=np.float64)


def alphas_sigmas(config: ScheduleConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """alpha_t and sigma_t of every training timestep, each float64 (train_steps,)."""
    alpha_bar = alphas_cumprod(config)
    return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


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
