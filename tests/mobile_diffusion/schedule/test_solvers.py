"""Every solver's table against diffusers' scheduler of the same name, and against what a table promises."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mobile_diffusion.config import BETA_SCHEDULES, FINALS, PREDICTIONS, SOLVERS, SPACINGS, ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule import StepTable, add_noise, step_table, velocity
from tests.mobile_diffusion.schedule.reference import (
    Network,
    trajectory_of_diffusers,
    trajectory_of_table,
    worst_error,
)

STEPS = (4, 8, 20, 50)
FLOAT32_TOLERANCE = 1e-5
FLOAT64_TOLERANCE = {"lcm": 2e-6}
"""By solver, 1e-9 for the others; diffusers' boundary condition is float32 whatever else is float64."""
RESCALED = ("ddim", "dpm-solver++", "euler", "lcm")
"""Solvers whose scheduler in diffusers knows rescaled betas."""


def make_config(**changes: object) -> ScheduleConfig:
    return dataclasses.replace(ScheduleConfig(), **changes)  # type: ignore[arg-type]


def normal(count: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 1, 4, 6, 6, generator=generator, dtype=torch.float64))


MIXING = torch.randn(4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 2


def network(latents: Tensor, time: float) -> Tensor:
    """A deterministic network that mixes channels, is bounded but for a linear part, and reads the time."""
    mixed = torch.einsum("oc,bchw->bohw", MIXING, latents)
    return torch.tanh(mixed + 0.3 * math.sin(time / 100)) + 0.3 * latents


def variants(solver: str, spacing: str) -> Iterator[ScheduleConfig]:
    """Every combination of options that diffusers' scheduler of this solver can be run with.

    Its levels of Karras et al. depend on the spacing for Euler only.
    """
    rescaled = (False, True) if solver in RESCALED else (False,)
    karras = (False, True) if solver == "euler" or (solver, spacing) == ("dpm-solver++", "trailing") else (False,)
    finals = ("clean",) if solver == "lcm" else FINALS
    lower = (True, False) if solver == "dpm-solver++" else (True,)  # counts where the last step does not end clean
    predictions = [name for name in PREDICTIONS if (solver, name) != ("pndm", "sample")]
    product = itertools.product(STEPS, predictions, BETA_SCHEDULES, finals, rescaled, karras, lower)
    for steps, prediction, beta_schedule, final, zero_terminal_snr, curved, lower_order_final in product:
        config = ScheduleConfig(
            beta_schedule=beta_schedule,
            prediction=prediction,
            spacing=spacing,
            steps=steps,
            solver=solver,
            offset=1,
            final=final,
            zero_terminal_snr=zero_terminal_snr,
            karras=curved,
            lower_order_final=lower_order_final,
        )
        if not impossible(config) and (lower_order_final or final == "first"):
            yield config


def impossible(config: ScheduleConfig) -> bool:
    """No table: epsilon of pure noise. Not in diffusers: two timesteps 999, of which it takes the second first."""
    if not config.zero_terminal_snr:
        return False
    divides = config.solver == "lcm" or (config.solver == "ddim" and config.spacing != "leading")
    repeats = config.solver == "dpm-solver++" and config.karras and config.steps == 50
    return (divides and config.prediction == "epsilon") or repeats


def error_of(config: ScheduleConfig, float64: bool) -> float:
    """Largest relative difference between the two trajectories, which see their own latents and the same noise."""
    (start,), noises = normal(1, 0), normal(config.steps, 1)
    table = step_table(config)
    times, theirs = trajectory_of_diffusers(config, network, start, noises, float64)
    assert table.timesteps == pytest.approx(times, abs=1e-8 if float64 else 2e-3)
    return worst_error(trajectory_of_table(table, network, start, noises), theirs)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_equals_diffusers(solver: str, spacing: str) -> None:
    """In float64: in diffusers' own float32, cosine and rescaled betas have errors up to 1e-3 near pure noise."""
    errors = {config: error_of(config, float64=True) for config in variants(solver, spacing)}
    worst = max(errors, key=lambda config: errors[config])
    assert errors[worst] < FLOAT64_TOLERANCE.get(solver, 1e-9), worst


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_equals_unmodified_diffusers_for_stable_diffusion(solver: str, spacing: str) -> None:
    for config in variants(solver, spacing):
        if config.beta_schedule == "scaled_linear" and not config.zero_terminal_snr:
            assert error_of(config, float64=False) < FLOAT32_TOLERANCE, config


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 14, 15, 16, 30, 48])
@pytest.mark.parametrize("solver", SOLVERS)
def test_other_step_counts_equal_diffusers(solver: str, spacing: str, steps: int) -> None:
    config = make_config(solver=solver, spacing=spacing, steps=steps, offset=1, final="first", prediction="v")
    assert error_of(config, float64=True) < FLOAT64_TOLERANCE.get(solver, 1e-9)


def oracle(table: StepTable, clean: Tensor, noise: Tensor, prediction: str) -> Network:
    """The network that knows the picture, asked in the order of the table."""
    levels = zip(table.inputs, table.alphas, table.sigmas, strict=True)
    answers = iter([velocity(clean, noise, scale * alpha, scale * sigma) for scale, alpha, sigma in levels])
    fixed = {"epsilon": noise, "sample": clean}
    return lambda latents, time: next(answers) if prediction == "v" else fixed[prediction]


@pytest.mark.parametrize("steps", [1, 8, 50])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++", "euler"])
def test_a_perfect_network_passes_the_stated_levels_and_lands_on_the_clean_latents(
    solver: str, prediction: str, steps: int
) -> None:
    """Also from the middle, as image-to-image begins: alphas and sigmas are the levels of the latents."""
    table = step_table(make_config(solver=solver, prediction=prediction, steps=steps))
    clean, noise = normal(2, 3)
    levels = [add_noise(clean, noise, *level) for level in zip(table.alphas, table.sigmas, strict=True)]
    passed = trajectory_of_table(table, oracle(table, clean, noise, prediction), levels[0], [])
    for ours, expected in zip(passed, [*levels[1:], clean], strict=True):
        assert float((ours - expected).abs().max()) < 1e-9


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_levels_preserve_variance_where_the_network_sees_them(solver: str, spacing: str) -> None:
    table = step_table(make_config(solver=solver, spacing=spacing))
    for scale, alpha, sigma in zip(table.inputs, table.alphas, table.sigmas, strict=True):
        assert (scale * alpha) ** 2 + (scale * sigma) ** 2 == pytest.approx(1.0, abs=1e-12)
    assert all(scale == 1.0 for scale in table.inputs[1:])
    assert (table.inputs[0] != 1.0) == (solver == "euler" and spacing != "leading")


@pytest.mark.parametrize(
    ("solver", "evaluations", "memory"),
    [("ddim", 8, 0), ("euler", 8, 0), ("dpm-solver++", 8, 1), ("pndm", 9, 3), ("lcm", 8, 0)],
)
def test_what_a_solver_does_not_use_is_exactly_zero(solver: str, evaluations: int, memory: int) -> None:
    table = step_table(make_config(solver=solver))
    assert (len(table), table.memory, table.stochastic) == (evaluations, memory, solver == "lcm")
    assert all(factor == 0.0 for row in table.update[0] for factor in row[1:-1])  # the memory is empty
    assert table.noise[-1] == 0.0
    assert all((factor > 0.0) == table.stochastic for factor in table.noise[:-1])


def test_one_step_of_pndm_needs_no_memory() -> None:
    table = step_table(make_config(solver="pndm"), 1)
    assert (len(table), table.memory) == (1, 0)


@pytest.mark.parametrize("solver", ["ddim", "lcm"])
def test_epsilon_of_pure_noise_is_refused(solver: str) -> None:
    config = make_config(solver=solver, zero_terminal_snr=True)
    with pytest.raises(ConfigError, match="'epsilon' is not supported at pure noise.*choose solver"):
        step_table(config)
    for prediction in ("v", "sample"):
        assert step_table(dataclasses.replace(config, prediction=prediction)).alphas[0] == 0.0


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("steps", [1, 8, 50])
def test_nearly_zero_terminal_signal_stays_finite(prediction: str, steps: int) -> None:
    table = step_table(make_config(beta_schedule="cosine", prediction=prediction, steps=steps))
    assert table.alphas[0] < 1e-4
    assert torch.tensor(table.update, dtype=torch.float32).isfinite().all()
    if prediction == "v":
        assert torch.tensor(table.update, dtype=torch.float64).abs().max() <= 1.0 + 1e-12


@pytest.mark.parametrize("solver", ["ddim", "pndm", "lcm"])
def test_karras_levels_are_refused_where_diffusers_has_none(solver: str) -> None:
    with pytest.raises(ConfigError, match=r"^karras: expected solver euler or dpm-solver\+\+, got "):
        step_table(make_config(solver=solver, karras=True))


def test_lcm_takes_no_more_steps_than_were_distilled() -> None:
    with pytest.raises(ConfigError, match="expected 1 to 50, the original_steps .* got 51"):
        step_table(make_config(solver="lcm"), 51)


def test_pndm_of_a_clean_prediction_is_refused() -> None:
    with pytest.raises(ConfigError, match="'sample' is not defined for solver 'pndm'"):
        step_table(make_config(solver="pndm", prediction="sample"))
