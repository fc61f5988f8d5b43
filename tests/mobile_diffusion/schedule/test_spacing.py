"""The timesteps of a sampler against diffusers' and against their definition."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.checkpoints.schedulers import Supply, scheduler_of_diffusers
from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule import step_table, timesteps

SPACINGS = ("trailing", "leading", "linspace")
COUNTS = (1, 2, 3, 4, 7, 8, 13, 20, 25, 30, 48, 50, 96, 250, 667)


def make_config(**changes: object) -> ScheduleConfig:
    return dataclasses.replace(ScheduleConfig(), **changes)  # type: ignore[arg-type]


def passed(config: ScheduleConfig) -> list[float]:
    """The timesteps of a whole drawing."""
    table = step_table(config)
    return [table.timesteps[row] for row in table.rows()]


@pytest.mark.parametrize("steps", COUNTS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++", "euler", "pndm"])
def test_timesteps_equal_diffusers(solver: str, spacing: str, steps: int) -> None:
    config = make_config(solver=solver, spacing=spacing, steps=steps, offset=1)
    with scheduler_of_diffusers(config, Supply([]), float64=True) as scheduler:
        assert passed(config) == pytest.approx(scheduler.timesteps.tolist(), abs=1e-9)


@pytest.mark.parametrize("original_steps", [50, 33, 7])
def test_timesteps_of_lcm_equal_diffusers(original_steps: int) -> None:
    for steps in range(1, original_steps + 1):
        config = make_config(solver="lcm", steps=steps, original_steps=original_steps)
        with scheduler_of_diffusers(config, Supply([]), float64=True) as scheduler:
            assert passed(config) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_step_count_gives_that_many_distinct_timesteps(spacing: str) -> None:
    config = make_config(spacing=spacing)
    for steps in range(1, config.train_steps + 1):
        times = timesteps(config, steps)
        assert len(times) == steps == len(set(times))
        assert list(times) == sorted(times, reverse=True) and times[-1] >= 0 and times[0] < config.train_steps


def test_trailing_spacing_of_eight_steps() -> None:
    assert timesteps(make_config()) == (999, 874, 749, 624, 499, 374, 249, 124)


def test_steps_default_to_the_config() -> None:
    assert len(step_table(make_config(steps=5))) == 5
    assert step_table(make_config(steps=5), 8) == step_table(make_config(steps=8))


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, True, "8"])
def test_step_counts_out_of_range_are_refused(steps: object) -> None:
    with pytest.raises(ConfigError, match=r"^steps: expected an integer from 1 to 1000, got "):
        step_table(ScheduleConfig(), steps)  # type: ignore[arg-type]


def test_an_offset_that_leaves_the_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"within 0\.\.999, got 1\.\.1000; take fewer steps"):
        timesteps(make_config(spacing="leading", offset=1), 1000)


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_dpm_solver_has_no_thousandth_step(spacing: str) -> None:
    with pytest.raises(ConfigError, match="at most 999"):
        step_table(make_config(solver="dpm-solver++", spacing=spacing), 1000)
    assert len(step_table(make_config(solver="dpm-solver++", spacing="trailing"), 1000).rows()) == 1000
