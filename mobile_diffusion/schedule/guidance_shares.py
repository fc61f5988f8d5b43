"""Guidance in a part of the steps, or of another strength at each: a share of it per row of a step table.

At share s and scale w, a step is guided by 1 + s (w - 1).  Where that is 1, the network is evaluated once, not twice.
"""

from __future__ import annotations

from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule.table import StepTable

Interval = tuple[float, float]
"""Where guidance begins and ends, as shares of the steps."""


def shares_within(interval: Interval, evaluations: int) -> tuple[float, ...]:
    """`ScheduleConfig.guidance_shares` of an interval (Kynkaanniemi et al. 2024), rounded as by diffusers' guiders.

    Raises ConfigError for an interval that is not within 0 to 1, or that has no step.
    """
    start, stop = interval
    first, end = (int(share * evaluations) if 0 <= share <= 1 else -1 for share in interval)
    if not 0 <= first < end:
        raise ConfigError(
            f"guidance_interval: expected two numbers from 0 to 1 with a step of {evaluations} in between, "
            f"got {start:g} and {stop:g}; give 0 and 0.5 for the first half"
        )
    return tuple(float(first <= evaluation < end) for evaluation in range(evaluations))


def row_shares(schedule: ScheduleConfig, table: StepTable) -> tuple[float, ...]:
    """The share of the guidance at each row of a table; () where every step is guided alike.

    Raises ConfigError when the schedule does not have a share for each evaluation.
    """
    shares, count = schedule.guidance_shares, len(table.rows())
    if shares and len(shares) != count:
        evaluations = f"{count}, one for each evaluation of {quoted(schedule.solver)}"
        raise ConfigError(f"guidance_shares: expected {evaluations}, got {len(shares)}")
    return tuple(shares[evaluation] for evaluation in table.evaluations()) if shares else ()
