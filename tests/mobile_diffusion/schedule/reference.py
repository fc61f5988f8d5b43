"""Diffusers' schedulers as a reference for our step tables, in float32 as they are, or in float64."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
}
BETA_NAMES = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
PREDICTION_NAMES = {"v": "v_prediction", "epsilon": "epsilon", "sample": "sample"}


def options(config: ScheduleConfig) -> dict[str, Any]:
    """The options of diffusers' class for our solver; those it does not take are left out."""
    clean, rescaled = config.final == "clean", {"rescale_betas_zero_snr": config.zero_terminal_snr}
    sigmas = {"use_karras_sigmas": config.karras, "final_sigmas_type": "zero" if clean else "sigma_min", **rescaled}
    own: dict[str, dict[str, Any]] = {
        "ddim": {"clip_sample": False, "set_alpha_to_one": clean, **rescaled},
        "dpm-solver++": {"lower_order_final": config.lower_order_final, **sigmas},
        "euler": sigmas,
        "pndm": {"skip_prk_steps": True, "set_alpha_to_one": clean},
        "lcm": {"original_inference_steps": config.original_steps, **rescaled},
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


@contextmanager
def scheduler_of_diffusers(config: ScheduleConfig, noises: list[Tensor], float64: bool) -> Iterator[Any]:
    """Diffusers' scheduler, its timesteps set; `noises` are what it draws, and `float64` is what it computes in.

    It casts tables and latents to float32 throughout, so that name is given another meaning in its module.
    """
    kind = getattr(diffusers, CLASSES[config.solver])
    supply = iter(noises)

    def drawn(shape: object, dtype: torch.dtype, **_: object) -> Tensor:
        return next(supply).to(dtype)

    libraries = {
        "torch": Library(torch, **({"float32": torch.float64} if float64 else {})),
        "np": Library(np, **({"float32": np.float64} if float64 else {})),
    }
    with replaced(sys.modules[kind.__module__], randn_tensor=drawn, **libraries):
        scheduler = kind(**options(config))
        scheduler.set_timesteps(config.steps)
        yield scheduler


def trajectory_of_diffusers(
    config: ScheduleConfig, network: Network, start: Tensor, noises: list[Tensor], float64: bool = True
) -> tuple[list[float], list[Tensor]]:
    """Timesteps, and the variance-preserving latents after each of them, from standard normal `start`."""
    dtype, trajectory = torch.float64 if float64 else torch.float32, []
    with scheduler_of_diffusers(config, noises, float64) as scheduler:
        latents = (start * scheduler.init_noise_sigma).to(dtype)
        for i, t in enumerate(scheduler.timesteps):
            output = network(scheduler.scale_model_input(latents, t).double(), float(t)).to(dtype)
            latents = scheduler.step(output, t, latents).prev_sample
            scale = math.hypot(1, float(scheduler.sigmas[i + 1])) if config.solver == "euler" else 1
            trajectory.append(latents.double() / scale)
        return [float(t) for t in scheduler.timesteps], trajectory


def trajectory_of_table(table: StepTable, network: Network, start: Tensor, noises: list[Tensor]) -> list[Tensor]:
    """The latents after each step of a table, from standard normal `start`."""
    state, trajectory = [start] + [torch.zeros_like(start)] * table.memory, []
    for i, t in enumerate(table.timesteps):
        vector = torch.stack([*state, network(table.inputs[i] * state[0], t)])
        state = list(torch.tensordot(torch.tensor(table.update[i], dtype=torch.float64), vector, dims=1))
        if table.noise[i]:
            state[0] = state[0] + table.noise[i] * noises[i]
        trajectory.append(state[0])
    return trajectory


def worst_error(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference over all steps, each relative to the largest latent of the step."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((mine - other).abs().max() / other.abs().max()) for mine, other in pairs)
