"""The timesteps and noise levels that a solver passes: one rule for Euler's relatives, one for those of DPM-Solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule.curves import CURVED
from mobile_diffusion.schedule.levels import (
    Level,
    final_level,
    flow_levels,
    noise_ratios,
    ratio_levels,
    shifted,
    times_of,
)
from mobile_diffusion.schedule.spacing import timesteps

FLOW_MARGIN = 1e-6
"""Distance of unipc's first sigma of a flow from 1, where its alpha would be 0."""


@dataclass(frozen=True)
class Grid:
    """N evaluations of the network, and where the last of them leads."""

    times: tuple[float, ...]
    """Training timestep of each of the N evaluations."""
    path: tuple[Level, ...]
    """N + 1 levels: those of the evaluations, and the final one."""
    start: float = 1.0
    """Factor of the initial noise: of the latents, when the process is one that preserves variance."""


def euler_grid(config: ScheduleConfig, count: int) -> Grid:
    """The grid of euler, lms, heun and their relatives, with timesteps that may be fractional.

    It starts from sigma times the noise, but with leading spacing from the noise, as in diffusers.
    """
    if config.prediction == "flow":
        return _flow_grid(config, count)
    of_steps = noise_ratios(config)
    if config.spacing == "linspace":
        times = np.linspace(0, config.train_steps - 1, count)[::-1]
    else:
        times = np.array(timesteps(config, count), dtype=np.float64)
    ratios = np.interp(times, np.arange(config.train_steps), of_steps)
    if config.curve:
        ratios = CURVED[config.curve](ratios[0], ratios[-1], count)
        times = times_of(ratios, of_steps)
    levels = ratio_levels(ratios)
    start = 1.0 if config.spacing == "leading" else levels[0][1]
    return Grid(tuple(times.tolist()), (*levels, final_level(config)), start)


def _flow_grid(config: ScheduleConfig, count: int) -> Grid:
    """The grid of a flow from pure noise to clean latents; the timestep is sigma times the training steps."""
    lowest = np.array(1 / config.train_steps)
    end = lowest if config.dynamic_shift else shifted(lowest, config.shift)
    sigmas = shifted(np.linspace(1.0, float(end), count), config.shift)
    if config.curve:
        sigmas = CURVED[config.curve](sigmas[0], sigmas[-1], count)
    return Grid(tuple((sigmas * config.train_steps).tolist()), tuple(flow_levels([*sigmas, 0.0])))


def solver_grid(config: ScheduleConfig, count: int) -> Grid:
    """The grid of dpm-solver's relatives, deis and unipc, with whole timesteps.

    Unless the spacing is trailing, it has those of N + 1 steps without the last.  Raises ConfigError when there are
    fewer training steps than that.
    """
    if config.prediction == "flow":
        return _solver_flow_grid(config, count)
    of_steps, final = noise_ratios(config), final_level(config)
    if config.curve:
        ratios = CURVED[config.curve](of_steps[-1], of_steps[0], count)
        times = _whole(config, times_of(ratios, of_steps))
        return Grid(tuple(times.tolist()), (*ratio_levels(ratios), final))
    chosen = _solver_timesteps(config, count)
    return Grid(tuple(map(float, chosen)), (*ratio_levels(of_steps[list(chosen)]), final))


def _solver_timesteps(config: ScheduleConfig, count: int) -> Sequence[int]:
    if config.spacing == "trailing":
        return timesteps(config, count)
    if count < config.train_steps:
        return timesteps(config, count + 1)[:-1]
    raise ConfigError(
        f"steps: solver {quoted(config.solver)} takes at most {count - 1}, but {count} in spacing 'trailing'"
    )


def _whole(config: ScheduleConfig, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole timesteps as in diffusers, which rounds those of some curves and cuts those of the others."""
    dpm = config.solver not in ("deis", "unipc")
    rounded = config.curve in ("karras", "lu") and not (dpm and config.beta_schedule == "cosine")
    return np.round(times) if rounded else np.trunc(times + 1e-9)


def _solver_flow_grid(config: ScheduleConfig, count: int) -> Grid:
    """The same of a flow, which diffusers spaces evenly before the shift."""
    even = np.linspace(1, 1 / config.train_steps, count + 1)
    if config.solver == "unipc":
        sigmas = shifted(even[:-1], config.shift)
        sigmas[0] -= FLOW_MARGIN
    else:
        sigmas = shifted(1 - even, config.shift)[:0:-1]
    final = sigmas[-1] if config.final == "first" else 0.0
    return Grid(tuple(np.trunc(sigmas * config.train_steps).tolist()), tuple(flow_levels([*sigmas, final])))
