"""How the threads of a computation wait for each other: asleep, so that a command stays fast beside other work.

A thread of OpenMP (PyTorch) or ONNX Runtime spins while it waits, unless it is told to sleep.  On a machine with other
work a spinning thread holds a core that the thread it waits for needs, and a command becomes many times slower
(benchmarks/machine/busy.py).  Whoever sets `OMP_WAIT_POLICY` keeps the setting, for ONNX Runtime, too.
"""

from __future__ import annotations

import os

VARIABLE = "OMP_WAIT_POLICY"
"""ACTIVE or PASSIVE (OpenMP 5.2, section 21.7); read by OpenMP's library when it is loaded."""


def wait_asleep() -> None:
    """Let this process and those that it starts wait asleep, unless the user has chosen.

    Importing `mobile_diffusion` calls it, so it holds if that happens before torch is imported.
    """
    os.environ.setdefault(VARIABLE, "PASSIVE")


def may_spin() -> bool:
    """Whether the user has asked for spinning."""
    return os.environ.get(VARIABLE, "").strip().upper() == "ACTIVE"


def wait_policy() -> str:
    """The policy in force, for the conditions of a measurement: "active", "passive", or "unset"."""
    return os.environ.get(VARIABLE, "").strip().lower() or "unset"


def usable_cores() -> int:
    """Logical processors that this process may use: fewer than the machine has under `taskset` or in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
