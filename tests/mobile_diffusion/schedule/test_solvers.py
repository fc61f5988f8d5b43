"""Every solver's table against diffusers' scheduler of the same name, and against what a table promises."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor

from benchmarks.checkpoints.schedulers import (
    SCALED,
    Network,
    trajectory_of_table,
)
from benchmarks.checkpoints.solver_options import (
    SLOW,
    STEPS,
    error_of,
    every_variant,
    finals,
    make_config,
    normal,
    small,
    variants,
)
from mobile_diffusion.config import SOLVERS, SPACINGS, ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.scheduler_classes import ORDERED
from mobile_diffusion.schedule import StepTable, add_noise, step_table, velocity

FLOAT32_TOLERANCE = 1e-5
FLOAT64_TOLERANCE = {"lcm": 5e-7, "deis": 5e-7, "ddim": 5e-8, "sde-dpm-solver": 1e-8, "sde-dpm-solver++": 1e-8}
"""By solver, 1e-9 for the others: three times the largest that was seen.  In diffusers, the boundary condition of lcm
is float32 whatever else is float64; deis, and ddim and dpm-solver with noise, subtract nearly equal numbers."""


def check(configs: list[ScheduleConfig]) -> None:
    """Compare in float64: in diffusers' own float32, cosine and rescaled betas have errors up to 1e-3 near noise."""
    errors = {config: error_of(config) for config in configs}
    assert not any(math.isnan(error) for error in errors.values())
    worst = max(errors, key=lambda config: errors[config])
    assert errors[worst] < FLOAT64_TOLERANCE.get(worst.solver, 1e-9), worst


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_equals_diffusers(solver: str, spacing: str) -> None:
    check(variants(solver, spacing))


@pytest.mark.full
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_combination_equals_diffusers(solver: str, spacing: str) -> None:
    check(list(every_variant(solver, spacing)))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_equals_unmodified_diffusers_for_stable_diffusion(solver: str, spacing: str) -> None:
    """One and two steps in linspace spacing are left to float64: at timestep 0, float32's 1 - alpha_bar is inexact."""
    for steps in STEPS[2 * (spacing == "linspace") :]:
        config = small(solver, steps=steps, spacing=spacing, offset=1)
        assert error_of(config, float64=False) < FLOAT32_TOLERANCE, config


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [3, 7, 14, 15, 16, 48])
@pytest.mark.parametrize("solver", SOLVERS)
def test_other_step_counts_equal_diffusers(solver: str, spacing: str, steps: int) -> None:
    check([small(solver, spacing=spacing, steps=steps, offset=1, final=finals(solver)[-1], prediction="v")])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_at_a_later_step_equals_diffusers(solver: str, spacing: str) -> None:
    """As image-to-image begins: a solver with memory has none yet."""
    orders = (1, 2, 3) if solver in ORDERED and solver != "sde-dpm-solver" else (2,)
    cases = ((2, 1), (4, 1), (8, 3), (8, 7), (20, 10))
    for order, (steps, first) in itertools.product(orders, cases[: 3 if solver in SLOW else None]):
        config = small(solver, steps=steps, spacing=spacing, offset=1, order=order)
        assert error_of(config, first=first) < FLOAT64_TOLERANCE.get(solver, 1e-9), (order, steps, first)


@pytest.mark.parametrize("changes", [{}, {"order": 3}, {"lower_order_final": False, "final": "first"}])
def test_a_late_start_has_rows_of_its_own_only_where_less_is_remembered(changes: dict[str, object]) -> None:
    table, order = step_table(small("dpm-solver++", **changes)), int(str(changes.get("order", 2)))
    assert table.starts[0] == tuple(range(8)) and len(table.starts) == 8
    for skipped, path in enumerate(table.starts[1:], 1):
        assert path[order - 1 :] == tuple(range(skipped, 8))[order - 1 :]
        assert [table.timesteps[row] for row in path] == list(table.timesteps[skipped:8])
        assert all(factor == 0.0 for row in table.update[path[0]] for factor in row[1:-1])
    assert len(table) <= 8 + 7 * (order - 1)


@pytest.mark.parametrize("solver", ["ddim", "euler", "lcm", "sde-dpm-solver++"])
def test_a_solver_without_memory_starts_anywhere_with_the_rows_it_has(solver: str) -> None:
    table = step_table(small(solver, order=1))
    assert (table.memory, table.starts, len(table)) == (0, (), 8)
    assert table.rows(3) == (3, 4, 5, 6, 7)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("variant", ["deterministic", "stochastic"])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 6.0])
def test_a_flow_with_a_shift_equals_diffusers(shift: float, variant: str, dynamic: bool) -> None:
    for steps, first in itertools.product(STEPS, (0, 1)):
        config = small("euler", prediction="flow", steps=steps, shift=shift, variant=variant, dynamic_shift=dynamic)
        if first < steps:
            assert error_of(config, first=first) < 1e-8, config


def oracle(table: StepTable, clean: Tensor, noise: Tensor, prediction: str) -> Network:
    """The network that knows the picture, asked in the order of the table."""
    levels = zip(table.inputs, table.alphas, table.sigmas, strict=True)
    answers = iter([velocity(clean, noise, scale * alpha, scale * sigma) for scale, alpha, sigma in levels])
    fixed = {"epsilon": noise, "sample": clean}
    return lambda latents, time: next(answers) if prediction == "v" else fixed[prediction]


@pytest.mark.parametrize("steps", [1, 8, 50])
@pytest.mark.parametrize("prediction", ["v", "epsilon", "sample"])
@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++", "euler"])
def test_a_perfect_network_passes_the_stated_levels_and_lands_on_the_clean_latents(
    solver: str, prediction: str, steps: int
) -> None:
    """Also from the middle, as image-to-image begins: alphas and sigmas are the levels of the latents."""
    table = step_table(make_config(solver=solver, prediction=prediction, steps=steps))
    clean, noise = normal(2, 3)
    levels = [add_noise(clean, noise, table.alphas[row], table.sigmas[row]) for row in table.rows()]
    passed = trajectory_of_table(table, oracle(table, clean, noise, prediction), levels[0], [])
    for ours, expected in zip(passed, [*levels[1:], clean], strict=True):
        assert float((ours - expected).abs().max()) < 1e-9


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_levels_preserve_variance_where_the_network_sees_them(solver: str, spacing: str) -> None:
    table = step_table(small(solver, spacing=spacing))
    for scale, alpha, sigma in zip(table.inputs, table.alphas, table.sigmas, strict=True):
        assert (scale * alpha) ** 2 + (scale * sigma) ** 2 == pytest.approx(1.0, abs=1e-12)
    assert all(scale == 1.0 for scale in table.inputs[1:])
    assert (table.inputs[0] != 1.0) == (solver in SCALED and spacing != "leading")


COUNTS = {"pndm": (9, 3), "heun": (15, 2), "kdpm2": (15, 1), "kdpm2-ancestral": (15, 1), "lms": (8, 3), "unipc": (8, 2)}
"""Evaluations and remembered tensors of 8 steps, where they are not (8, 0), or (8, 1) for the solvers with an order."""
STOCHASTIC = ("lcm", "tcd", "ddpm", "euler-ancestral", "kdpm2-ancestral", "sde-dpm-solver", "sde-dpm-solver++")


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_a_solver_does_not_use_is_exactly_zero(solver: str) -> None:
    table, stochastic = step_table(small(solver)), solver in STOCHASTIC
    counts = COUNTS.get(solver, (8, 1 if solver in ORDERED else 0))
    assert (len(table.rows()), table.memory, table.stochastic) == (*counts, stochastic)
    assert all(factor == 0.0 for row in table.update[0] for factor in row[1:-1])  # the memory is empty
    *noises, last = (table.noise[row] for row in table.rows())
    assert last == 0.0 or solver == "sde-dpm-solver"  # which does not end at clean latents
    if solver != "kdpm2-ancestral":
        assert all((factor > 0.0) == stochastic for factor in noises)
    else:  # noise is added at the end of a step, which is every second evaluation
        assert [factor > 0.0 for factor in noises] == [False, True] * 7


@pytest.mark.parametrize(("order", "memory"), [(1, 0), (2, 1), (3, 2)])
@pytest.mark.parametrize("solver", ORDERED)
def test_the_order_decides_how_much_is_remembered(solver: str, order: int, memory: int) -> None:
    if (solver, order) == ("sde-dpm-solver", 3):
        return
    assert step_table(small(solver, order=order)).memory == memory + (solver == "unipc")


def test_a_step_that_noise_leaves_where_it_is_has_no_noise() -> None:
    assert not step_table(make_config(solver="tcd", eta=0.0)).stochastic
    assert not step_table(make_config(solver="ddim", eta=0.0)).stochastic
    assert step_table(make_config(solver="ddim", eta=1.0)).stochastic


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


@pytest.mark.parametrize("solver", ["ddim", "pndm", "lcm", "tcd", "ddpm", "euler-ancestral"])
@pytest.mark.parametrize("curve", ["karras", "exponential", "beta", "lu"])
def test_curved_levels_are_refused_where_diffusers_has_none(solver: str, curve: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{curve}: expected solver .*dpm-solver.*, got '{solver}'"):
        step_table(make_config(solver=solver, **{curve: True}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"solver": "euler", "eta": 0.5}, "eta: expected solver ddim or tcd, got 'euler'; leave it out"),
        ({"solver": "sde-dpm-solver", "final": "first", "order": 3}, "order: expected 1 to 2 .*got 3"),
        ({"solver": "deis", "order": 4}, "order: expected 1 to 3 .*got 4"),
        ({"solver": "unipc", "lower_order_final": False}, "lower_order_final: expected true"),
        ({"solver": "unipc", "variant": "heun"}, "variant: expected 'bh2' or 'bh1' for solver 'unipc', got 'heun'"),
        ({"solver": "ddim", "variant": "heun"}, "variant: expected none for solver 'ddim'"),
        ({"variant": "stochastic", "solver": "euler"}, "variant: expected prediction 'flow' with 'stochastic'"),
        ({"prediction": "flow"}, "prediction: 'flow' is not defined for solver 'ddim'; choose 'euler'"),
        ({"prediction": "flow", "solver": "deis", "beta": True}, "beta: expected solver 'euler' for a flow"),
        ({"karras": True, "lu": True, "solver": "dpm-solver++"}, "karras is True; expected at most one of"),
        ({"eta": 1.5}, "eta is 1.5; expected 0 to 1"),
        ({"eta": math.nan}, "eta is nan; expected 0 to 1"),
        ({"shift": 0.0}, "shift is 0.0; expected a positive number"),
        ({"order": 0}, "order is 0; expected 1 to 4"),
        ({"uncorrected": (-1,)}, "uncorrected is .*; expected numbers of steps"),
    ],
)
def test_combinations_without_a_table_are_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as found:
        step_table(make_config(**changes))
    assert "\n" not in str(found.value) and len(str(found.value)) < 200


def test_lcm_takes_no_more_steps_than_were_distilled() -> None:
    with pytest.raises(ConfigError, match="expected 1 to 50, the original_steps .* got 51"):
        step_table(make_config(solver="lcm"), 51)


def test_pndm_of_a_clean_prediction_is_refused() -> None:
    with pytest.raises(ConfigError, match="'sample' is not defined for solver 'pndm'"):
        step_table(make_config(solver="pndm", prediction="sample"))
