"""The diffusion process against diffusers', and its conversions against each other."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from benchmarks.checkpoints.schedulers import options
from mobile_diffusion import schedule
from mobile_diffusion.config import ScheduleConfig

BETA_SCHEDULES = ("linear", "scaled_linear", "cosine")


def make_config(**changes: object) -> ScheduleConfig:
    return dataclasses.replace(ScheduleConfig(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("beta_schedule", BETA_SCHEDULES)
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_alphas_equal_diffusers(beta_schedule: str, zero_terminal_snr: bool) -> None:
    """Which are float32: the last betas of a rescaled process are products of many of them."""
    config = make_config(beta_schedule=beta_schedule, zero_terminal_snr=zero_terminal_snr)
    theirs: Any = DDIMScheduler(**options(config))
    assert schedule.alphas_cumprod(config).dtype == np.float64
    assert np.abs(schedule.betas(config) - theirs.betas.double().numpy()).max() < (1e-4 if zero_terminal_snr else 1e-7)
    assert np.abs(schedule.alphas_cumprod(config) - theirs.alphas_cumprod.double().numpy()).max() < 1e-6


@pytest.mark.parametrize("beta_schedule", BETA_SCHEDULES)
def test_zero_terminal_snr_ends_in_pure_noise_and_begins_as_before(beta_schedule: str) -> None:
    plain, rescaled = (
        schedule.alphas_cumprod(make_config(beta_schedule=beta_schedule, zero_terminal_snr=zero))
        for zero in (False, True)
    )
    assert rescaled[-1] == 0.0 and plain[-1] > 0.0
    assert rescaled[0] == pytest.approx(plain[0], rel=1e-12)
    assert (np.diff(rescaled) < 0).all()


def test_conversions_agree_with_each_other() -> None:
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, 4, 5, 5, generator=generator, dtype=torch.float64)
    angle = torch.tensor([0.2, 0.7, 1.4], dtype=torch.float64).view(3, 1, 1, 1)  # one a sample, (B, 1, 1, 1)
    alpha, sigma = angle.cos(), angle.sin()
    latents = schedule.add_noise(clean, noise, alpha, sigma)
    v = schedule.velocity(clean, noise, alpha, sigma)
    torch.testing.assert_close(schedule.clean_from_epsilon(latents, noise, alpha, sigma), clean)
    torch.testing.assert_close(schedule.clean_from_velocity(latents, v, alpha, sigma), clean)
    torch.testing.assert_close(schedule.epsilon_from_velocity(latents, v, alpha, sigma), noise)
    torch.testing.assert_close(schedule.velocity_from_epsilon(latents, noise, alpha, sigma), v)


def test_conversions_equal_diffusers() -> None:
    scheduler: Any = DDIMScheduler(**options(make_config()))
    alphas, sigmas = schedule.alphas_sigmas(make_config())
    clean, noise = torch.randn(2, 2, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    times = torch.tensor([30, 930])
    alpha, sigma = (torch.tensor(x[times], dtype=torch.float32).view(2, 1, 1, 1) for x in (alphas, sigmas))
    ours = schedule.add_noise(clean, noise, alpha, sigma)
    torch.testing.assert_close(ours, scheduler.add_noise(clean, noise, times), atol=1e-5, rtol=0)
    ours = schedule.velocity(clean, noise, alpha, sigma)
    torch.testing.assert_close(ours, scheduler.get_velocity(clean, noise, times), atol=1e-5, rtol=0)
