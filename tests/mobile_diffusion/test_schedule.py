"""The step table against diffusers' DDIMScheduler and against the definitions it is derived from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from mobile_diffusion import schedule
from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError

BETA_NAMES = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
PREDICTION_NAMES = {"v": "v_prediction", "epsilon": "epsilon"}
TOLERANCE = 1e-5


def make_config(**changes: object) -> ScheduleConfig:
    return dataclasses.replace(ScheduleConfig(), **changes)  # type: ignore[arg-type]


def diffusers_scheduler(config: ScheduleConfig, offset: int = 0, float64: bool = True) -> Any:
    """Diffusers' scheduler for `config`; `float64` recomputes its products, which it keeps in float32."""
    scheduler: Any = DDIMScheduler(
        config.train_steps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule=BETA_NAMES[config.beta_schedule],
        prediction_type=PREDICTION_NAMES[config.prediction],
        timestep_spacing=config.spacing,
        steps_offset=offset,
        clip_sample=False,
        thresholding=False,
        set_alpha_to_one=True,
    )
    if float64:
        scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), dim=0)
        scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    scheduler.set_timesteps(config.steps)
    return scheduler


def network(config: ScheduleConfig, latents: Tensor, timestep: int) -> Tensor:
    """A deterministic network with a bounded, nonlinear idea of the clean latents."""
    alpha, sigma = (float(values[timestep]) for values in schedule.alphas_sigmas(config))
    clean = torch.tanh(1.5 * latents + 0.3 * math.sin(timestep / 100))
    epsilon = (latents - alpha * clean) / sigma
    return epsilon if config.prediction == "epsilon" else alpha * epsilon - sigma * clean


def trajectory_error(config: ScheduleConfig, scheduler: Any, offset: int = 0) -> float:
    """Largest difference between the two free-running trajectories, over all steps."""
    table = schedule.step_table(config, offset=offset)
    ours = theirs = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    worst = 0.0
    for t, a, b in zip(table.timesteps, table.a, table.b, strict=True):
        ours = a * ours + b * network(config, ours, t)
        theirs = scheduler.step(network(config, theirs, t), t, theirs).prev_sample
        worst = max(worst, float((ours - theirs).abs().max()))
    assert float(theirs.abs().max()) > 0.5
    return worst


@pytest.mark.parametrize("steps", [8, 20, 50])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "cosine"])
@pytest.mark.parametrize(("spacing", "offset"), [("trailing", 0), ("leading", 0), ("leading", 1)])
def test_trajectory_equals_diffusers(
    beta_schedule: str, prediction: str, steps: int, spacing: str, offset: int
) -> None:
    config = make_config(beta_schedule=beta_schedule, prediction=prediction, steps=steps, spacing=spacing)
    scheduler = diffusers_scheduler(config, offset)
    assert schedule.timesteps(config, offset=offset) == tuple(scheduler.timesteps.tolist())
    assert trajectory_error(config, scheduler, offset) < TOLERANCE


@pytest.mark.parametrize("steps", [8, 20, 50])
@pytest.mark.parametrize(
    ("beta_schedule", "prediction"),
    [
        ("linear", "epsilon"),
        ("linear", "v"),
        ("scaled_linear", "epsilon"),
        ("scaled_linear", "v"),
        ("cosine", "v"),
    ],
)
def test_trajectory_equals_unmodified_diffusers(beta_schedule: str, prediction: str, steps: int) -> None:
    """Even with diffusers' float32 products, but for cosine with epsilon, where their rounding is 1.4e-5."""
    config = make_config(beta_schedule=beta_schedule, prediction=prediction, steps=steps)
    assert trajectory_error(config, diffusers_scheduler(config, float64=False)) < TOLERANCE


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "cosine"])
def test_alphas_equal_diffusers(beta_schedule: str) -> None:
    config = make_config(beta_schedule=beta_schedule)
    theirs = diffusers_scheduler(config, float64=False)
    assert schedule.alphas_cumprod(config).dtype == np.float64
    assert np.abs(schedule.betas(config) - theirs.betas.double().numpy()).max() < 1e-7
    assert np.abs(schedule.alphas_cumprod(config) - theirs.alphas_cumprod.double().numpy()).max() < 1e-6


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 13, 25, 50, 999, 1000])
def test_timesteps_equal_diffusers(spacing: str, steps: int) -> None:
    config = make_config(spacing=spacing, steps=steps)
    assert schedule.timesteps(config) == tuple(diffusers_scheduler(config).timesteps.tolist())


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_every_step_count_gives_that_many_distinct_timesteps(spacing: str) -> None:
    config = make_config(spacing=spacing)
    for steps in range(1, config.train_steps + 1):
        times = schedule.timesteps(config, steps)
        assert len(times) == steps == len(set(times))
        assert list(times) == sorted(times, reverse=True) and times[-1] >= 0 and times[0] < config.train_steps


def test_trailing_spacing_of_eight_steps() -> None:
    assert schedule.timesteps(make_config()) == (999, 874, 749, 624, 499, 374, 249, 124)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 7, 8, 48])
def test_a_perfect_network_lands_on_the_clean_latents(prediction: str, spacing: str, steps: int) -> None:
    """Also where N does not divide train_steps, which diffusers does not handle exactly."""
    config = make_config(prediction=prediction, spacing=spacing, steps=steps)
    alphas, sigmas = schedule.alphas_sigmas(config)
    clean, noise = np.random.default_rng(0).normal(size=(2, 50))
    table = schedule.step_table(config)
    latents = schedule.add_noise(clean, noise, alphas[table.timesteps[0]], sigmas[table.timesteps[0]])
    for t, a, b in zip(table.timesteps, table.a, table.b, strict=True):
        v = schedule.velocity(clean, noise, alphas[t], sigmas[t])
        latents = a * latents + b * (noise if prediction == "epsilon" else v)
    assert np.abs(latents - clean).max() < 1e-9


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("steps", [1, 8, 50])
def test_nearly_zero_terminal_signal_stays_finite(prediction: str, steps: int) -> None:
    config = make_config(beta_schedule="cosine", prediction=prediction, steps=steps)
    table = schedule.step_table(config)
    assert table.timesteps[0] == 999
    assert schedule.alphas_cumprod(config)[999] < 1e-8
    coefficients = np.array([table.a, table.b])
    assert np.isfinite(coefficients).all() and np.isfinite(coefficients.astype(np.float32)).all()
    if prediction == "v":
        assert np.abs(coefficients).max() <= 1.0 + 1e-12


def test_zero_terminal_signal_is_finite_for_v_and_refused_for_epsilon() -> None:
    a, b = schedule.ddim_coefficients("v", 0.0, 1.0, 0.6, 0.8)
    assert (a, b) == pytest.approx((0.8, -0.6))
    a, b = schedule.ddim_coefficients("epsilon", 0.0, 1.0, 0.6, 0.8)
    with pytest.raises(ConfigError, match="not finite"):
        schedule.StepTable((999,), (a,), (b,))


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, True, "8"])
def test_step_counts_out_of_range_are_refused(steps: object) -> None:
    with pytest.raises(ConfigError, match=r"^steps: expected an integer from 1 to 1000, got "):
        schedule.step_table(ScheduleConfig(), steps)  # type: ignore[arg-type]


def test_an_offset_that_leaves_the_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"within 0\.\.999, got 1\.\.1000"):
        schedule.timesteps(make_config(spacing="leading"), 1000, offset=1)


def test_a_table_of_unequal_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="as many a and b as timesteps"):
        schedule.StepTable((1, 0), (1.0,), (0.0,))


def test_steps_default_to_the_config() -> None:
    assert len(schedule.step_table(make_config(steps=5))) == 5
    assert schedule.step_table(make_config(steps=5), 8) == schedule.step_table(make_config(steps=8))


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
    scheduler = diffusers_scheduler(make_config(), float64=False)
    alphas, sigmas = schedule.alphas_sigmas(make_config())
    clean, noise = torch.randn(2, 2, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    times = torch.tensor([30, 930])
    alpha, sigma = (torch.tensor(x[times], dtype=torch.float32).view(2, 1, 1, 1) for x in (alphas, sigmas))
    ours = schedule.add_noise(clean, noise, alpha, sigma)
    torch.testing.assert_close(ours, scheduler.add_noise(clean, noise, times), atol=1e-5, rtol=0)
    ours = schedule.velocity(clean, noise, alpha, sigma)
    torch.testing.assert_close(ours, scheduler.get_velocity(clean, noise, times), atol=1e-5, rtol=0)
