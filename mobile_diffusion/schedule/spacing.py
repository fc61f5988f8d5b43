"""The training timesteps at which a sampler of N steps evaluates the network (Lin et al. 2023, table 2)."""

from __future__ import annotations

import numpy as np

from mobile_diffusion.config import SPACINGS, ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted


def check_steps(config: ScheduleConfig, steps: int | None) -> int:
    """The number of sampling steps, by default `config.steps`; raises ConfigError unless it is 1 to train_steps."""
    count = config.steps if steps is None else steps
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= config.train_steps:
        raise ConfigError(f"steps: expected an integer from 1 to {config.train_steps}, got {quoted(count)}")
    return count


def timesteps(config: ScheduleConfig, steps: int | None = None) -> tuple[int, ...]:
    """Training timesteps of a sampler with `steps` steps, noisiest first; only "leading" spacing uses the offset.

    Raises ConfigError for a number of steps that is out of range, and when a timestep would be out of range.
    """
    count, total = check_steps(config, steps), config.train_steps
    if config.spacing == "trailing":
        ends = np.arange(total, 0, -total / count)[:count]  # rounding errors can add one element
        return tuple(int(end) - 1 for end in ends.round())
    if config.spacing == "linspace":
        return tuple(int(t) for t in np.linspace(0, total - 1, count).round()[::-1])
    if config.spacing == "leading":
        return _leading(total, count, config.offset)
    raise ConfigError(f"spacing: expected one of {SPACINGS}, got {quoted(config.spacing)}")


def _leading(total: int, count: int, offset: int) -> tuple[int, ...]:
    """Multiples of total // count plus the offset, noisiest first."""
    result = tuple(step * (total // count) + offset for step in reversed(range(count)))
    if result[0] >= total:
        raise ConfigError(
            f"offset: expected timesteps within 0..{total - 1}, got {result[-1]}..{result[0]}; take fewer steps"
        )
    return result
