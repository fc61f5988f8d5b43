"""Plots the range of every operation of a program beside the range of float16."""

from __future__ import annotations

import math
from pathlib import Path

from export.studies.faults.counts import HALF_MAX, HALF_NORMAL
from export.studies.faults.report import FaultReport
from mobile_diffusion.errors import ExportError
from mobile_diffusion.staging import staged_file

SMALLEST = 2.0**-24
"""float16's smallest number above zero."""
MARKS = {"overflow": "tab:red", "nan": "black", "infinite": "tab:purple", "saturated": "tab:orange"}
"""Faults that the plot marks."""


def plot_ranges(report: FaultReport, path: Path) -> None:
    """Write a PNG: a bar from the smallest to the largest magnitude of every operation, and float16's limits.

    Raises:
        ExportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        need = "expected matplotlib for the picture, got none; pip install 'mobile-diffusion[train]'"
        raise ExportError(need) from None
    figure = Figure(figsize=(11, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    bars = [each for each in report.operations if each.counts.highest > 0 and math.isfinite(each.counts.lowest)]
    axes.vlines(
        [each.position for each in bars],
        [each.counts.lowest for each in bars],
        [each.counts.highest for each in bars],
        colors="tab:blue",
        linewidth=1,
    )
    for kind, colour in MARKS.items():
        marked = report.with_fault(kind)
        places, heights = [each.position for each in marked], [max(each.counts.highest, SMALLEST) for each in marked]
        axes.plot(places, heights, "o", markersize=4, color=colour, label=f"{kind}: {len(marked)} operations")
    axes.axhspan(SMALLEST, HALF_NORMAL, color="tab:olive", alpha=0.15, label="subnormal in float16")
    axes.axhline(HALF_MAX, color="tab:red", linewidth=1, label="largest float16")
    axes.axhline(SMALLEST, color="tab:olive", linewidth=1)
    axes.set_yscale("log", base=2)
    axes.set(xlabel="operation, in the order of the program", ylabel="magnitude but zero, before rounding")
    axes.set_title(f"{report.package}, {report.precision}: the widest range over {len(report.cases)} inputs")
    axes.legend(loc="lower right", fontsize="small", ncols=2)
    with staged_file(path) as scratch:
        figure.savefig(scratch, format="png")
