"""The whole examination: Python, packages, memory, disk, phones."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from export.doctor.finding import OK, OPTIONAL, WRONG, Finding
from export.doctor.packages import examine_conflicts, examine_packages, examine_python
from export.doctor.phones import examine_android, examine_iphone, examine_qnn
from export.job.free_space import available_memory, free_disk
from mobile_diffusion.units import GB, readable

LEAST_MEMORY, LARGE_MEMORY = 2.1 * GB, 6.5 * GB
"""Bytes that an export of the emoji model, and of Stable Diffusion 1.5, take (export/job/resources.py estimates)."""
LEAST_DISK, LARGE_DISK = 1 * GB, 10 * GB
"""Bytes for bundles of the emoji model for both phones, and for two of Stable Diffusion 1.5 beside its checkpoint."""


def examine(out: Path) -> tuple[Finding, ...]:
    """All findings; `out` is a folder of the disk on which bundles are to be written."""
    return (
        Finding("system", OK, f"{platform.system()} {platform.release()}, {platform.machine()}"),
        examine_python(),
        *examine_packages(),
        examine_conflicts(),
        examine_memory(),
        examine_disk(out),
        *examine_android(),
        *examine_iphone(),
        examine_qnn(),
    )


def examine_memory() -> Finding:
    """Memory that can be used without swapping."""
    free = available_memory()
    return _room("free memory", free, (LEAST_MEMORY, LARGE_MEMORY), "close other programs")


def examine_disk(out: Path) -> Finding:
    """Room on the disk of the output."""
    return _room(f"free disk at {out}", free_disk(out), (LEAST_DISK, LARGE_DISK), "make room, or choose another --out")


def _room(name: str, free: int, needs: tuple[float, float], fix: str) -> Finding:
    least, large = needs
    if free < least:
        return Finding(name, WRONG, f"{readable(free)}, needs {readable(int(least))} for the emoji model", fix)
    if free < large:
        found = f"{readable(free)}, Stable Diffusion needs {readable(int(large))}"
        return Finding(name, OPTIONAL, found, f"for Stable Diffusion: {fix}")
    return Finding(name, OK, readable(free))


def doctor_table(findings: Sequence[Finding]) -> Table:
    """The findings as a table, with the fix in the last column."""
    table = Table(title="This computer")
    for column in ("what", "", "found", "fix"):
        table.add_column(column, overflow="fold")
    for each in findings:
        table.add_row(each.name, each.state, each.found, each.fix)
    return table


def problems(findings: Sequence[Finding]) -> list[str]:
    """Names of what must be fixed before anything is exported."""
    return [each.name for each in findings if each.state == WRONG]
