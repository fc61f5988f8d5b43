"""DPM-Solver and DPM-Solver++ of order 1 to 3, as equations with and without fresh noise (Lu et al. 2022).

The four of them differ in what they remember, the clean latents (++) or the noise, and in a few weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule.first_order import clean_factors, noise_factors
from mobile_diffusion.schedule.grids import solver_grid
from mobile_diffusion.schedule.levels import Level
from mobile_diffusion.schedule.table import StepTable
from mobile_diffusion.schedule.vectors import Vector, remembering_table

FEW_STEPS = 15
"""With fewer steps, a multistep solver may end with steps of a lower order."""


@dataclass(frozen=True)
class Weights:
    """One step's factors of the latents, of the newest prediction and of its differences, and of the fresh noise."""

    latents: float
    newest: float
    heun: float
    """Factor of the first difference in the formula "heun" and in order 3; "midpoint" has half of `newest`."""
    second: float
    noise: float = 0.0


def log_ratio(level: Level) -> float:
    """lambda = log(alpha / sigma), infinite for clean latents."""
    alpha, sigma = level
    return math.log(alpha / sigma) if sigma else math.inf


def dpm_solver_table(config: ScheduleConfig, count: int) -> StepTable:
    """DPM-Solver (order 3: algorithm 4.2), DPM-Solver++ (2M: algorithm 2) and their stochastic versions.

    Those that remember the noise cannot reach clean latents; they end at the first training timestep.  Raises
    ConfigError when `count` or the order is not supported.
    """
    highest = 2 if config.solver == "sde-dpm-solver" else 3
    if config.order > highest:
        raise ConfigError(f"order: expected 1 to {highest} for solver {quoted(config.solver)}, got {config.order}")
    if not config.solver.endswith("++"):
        config = dataclasses.replace(config, final="first")
    grid = solver_grid(config, count)
    clean = config.solver.endswith("++")
    predict = partial(clean_factors if clean else noise_factors, config.prediction)
    orders = [_order(config, step, count) for step in range(count)]
    weights = [_weights(config.solver, *grid.path[step : step + 2]) for step in range(count)]

    def move(step: int, latents: Vector, known: Sequence[Vector]) -> Vector:
        ahead = log_ratio(grid.path[step + 1]) - log_ratio(grid.path[step])
        behind = [log_ratio(grid.path[step - k]) - log_ratio(grid.path[step - k - 1]) for k in range(len(known) - 1)]
        order = min(orders[step], len(known)) if ahead else 1  # a step of length 0 goes nowhere
        growths = [ahead / length for length in behind] if order > 1 else []
        return _moved(weights[step], config.variant == "heun", order, growths, latents, known)

    noise = [weight.noise for weight in weights] if config.solver.startswith("sde") else None
    return remembering_table(grid, config.order - 1, predict, move, noise)


def _order(config: ScheduleConfig, step: int, count: int) -> int:
    """The order of a step when enough is remembered; the end may limit it."""
    lower = config.lower_order_final and count < FEW_STEPS
    left = count - 1 - step
    ends = left == 0 and (lower or config.euler_at_final or config.final == "clean")
    at_end = 1 if ends else 2 if left == 1 and lower else config.order
    return min(config.order, at_end)


def _weights(solver: str, now: Level, then: Level) -> Weights:
    """The factors of one step; diffusers' signs are kept where the stochastic order 3 differs from the paper."""
    (alpha, sigma), (next_alpha, next_sigma) = now, then
    h = log_ratio(then) - log_ratio(now)
    if solver == "dpm-solver++":
        newest = next_alpha - next_sigma * alpha / sigma  # alpha' (1 - exp(-h))
        heun, second = _differences(newest / next_alpha, h)
        return Weights(next_sigma / sigma, newest, next_alpha * heun, next_alpha * second)
    if solver == "sde-dpm-solver++":
        decay = next_sigma * alpha / (sigma * next_alpha)  # exp(-h)
        share = 1 - decay**2
        heun, second = _differences(share, 2 * h)
        return Weights(
            latents=next_sigma / sigma * decay,
            newest=next_alpha * share,
            heun=next_alpha * heun,
            second=next_alpha * (second - 1),
            noise=next_sigma * math.sqrt(max(share, 0.0)),
        )
    share = 1 - next_alpha * sigma / (alpha * next_sigma)  # 1 - exp(h)
    heun, second = _differences(share, -h)
    times = 2 if solver == "sde-dpm-solver" else 1
    noise = next_sigma * math.sqrt(max((1 - share) ** 2 - 1, 0.0)) if times == 2 else 0.0
    return Weights(
        next_alpha / alpha, times * next_sigma * share, times * next_sigma * heun, next_sigma * second, noise
    )


def _differences(share: float, h: float) -> tuple[float, float]:
    """Factors of the first and second difference, for share = 1 - exp(-h); their limits where h is 0 or infinite."""
    if h == 0:
        return 0.0, 0.0
    return 1 - share / h, (0.5 if math.isinf(h) else (share - h) / h**2 + 0.5)


def _moved(
    weights: Weights, heun: bool, order: int, growths: Sequence[float], latents: Vector, known: Sequence[Vector]
) -> Vector:
    """The next latents; `growths` are the length of this step over those of earlier ones, in lambda."""
    moved = weights.latents * latents + weights.newest * known[0]
    if order == 1:
        return moved
    if order == 2:
        factor = weights.heun if heun else weights.newest / 2
        return moved + factor * growths[0] * (known[0] - known[1])
    first, earlier = growths[0] * (known[0] - known[1]), growths[1] * (known[1] - known[2])
    near, far = 1 / growths[0], 1 / growths[1]
    bend = (first - earlier) / (near + far)
    return moved + weights.heun * (first + near * bend) + weights.second * bend
