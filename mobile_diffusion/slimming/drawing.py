"""Pictures of an evolution: quality against latency, and how many blocks each stage has before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mobile_diffusion.atomic import replacing
from mobile_diffusion.config import Stage, UNetConfig
from mobile_diffusion.slimming.evolution import Decision
from mobile_diffusion.slimming.latency import LatencyTable


def draw_evolution(decisions: Sequence[Decision], before: float, table: LatencyTable, path: Path) -> None:
    """Write a PNG: on the left every round as a point, on the right the stages' blocks; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    curve, blocks = figure.subplots(1, 2)
    times = [table.step_ms(table.unet), *(decision.step_ms for decision in decisions)]
    losses = [-before, *(-decision.quality for decision in decisions)]
    curve.plot(times, losses, marker="o")
    for time, loss, decision in zip(times[1:], losses[1:], decisions, strict=True):
        curve.annotate(str(decision.action), (time, loss), fontsize=6, rotation=20)
    curve.set_xlabel(f"one evaluation, ms by the table ({table.runtime}, {table.processor})")
    curve.set_ylabel("loss on the same batches")
    curve.invert_xaxis()
    _draw_blocks(blocks, table.unet, decisions[-1].unet if decisions else table.unet)
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110)


def _draw_blocks(axes: object, full: UNetConfig, slim: UNetConfig) -> None:
    """Bars of ResNet blocks and transformers by stage: full ones behind, slim ones in front."""
    names = [*(f"down {n}" for n in range(len(full.down))), "mid", *(f"up {n}" for n in range(len(full.up)))]
    place = range(len(names))
    for offset, field in ((-0.2, "resnets"), (0.2, "transformers")):
        where = [position + offset for position in place]
        axes.bar(where, _counts(full, field), width=0.36, color="lightgrey")  # type: ignore[attr-defined]
        axes.bar(where, _counts(slim, field), width=0.24, label=field)  # type: ignore[attr-defined]
    axes.set_xticks(list(place), names)  # type: ignore[attr-defined]
    axes.set_ylabel("blocks (grey: before)")  # type: ignore[attr-defined]
    axes.legend()  # type: ignore[attr-defined]


def _counts(config: UNetConfig, field: str) -> list[int]:
    stages: list[Stage | None] = [*config.down, config.mid, *config.up]
    return [0 if stage is None else int(getattr(stage, field)) for stage in stages]
