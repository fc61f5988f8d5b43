"""How much of the machine other processes take while a measurement runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

BUSY = 0.1
"""Share of the processor from which on a measurement is called disturbed."""


def watch_others() -> Callable[[], float]:
    """Start watching; the returned function gives the share of all cores' time that others took since then, 0 to 1.

    Counted are user, system and stolen time of the whole machine, less what this process and its living children took.
    """
    started, everything, ours = time.monotonic(), _taken(), _own()

    def share() -> float:
        span = (time.monotonic() - started) * (os.cpu_count() or 1)
        others = (_taken() - everything) - (_own() - ours)
        return min(max(others / span, 0.0), 1.0) if span > 0 else 0.0

    return share


def _taken() -> float:
    """Seconds that all cores have worked since the machine started."""
    times = psutil.cpu_times()
    parts = ("user", "nice", "system", "irq", "softirq", "steal")  # guests are within user and nice
    return float(sum(getattr(times, part, 0.0) for part in parts))


def _own() -> float:
    """Seconds of this process and of its living children."""
    process = psutil.Process()
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        try:
            times = member.cpu_times()
        except psutil.Error:  # it ended between two looks
            continue
        total += times.user + times.system
    return total
