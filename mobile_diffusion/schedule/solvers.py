"""The solvers by name, and what each can be combined with.

A solver chooses timesteps, noise levels, and the update between two levels.  Each solver matches diffusers' scheduler
of the same name for any number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule.adams import deis_table, lms_table
from mobile_diffusion.schedule.dpm_solver import dpm_solver_table
from mobile_diffusion.schedule.first_order import first_order_table, plain_table, toward
from mobile_diffusion.schedule.grids import euler_grid
from mobile_diffusion.schedule.levels import levels_after, levels_at
from mobile_diffusion.schedule.pndm import pndm_table
from mobile_diffusion.schedule.spacing import check_steps, timesteps
from mobile_diffusion.schedule.stochastic import (
    ddim_noise,
    ddpm_table,
    euler_ancestral_table,
    lcm_table,
    stochastic_flow_table,
    tcd_table,
)
from mobile_diffusion.schedule.table import StepTable
from mobile_diffusion.schedule.two_stage import heun_table, kdpm2_table
from mobile_diffusion.schedule.unipc import unipc_table


def step_table(config: ScheduleConfig, steps: int | None = None) -> StepTable:
    """Build the step table of the schedule's solver with `steps` steps, by default `config.steps`.

    A row is one evaluation of the network: pndm has N + 1 rows for N > 1 steps, heun and the kdpm2 solvers have
    2 N - 1.  Raises ConfigError for a number of steps or a combination of options that the solver does not support.
    """
    count = check_steps(config, steps)
    solver = TABLES[config.solver]
    _check(config, solver)
    return solver.table(config, count)


def ddim_table(config: ScheduleConfig, count: int) -> StepTable:
    """DDIM (Song et al. 2021, eq. 12), without noise unless `config.eta` is above 0.

    Every step goes down by train_steps // N timesteps.  With linspace spacing this may differ from the next timestep.
    """
    times = timesteps(config, count)
    now, then = levels_at(config, times), levels_after(config, times, config.train_steps // count)
    noise = [ddim_noise(config.eta or 0.0, *pair) for pair in zip(now, then, strict=True)]
    factors = [
        toward(config.prediction, level, alpha, math.sqrt(max(sigma**2 - deviation**2, 0.0)))
        for level, (alpha, sigma), deviation in zip(now, then, noise, strict=True)
    ]
    return plain_table(times, factors, now, noise)


def euler_table(config: ScheduleConfig, count: int) -> StepTable:
    """Euler steps of the probability-flow equation in sigma / alpha (Karras et al. 2022, algorithm 1), or of a flow.

    Euler's latents x_0 + (sigma / alpha) epsilon, multiplied by alpha, are those of a first-order step, so the table
    uses that step.
    """
    if config.variant == "stochastic":
        return stochastic_flow_table(config, count)
    grid = euler_grid(config, count)
    return first_order_table(config.prediction, grid.times, grid.path[:-1], grid.path[1:], grid.start)


@dataclass(frozen=True)
class Solver:
    """How a solver's table is built, and which values of some fields it supports."""

    table: Callable[[ScheduleConfig, int], StepTable]
    curves: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    """Formulas; the first is meant by an empty `variant`."""
    predictions: tuple[str, ...] = ("v", "epsilon", "sample")


NOISY_BY_CHOICE = ("ddim", "tcd")
"""Solvers whose share of fresh noise is a choice (`eta`)."""
CURVES = ("karras", "exponential", "beta")
DPM = Solver(dpm_solver_table, (*CURVES, "lu"), ("midpoint", "heun"))
WITHOUT_SAMPLE = ("v", "epsilon")
WITH_FLOW = ("v", "epsilon", "sample", "flow")
DPM_PLUS = Solver(dpm_solver_table, DPM.curves, DPM.variants, WITH_FLOW)

TABLES: dict[str, Solver] = {
    "ddim": Solver(ddim_table),
    "ddpm": Solver(ddpm_table, variants=("fixed_small", "fixed_large")),
    "pndm": Solver(pndm_table, predictions=WITHOUT_SAMPLE),
    "dpm-solver": DPM,
    "dpm-solver++": DPM_PLUS,
    "sde-dpm-solver": DPM,
    "sde-dpm-solver++": DPM_PLUS,
    "deis": Solver(deis_table, CURVES, predictions=WITH_FLOW),
    "unipc": Solver(unipc_table, CURVES, ("bh2", "bh1"), WITH_FLOW),
    "euler": Solver(euler_table, CURVES, ("deterministic", "stochastic"), WITH_FLOW),
    "euler-ancestral": Solver(euler_ancestral_table, predictions=WITHOUT_SAMPLE),
    "lms": Solver(lms_table, CURVES),
    "heun": Solver(heun_table, CURVES),
    "kdpm2": Solver(kdpm2_table, CURVES, predictions=WITHOUT_SAMPLE),
    "kdpm2-ancestral": Solver(kdpm2_table, CURVES, predictions=WITHOUT_SAMPLE),
    "lcm": Solver(lcm_table),
    "tcd": Solver(tcd_table),
}


def _check(config: ScheduleConfig, solver: Solver) -> None:
    """Raise ConfigError unless the solver supports curve, variant and prediction."""
    if config.curve and config.curve not in solver.curves:
        able = [name for name, one in TABLES.items() if config.curve in one.curves]
        raise ConfigError(f"{config.curve}: expected solver {' or '.join(able)}, got {quoted(config.solver)}")
    if config.variant and config.variant not in solver.variants:
        known = " or ".join(map(quoted, solver.variants)) or "none"
        raise ConfigError(f"variant: expected {known} for solver {quoted(config.solver)}, got {quoted(config.variant)}")
    if config.prediction not in solver.predictions:
        raise ConfigError(
            f"prediction: {quoted(config.prediction)} is not defined for solver {quoted(config.solver)}; choose "
            + ("'ddim'" if config.prediction == "sample" else "'euler', 'dpm-solver++' or 'unipc'")
        )
    if config.eta is not None and config.solver not in NOISY_BY_CHOICE:
        noisy = " or ".join(NOISY_BY_CHOICE)
        raise ConfigError(f"eta: expected solver {noisy}, got {quoted(config.solver)}; leave it out")
    if config.prediction == "flow" and config.curve and config.solver != "euler":
        raise ConfigError(f"{config.curve}: expected solver 'euler' for a flow, got {quoted(config.solver)}")
    if config.variant == "stochastic" and config.prediction != "flow":
        raise ConfigError(f"variant: expected prediction 'flow' with 'stochastic', got {quoted(config.prediction)}")
