"""The options that every solver is compared with diffusers in, and how far a drawing of one is from diffusers'.

The tests of the solvers use it, and solvers.py, which writes the table of the documents.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.checkpoints.schedulers import trajectory_of_diffusers, trajectory_of_table, worst_error
from mobile_diffusion.config import BETA_SCHEDULES, FINALS, ScheduleConfig
from mobile_diffusion.formats.scheduler_classes import DPM_SOLVERS, FINAL_SIGMAS, ORDERED, RESCALED
from mobile_diffusion.schedule import step_table
from mobile_diffusion.schedule.solvers import TABLES

STEPS = (1, 2, 4, 8, 20, 50)
SAMPLE = 4
"""Combinations of options that are tried per solver, spacing and number of steps; with the marker `full`, all."""
SLOW = ("kdpm2", "kdpm2-ancestral")
"""Solvers whose scheduler in diffusers takes half a second to build."""


def make_config(**changes: object) -> ScheduleConfig:
    return dataclasses.replace(ScheduleConfig(), **changes)  # type: ignore[arg-type]


def finals(solver: str) -> tuple[str, ...]:
    """Where diffusers' scheduler can end."""
    if solver in DPM_SOLVERS and not solver.endswith("++"):
        return ("first",)
    return FINALS if solver in (*FINAL_SIGMAS, "ddim", "pndm") else ("clean",)


def small(solver: str, **changes: object) -> ScheduleConfig:
    return make_config(**{"solver": solver, "final": finals(solver)[0], **changes})


def normal(count: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 1, 4, 6, 6, generator=generator, dtype=torch.float64))


MIXING = torch.randn(4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 2


def network(latents: Tensor, time: float) -> Tensor:
    """A deterministic network that mixes channels, is bounded but for a linear part, and reads the time."""
    mixed = torch.einsum("oc,bchw->bohw", MIXING, latents)
    return torch.tanh(mixed + 0.3 * math.sin(time / 100)) + 0.3 * latents


def every_variant(solver: str, spacing: str) -> Iterator[ScheduleConfig]:
    """Every combination of options that diffusers' scheduler of this solver can be run with."""
    known = TABLES[solver]
    choices = {
        "steps": STEPS,
        "prediction": known.predictions,
        "beta_schedule": BETA_SCHEDULES,
        "final": finals(solver),
        "zero_terminal_snr": (False, True) if solver in RESCALED else (False,),
        "curve": ("", *known.curves),
        "variant": known.variants or ("",),
        "order": tuple(range(1, 4)) if solver in ORDERED and solver != "sde-dpm-solver" else (2,),
        "lower_order_final": (True, False) if solver in ORDERED else (True,),
        "euler_at_final": (True, False) if solver in DPM_SOLVERS else (False,),
        "eta": (None, 0.0, 0.5, 1.0) if solver in ("ddim", "tcd") else (None,),
        "uncorrected": ((), (0,), (1, 2)) if solver == "unipc" else ((),),
    }
    for values in itertools.product(*choices.values()):
        options = dict(zip(choices, values, strict=True))
        curve = str(options.pop("curve"))
        flow = {"shift": 3.0} if options["prediction"] == "flow" else {}
        if not impossible(solver, spacing, curve, options):
            curved = {curve: True} if curve else {}
            yield make_config(solver=solver, spacing=spacing, offset=1, **options, **flow, **curved)


def impossible(solver: str, spacing: str, curve: str, options: dict[str, object]) -> bool:
    """What has no table, or what diffusers does not compute: it refuses it, or returns NaN."""
    flow, clean = options["prediction"] == "flow", options["final"] == "clean"
    if flow and (options["zero_terminal_snr"] or not clean or (curve and solver != "euler")):
        return True
    if solver == "euler" and (options["variant"] == "stochastic") != (flow and options["variant"] != "deterministic"):
        return True
    starts_in_noise = solver in ("lcm", "tcd") or (solver in ("ddim", "ddpm") and spacing != "leading")
    if options["zero_terminal_snr"] and options["prediction"] == "epsilon" and starts_in_noise:
        return True
    stands_still = bool(curve) and not clean  # diffusers divides 0 by 0
    if solver == "unipc":
        bh1, high = options["variant"] == "bh1", not options["lower_order_final"] and options["order"] != 1
        return (clean and (bh1 or high)) or stands_still
    return solver in DPM_SOLVERS and stands_still and (options["variant"] == "heun" or options["order"] == 3)


def variants(solver: str, spacing: str) -> list[ScheduleConfig]:
    """A seeded sample of every combination: as many for each number of steps."""
    found, chosen = list(every_variant(solver, spacing)), random.Random(f"{solver} {spacing}")
    wanted = SAMPLE // 4 if solver in SLOW else SAMPLE
    groups = [[config for config in found if config.steps == steps] for steps in STEPS]
    return [config for group in groups for config in chosen.sample(group, min(wanted, len(group)))]


def error_of(config: ScheduleConfig, float64: bool = True, first: int = 0) -> float:
    """Largest relative difference between the two trajectories, which see their own latents and the same noise.

    Infinite when the timesteps differ, by more than 0.02 in float32: that knows the first levels to 7e-5 only, and
    the timesteps that are interpolated between them to 0.01.
    """
    (start,), noises = normal(1, 0), normal(2 * config.steps, 1)
    table = step_table(config)
    times, theirs = trajectory_of_diffusers(config, network, start, noises, float64, first)
    pairs = zip([table.timesteps[row] for row in table.rows(first)], times, strict=True)
    if any(abs(ours - other) > (1e-4 if float64 else 2e-2) for ours, other in pairs):
        return math.inf
    return worst_error(trajectory_of_table(table, network, start, noises, first), theirs)
