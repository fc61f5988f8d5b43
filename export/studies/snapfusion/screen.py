"""The table of the milestones of SnapFusion's method, and its gates, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from export.report.quality import shown
from export.studies.snapfusion.gates import Gate
from export.studies.snapfusion.milestones import Milestone, Results

COSTS = ("U-Net, M", "GMACs", "decoder, M", "GMACs", "MB", "evaluations", "steps", "step, ms", "picture, ms")
QUALITY = ("set", "KID x 1000", "R@5 %", "cosine")


def milestones_screen(results: Results, checked: Sequence[Gate]) -> RenderableType:
    """Costs of every milestone, its quality by set of prompts, and the gates."""
    return Group(_costs(results), _quality(results), _gates(checked))


def milestones_figures(results: Results, checked: Sequence[Gate]) -> dict[str, Any]:
    """The same as plain values, without the single prompts and resamples behind the intervals."""
    return {
        "milestones": [_figures_of(results, row) for row in results.rows],
        "gates": [asdict(gate) | {"verdict": gate.verdict} for gate in checked],
    }


def _figures_of(results: Results, row: Milestone) -> dict[str, Any]:
    values, times = asdict(row), results.times_of(row)
    for each in values["sets"]:
        for name in ("ranks", "cosines", "kid_resamples"):
            del each[name]
    measured = {"step_ms": times and times.step_ms, "picture_ms": times and times.picture_ms}
    return values | measured


def costs_of(results: Results, row: Milestone) -> list[str]:
    """The cells of COSTS."""
    times = results.times_of(row)
    sizes = [row.unet_parameters / 1e6, row.unet_macs / 1e9, row.decoder_parameters / 1e6, row.decoder_macs / 1e9]
    cells = [*(f"{size:.2f}" for size in sizes), f"{row.artifact_bytes / 1e6:.0f}", str(row.evaluations)]
    measured = ["", ""] if times is None else [f"{times.step_ms:.1f}", f"{times.picture_ms:.0f}"]
    return [*cells, str(row.steps), *measured]


def conditions_of(results: Results) -> str:
    """How the figures were taken, in a sentence or two."""
    counts = sorted({f"{row.count} prompts a set from seed {row.seed}" for row in results.rows})
    same = ", the same for every row" if len(counts) == 1 else ""
    text = f"Quality: {', '.join(counts) or 'not measured'}{same}; 95 % bootstrap intervals."
    timing = results.timing
    if timing is None:
        return f"{text} Times: not measured."
    rounds = len(timing.rows[0].denoise) if timing.rows else 0
    place = f"{timing.conditions.processor}, {timing.threads} threads"
    times = f"{timing.runtime} in float32 on {place}, median of {rounds} interleaved rounds; not times of a phone."
    old = [row.name for row in results.rows if results.times_of(row) is None]
    return f"{text} Times: {times}" + (f" No current times: {', '.join(old)}." if old else "")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left", caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column in ("set", "prompts") else "right")
    return table


def _costs(results: Results) -> Table:
    table = _table("Milestones of SnapFusion's method", "milestone", *COSTS)
    for row in results.rows:
        table.add_row(row.title, *costs_of(results, row))
    table.caption = (
        "GMACs: of one evaluation, and of the decoder. MB: all programs in float32. picture: the prompt, all steps and "
        f"the decoder. {conditions_of(results)}"
    )
    return table


def _quality(results: Results) -> Table:
    table = _table("Quality", "milestone", *QUALITY)
    for row in results.rows:
        for number, each in enumerate(row.sets):
            cells = shown(each.kid, 1000, 1), shown(each.recall_5, 100, 0), shown(each.cosine, 1, 3)
            table.add_row(row.title if number == 0 else "", each.name, *cells)
    if results.rows:
        real = {each.name: each.real_recall_5.value for each in results.rows[0].sets}
        table.caption = "R@5 of real pictures: " + ", ".join(
            f"{name} {100 * value:.0f} %" for name, value in real.items()
        )
    return table


def _gates(checked: Sequence[Gate]) -> Table:
    table = _table("Figures to reach", "ratio", "prompts", "limit", "measured", "verdict")
    for gate in checked:
        table.add_row(*gate_cells(gate))
    return table


def gate_cells(gate: Gate) -> tuple[str, ...]:
    """Ratio, prompts, limit, figure with interval, verdict."""
    limit = f"{'at least' if gate.least else 'at most'} {gate.limit:g}"
    return gate.what, gate.where, limit, "" if gate.ratio is None else shown(gate.ratio, 1, 3), gate.verdict
