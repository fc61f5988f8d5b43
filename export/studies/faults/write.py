"""Writes reports: one JSON file, and a plot per package beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from export.studies.faults.plot import plot_ranges
from export.studies.faults.report import FaultReport
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import write_bytes


def check_writable(out: Path | None) -> None:
    """Raise `ExportError` when the report cannot be written to `out`; called before any work."""
    if out is None:
        return
    if out.is_dir() or out.suffix != ".json":
        raise ExportError(f"{out}: expected a file name that ends in .json, got {quoted(out.name)}")
    if not out.parent.is_dir():
        raise ExportError(f"{out}: expected an existing folder, got none at {out.parent}; make it first")


def write_reports(reports: Sequence[FaultReport], out: Path) -> None:
    """Write the JSON to `out`, and a plot per report to `<out>-<package>.png`; the plots come first.

    Raises:
        ExportError: matplotlib is not installed.
    """
    for report in reports:
        plot_ranges(report, picture_path(out, report))
    content = {"reports": [report.to_dict() for report in reports]}
    write_bytes((json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), out)


def picture_path(out: Path, report: FaultReport) -> Path:
    """Path of a report's plot."""
    return out.with_name(f"{out.stem}-{report.package}.png")
