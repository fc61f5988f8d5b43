"""The picture of an evolution: quality against latency after every decision, and the blocks before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import TrainingError
from mobile_diffusion.slimming.blocks import RESNET, TRANSFORMER
from mobile_diffusion.slimming.evolution import Decision
from mobile_diffusion.slimming.latency import LatencyTable
from mobile_diffusion.staging import staged_file

COLOURS = {RESNET: "tab:blue", TRANSFORMER: "tab:orange"}
MARKS = {-1: "v", 1: "^"}
"""Marker of a decision: one block fewer, or one more."""
GONE = "0.88"
LIST_COLUMN = 18
"""Decisions per column of the list."""


def draw_evolution(decisions: Sequence[Decision], before: float, table: LatencyTable, path: Path) -> None:
    """Write a PNG: every decision as a numbered point, the list of them, and below them the blocks of every level.

    `before` is the quality of the full network.  Raises TrainingError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError("expected matplotlib, got none; install mobile-diffusion[train]") from None
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplot_mosaic([["curve", "list"], ["map", "map"]], width_ratios=(1.5, 1))
    _draw_curve(panels["curve"], decisions, before, table)
    _draw_list(panels["list"], decisions, table)
    _draw_map(panels["map"], table.unet, decisions[-1].unet if decisions else table.unet)
    with staged_file(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110)


def _draw_curve(axes: Any, decisions: Sequence[Decision], before: float, table: LatencyTable) -> None:
    """Distance against latency: the full network, then one point per decision."""
    times = [table.step_ms(table.unet), *(decision.step_ms for decision in decisions)]
    distances = [-before, *(-decision.quality for decision in decisions)]
    axes.plot(times, distances, color="0.7", zorder=1)
    axes.scatter(times[:1], distances[:1], marker="o", color="black", zorder=2)
    axes.annotate("full", (times[0], distances[0]), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    for number, decision in enumerate(decisions, 1):
        action, place = decision.action, (times[number], distances[number])
        axes.scatter(*place, marker=MARKS[action.change], color=COLOURS[action.kind], zorder=2)
        axes.annotate(str(number), place, (0, 7), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xlabel(f"one evaluation, ms by the table ({table.runtime}, {table.processor})")
    axes.set_ylabel("distance to the full network's guided output")
    axes.margins(0.08, 0.15)
    axes.invert_xaxis()
    axes.grid(alpha=0.3)


def _draw_list(axes: Any, decisions: Sequence[Decision], table: LatencyTable) -> None:
    """The decisions with their numbers, in as many columns as they need."""
    axes.set_axis_off()
    ends = [table.step_ms(table.unet), *(decision.step_ms for decision in decisions)]
    columns = -(-len(decisions) // LIST_COLUMN) or 1
    for number, decision in enumerate(decisions):
        text = f"{number + 1}  {decision.action}: {decision.step_ms - ends[number]:+.1f} ms"
        place = number // LIST_COLUMN / columns, 1 - number % LIST_COLUMN / LIST_COLUMN
        colour = COLOURS[decision.action.kind]
        axes.text(*place, text, va="top", fontsize=9 if columns == 1 else 7, color=colour, transform=axes.transAxes)


def _draw_map(axes: Any, full: UNetConfig, slim: UNetConfig) -> None:
    """A bar for every block, by level: coloured if it stays, grey if it was removed, framed if it is new."""
    from matplotlib.patches import Patch

    handles = []
    for kind, shift in ((RESNET, -0.2), (TRANSFORMER, 0.2)):
        before, after = _counts(full, kind), _counts(slim, kind)
        for level, counts in enumerate(zip(before, after, strict=True)):
            _draw_blocks(axes, level + shift, counts, COLOURS[kind])
        handles.append(Patch(color=COLOURS[kind], label=f"{kind}: {sum(before)} before, {sum(after)} after"))
    handles.append(Patch(color=GONE, label="removed"))
    handles.append(Patch(facecolor="white", edgecolor="black", linewidth=2.0, label="framed: repeated"))
    names = [*(f"down.{n}" for n in range(len(full.down))), "mid", *(f"up.{n}" for n in range(len(full.up)))]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("blocks")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(handles=handles, loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.14), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_blocks(axes: Any, place: float, counts: tuple[int, int], colour: str) -> None:
    """The blocks of one kind in one level, stacked."""
    before, after = counts
    for block in range(max(counts)):
        edge, width = ("black", 2.0) if block >= before else ("white", 1.0)
        shown = colour if block < after else GONE
        axes.bar(place, 0.86, 0.34, bottom=block, color=shown, edgecolor=edge, linewidth=width)


def _counts(config: UNetConfig, kind: str) -> list[int]:
    """Blocks of one kind, level by level."""
    levels: list[UNetLevel | None] = [*config.down, config.mid, *config.up]
    return [0 if level is None else int(getattr(level, f"{kind}s")) for level in levels]
