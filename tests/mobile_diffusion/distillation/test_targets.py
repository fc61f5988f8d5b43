"""Each formula of step distillation against arithmetic of its own and against diffusers' scheduler."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from diffusers import DDIMScheduler

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.distillation.grid import Levels, step_pairs
from mobile_diffusion.distillation.targets import (
    clean_from_output,
    clean_loss,
    ddim_step,
    mixed_loss,
    target_clean,
    truncated_weight,
    two_steps,
)
from mobile_diffusion.errors import ConfigError

SCHEDULE = ScheduleConfig(beta_schedule="cosine", prediction="v", spacing="trailing")
STEPS = 10
"""Divides the training steps in two: where it does not, diffusers steps beside its own grid."""


def scheduler(steps: int) -> DDIMScheduler:
    """diffusers' DDIM with the same process."""
    made = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        set_alpha_to_one=True,
        clip_sample=False,
    )
    made.set_timesteps(steps)
    return made


def field(latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Stands for a network: a velocity that depends on latents and time."""
    return torch.sin(3 * latents + times[:, None, None, None] / 500)


def see(latents: torch.Tensor, times: torch.Tensor, now: Levels) -> torch.Tensor:
    return clean_from_output(latents, field(latents, times), now)


@pytest.fixture
def latents() -> torch.Tensor:
    """One point for every step of the student."""
    return torch.randn(STEPS, 4, 3, 5, generator=torch.Generator().manual_seed(1))


def test_the_teachers_grid_is_diffusers() -> None:
    pairs = step_pairs(SCHEDULE, STEPS)
    times = scheduler(2 * STEPS).timesteps.tolist()
    assert pairs.times.tolist() == times[::2] and pairs.middle_times.tolist() == times[1::2]
    assert float(pairs.end.alpha[-1]) == 1.0 and float(pairs.end.sigma[-1]) == 0.0
    assert torch.equal(pairs.end.alpha[:-1], pairs.start.alpha[1:])


def test_two_steps_are_two_of_diffusers(latents: torch.Tensor) -> None:
    pairs, theirs = step_pairs(SCHEDULE, STEPS), scheduler(2 * STEPS)
    arrived = two_steps(see, latents, (pairs.times, pairs.middle_times), (pairs.start, pairs.middle, pairs.end))
    for index in range(STEPS):
        expected = latents[index : index + 1].double()
        for time in theirs.timesteps[2 * index : 2 * index + 2]:
            expected = theirs.step(field(expected, time[None]), time, expected).prev_sample
        assert torch.allclose(arrived[index].double(), expected[0], atol=2e-5)


def test_one_step_of_the_student_with_the_target_lands_where_the_teacher_does(latents: torch.Tensor) -> None:
    pairs = step_pairs(SCHEDULE, STEPS)
    arrived = two_steps(see, latents, (pairs.times, pairs.middle_times), (pairs.start, pairs.middle, pairs.end))
    target = target_clean(latents, arrived, pairs.start, pairs.end)
    assert torch.allclose(ddim_step(latents, target, pairs.start, pairs.end), arrived, atol=1e-5)


def test_the_target_by_hand() -> None:
    """alpha 0.6, sigma 0.8 -> alpha'' 0.8, sigma'' 0.6: ratio 0.75, divisor 0.35."""
    start, end = Levels.of([(0.6, 0.8)]), Levels.of([(0.8, 0.6)])
    z, arrived = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 1.0)
    assert target_clean(z, arrived, start, end).item() == pytest.approx((1 - 0.75 * 2) / (0.8 - 0.75 * 0.6))


def test_a_teacher_that_knows_the_picture_is_its_own_target(latents: torch.Tensor) -> None:
    """Whatever the noise, two steps with the true x have x* = x."""
    pairs, clean = step_pairs(SCHEDULE, STEPS), torch.full_like(latents, 0.3)
    levels = (pairs.start, pairs.middle, pairs.end)
    arrived = two_steps(lambda z, t, now: clean, latents, (pairs.times, pairs.middle_times), levels)
    assert torch.allclose(target_clean(latents, arrived, pairs.start, pairs.end), clean, atol=1e-4)


def test_weights_are_the_truncated_ratio() -> None:
    levels = Levels.of([(0.6, 0.8), (0.8, 0.6), (0.0, 1.0)])
    assert truncated_weight(levels).flatten().tolist() == pytest.approx([1.0, (0.8 / 0.6) ** 2, 1.0])
    largest = truncated_weight(step_pairs(SCHEDULE, STEPS).start).max()
    alpha, sigma = (float(each) for each in (step_pairs(SCHEDULE, STEPS).start.alpha[-1], 0.0))
    assert float(largest) == pytest.approx(alpha**2 / (1 - alpha**2), rel=1e-4) and sigma == 0.0


def test_the_loss_is_weighted_in_the_mean() -> None:
    predicted, target = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])
    weight = torch.tensor([3.0, 0.5])
    assert clean_loss(predicted, target, weight).item() == pytest.approx((3 * 1 + 0.5 * 4) / 2)


def test_the_original_loss_is_rescaled_and_the_scale_has_no_gradient() -> None:
    distilled = torch.tensor(0.5, requires_grad=True)
    original = torch.tensor(4.0, requires_grad=True)
    total = mixed_loss(distilled, original, 0.2)
    assert total.item() == pytest.approx(0.5 + 0.2 * 0.5)
    total.backward()
    assert distilled.grad is not None and distilled.grad.item() == 1.0
    assert original.grad is not None and original.grad.item() == pytest.approx(0.2 * 0.5 / 4)


def test_targets_stay_in_float32_when_networks_do_not(latents: torch.Tensor) -> None:
    pairs = step_pairs(SCHEDULE, STEPS)
    seen = clean_from_output(latents.bfloat16(), field(latents, pairs.times).bfloat16(), pairs.start)
    assert seen.dtype == torch.float32


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_a_grid_that_does_not_contain_the_students(spacing: str) -> None:
    with pytest.raises(ConfigError, match="expected 16 steps of the teacher that contain the student's 8"):
        step_pairs(dataclasses.replace(SCHEDULE, spacing=spacing), 8)


def test_amplification_is_what_float32_is_for() -> None:
    """The error of z'' grows by 1 / (alpha'' - sigma''/sigma alpha) in x*."""
    pairs = step_pairs(SCHEDULE, STEPS)
    divisor = pairs.end.alpha - pairs.end.sigma / pairs.start.sigma * pairs.start.alpha
    assert bool((divisor > 0).all()) and 1 / float(divisor.min()) > 3
    assert math.isfinite(1 / float(divisor.min()))
