"""Draws quality against time per picture of every milestone into docs/pictures/snapfusion-stages.png.

    .venv/bin/python -m benchmarks.snapfusion.plot    # from benchmarks/results/snapfusion.json

A figure is the mean over the sets of prompts, with its 95 % bootstrap interval.  The dashed line is the limit that the
student has to keep: 95 % of the 50-step teacher's cosine, 1.25 times its KID.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT
from benchmarks.snapfusion.milestones import RESULT
from export.studies.snapfusion.gates import KID, RETRIEVAL, Models
from export.studies.snapfusion.means import mean_cosine, mean_kid
from export.studies.snapfusion.milestones import Milestone, Results, read_results
from mobile_diffusion.quality.bootstrap import Interval
from mobile_diffusion.staging import staged_file

PICTURE = ROOT / "docs" / "pictures" / "snapfusion-stages.png"


PANELS: tuple[tuple[str, Callable[[Milestone], Interval], float], ...] = (
    ("cosine to the caption, higher is better", mean_cosine, RETRIEVAL),
    ("KID, lower is better", mean_kid, KID),
)


def draw(results: Results, path: Path) -> None:
    """Write the PNG; rows without times are left out."""
    figure = Figure(figsize=(12, 5), dpi=110, layout="constrained")
    for axes, (title, measure, limit) in zip(figure.subplots(1, 2), PANELS, strict=True):
        panel(axes, results, title, measure, limit)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    with staged_file(path) as scratch:
        figure.savefig(scratch, format="png")


def panel(axes: Any, results: Results, title: str, measure: Callable[[Milestone], Interval], limit: float) -> None:
    """One figure against time."""
    for number, row in enumerate(results.rows):
        times = results.times_of(row)
        if times is None:
            continue
        found = measure(row)
        bars = [[found.value - found.low], [found.high - found.value]]
        label = f"{row.title}, {row.steps} steps"
        axes.errorbar([times.picture_ms], [found.value], bars, fmt="o", capsize=3, color=f"C{number}", label=label)
        if row.name == Models.teacher:
            axes.axhline(limit * found.value, color="0.5", ls="--", lw=1)
    axes.set(xlabel="time of a picture, ms", ylabel=title, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25, which="both")


def main(
    results: Annotated[Path, typer.Option(help="JSON to read.")] = RESULT,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = PICTURE,
) -> None:
    """Draw the picture."""
    draw(read_results(results), out)


if __name__ == "__main__":
    run_script(main, __doc__)
