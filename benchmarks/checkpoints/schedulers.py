"""Diffusers' schedulers as a reference for our step tables, in float32 as they are, or in float64."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import diffusers
import numpy as np
import torch
from torch import Tensor

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.schedule import StepTable

Network = Callable[[Tensor, float], Tensor]

CLASSES = {
    "ddim": "DDIMScheduler",
    "dpm-solver++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "lcm": "LCMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm-solver": "DPMSolverMultistepScheduler",
    "sde-dpm-solver": "DPMSolverMultistepScheduler",
    "sde-dpm-solver++": "DPMSolverMultistepScheduler",
    "deis": "DEISMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lms": "LMSDiscreteScheduler",
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "kdpm2": "KDPM2DiscreteScheduler",
    "kdpm2-ancestral": "KDPM2AncestralDiscreteScheduler",
    "tcd": "TCDScheduler",
}
DPM_SOLVERS = ("dpm-solver", "dpm-solver++", "sde-dpm-solver", "sde-dpm-solver++")
SCALED = ("euler", "lms", "euler-ancestral", "heun", "kdpm2", "kdpm2-ancestral")
"""Solvers whose latents in diffusers are x_0 + (sigma / alpha) epsilon."""
BETA_NAMES = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
PREDICTION_NAMES = {"v": "v_prediction", "epsilon": "epsilon", "sample": "sample", "flow": "flow_prediction"}


def class_name(config: ScheduleConfig) -> str:
    """Diffusers' class for our configuration."""
    flow = config.prediction == "flow" and config.solver == "euler"
    return "FlowMatchEulerDiscreteScheduler" if flow else CLASSES[config.solver]


def options(config: ScheduleConfig) -> dict[str, Any]:
    """The options of diffusers' class for our solver; those it does not take are left out."""
    curves = {f"use_{name}_sigmas": getattr(config, name) for name in ("karras", "exponential", "beta")}
    if class_name(config).startswith("Flow"):
        return {
            "num_train_timesteps": config.train_steps,
            "shift": 1.0 if config.dynamic_shift else config.shift,
            "use_dynamic_shifting": config.dynamic_shift,
            "stochastic_sampling": config.variant == "stochastic",
            **curves,
        }
    clean, rescaled = config.final == "clean", {"rescale_betas_zero_snr": config.zero_terminal_snr}
    final = {"final_sigmas_type": "zero" if clean else "sigma_min"}
    flow = {"use_flow_sigmas": config.prediction == "flow", "flow_shift": config.shift}
    order = {"solver_order": config.order, "lower_order_final": config.lower_order_final}
    original = {"original_inference_steps": config.original_steps, **rescaled}
    dpm = {
        "algorithm_type": config.solver.replace("-solver", "solver"),
        "solver_type": config.variant or "midpoint",
        "euler_at_final": config.euler_at_final,
        "use_lu_lambdas": config.lu,
        **{**order, **curves, **final, **flow, **rescaled},
    }
    own: dict[str, dict[str, Any]] = {
        "ddim": {"clip_sample": False, "set_alpha_to_one": clean, **rescaled},
        "euler": {**curves, **final, **rescaled},
        "pndm": {"skip_prk_steps": True, "set_alpha_to_one": clean},
        "lcm": original,
        "tcd": original,
        "ddpm": {"clip_sample": False, "variance_type": config.variant or "fixed_small", **rescaled},
        "deis": {**order, **curves, **flow},
        "unipc": {
            "solver_type": config.variant or "bh2",
            "disable_corrector": list(config.uncorrected),
            **{**order, **curves, **final, **flow, **rescaled},
        },
        "euler-ancestral": rescaled,
        **{name: curves for name in ("lms", "heun", "kdpm2", "kdpm2-ancestral")},
        **{name: dpm for name in DPM_SOLVERS},
    }
    return {
        "num_train_timesteps": config.train_steps,
        "beta_start": config.beta_start,
        "beta_end": config.beta_end,
        "beta_schedule": BETA_NAMES[config.beta_schedule],
        "prediction_type": PREDICTION_NAMES[config.prediction],
        "timestep_spacing": config.spacing,
        "steps_offset": config.offset,
        **own[config.solver],
    }


class Library:
    """A library of which some names are others."""

    def __init__(self, library: ModuleType, **names: object) -> None:
        self._library = library
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


@contextmanager
def replaced(module: ModuleType, **names: object) -> Iterator[None]:
    """Give a module's globals other values for a while."""
    present = {name: getattr(module, name) for name in names if hasattr(module, name)}
    module.__dict__.update({name: names[name] for name in present})
    try:
        yield
    finally:
        module.__dict__.update(present)


@dataclass
class Supply:
    """The noise of every evaluation; `row` is the evaluation that draws."""

    noises: list[Tensor]
    row: int = 0
    drawn: list[int] = field(default_factory=list)

    def draw(self, shape: object, dtype: torch.dtype, **_: object) -> Tensor:
        self.drawn.append(self.row)
        return self.noises[self.row].to(dtype)


@contextmanager
def scheduler_of_diffusers(config: ScheduleConfig, supply: Supply, float64: bool) -> Iterator[Any]:
    """Diffusers' scheduler, its timesteps set; `supply` is what it draws, and `float64` is what it computes in.

    It casts tables and latents to float32 throughout, so that name is given another meaning in its module.
    """
    kind = getattr(diffusers, class_name(config))
    libraries = {
        "torch": Library(torch, **({"float32": torch.float64} if float64 else {})),
        "np": Library(np, **({"float32": np.float64} if float64 else {})),
    }
    mu = {"mu": math.log(config.shift)} if config.dynamic_shift else {}
    with replaced(sys.modules[kind.__module__], randn_tensor=supply.draw, deprecate=lambda *_: None, **libraries):
        scheduler = kind(**options(config))
        scheduler.set_timesteps(config.steps, **mu)
        yield scheduler


def trajectory_of_diffusers(
    config: ScheduleConfig,
    network: Network,
    start: Tensor,
    noises: list[Tensor],
    float64: bool = True,
    first: int = 0,
) -> tuple[list[float], list[Tensor]]:
    """Timesteps, and the variance-preserving latents after each of them, from standard normal `start`.

    With `first`, without so many steps and from the latents `start` in front of the next, as image-to-image begins.
    Diffusers' LMS then leaves out terms of its order; it is given the later levels alone, as k-diffusion does.
    """
    dtype, trajectory, supply = torch.float64 if float64 else torch.float32, [], Supply(noises)
    with scheduler_of_diffusers(config, supply, float64) as scheduler:
        first *= getattr(scheduler, "order", 1)
        latents = (start * _start_scale(config, scheduler, first)).to(dtype)
        if config.solver == "lms":
            scheduler.sigmas, scheduler.timesteps, first = scheduler.sigmas[first:], scheduler.timesteps[first:], 0
        if hasattr(scheduler, "set_begin_index"):  # else it looks for its timestep, and finds the second of two equal
            scheduler.set_begin_index(first)
        for i, t in enumerate(scheduler.timesteps[first:], first):
            supply.row = i
            shown = scheduler.scale_model_input(latents, t) if hasattr(scheduler, "scale_model_input") else latents
            output = network(shown.double(), float(t)).to(dtype)
            extra = {} if config.eta is None else {"eta": config.eta}
            latents = scheduler.step(output, t, latents, **extra).prev_sample
            trajectory.append(latents.double() / _scale(config, scheduler, i))
        return [float(t) for t in scheduler.timesteps[first:]], trajectory


def _start_scale(config: ScheduleConfig, scheduler: Any, first: int) -> float:
    if not first:
        return float(getattr(scheduler, "init_noise_sigma", 1.0))
    scaled = config.solver in SCALED and config.prediction != "flow"
    return math.hypot(1, float(scheduler.sigmas[first])) if scaled else 1.0


def _scale(config: ScheduleConfig, scheduler: Any, row: int) -> float:
    """What diffusers' latents after evaluation `row` are divided by to preserve variance."""
    if config.solver not in SCALED or config.prediction == "flow":
        return 1.0
    if config.solver.startswith("kdpm2") and row % 2 == 0 and row < len(scheduler.timesteps) - 1:
        return math.hypot(1, float(scheduler.sigmas_interpol[row + (config.solver == "kdpm2")]))
    return math.hypot(1, float(scheduler.sigmas[row + 1]))


def trajectory_of_table(
    table: StepTable, network: Network, start: Tensor, noises: list[Tensor], first: int = 0
) -> list[Tensor]:
    """The latents after each step of a table, from standard normal `start`, or without the first `first` steps."""
    state, trajectory = [start] + [torch.zeros_like(start)] * table.memory, []
    path = table.rows(first)
    for evaluation, i in enumerate(path, len(table.rows()) - len(path)):
        vector = torch.stack([*state, network(table.inputs[i] * state[0], table.timesteps[i])])
        state = list(torch.tensordot(torch.tensor(table.update[i], dtype=torch.float64), vector, dims=1))
        if table.noise[i]:
            state[0] = state[0] + table.noise[i] * noises[evaluation]
        trajectory.append(state[0])
    return trajectory


def worst_error(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference over all steps, each relative to the largest latent of the step."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((mine - other).abs().max() / other.abs().max()) for mine, other in pairs)
