"""`mobile-diffusion slim`: a slim checkpoint initialised from a full one.

Only the display is here; the work is `mobile_diffusion.slim`, imported when the command runs.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from mobile_diffusion.slim import SlimBlock, SlimReport


OUTER = "outer layers"


def slim(
    checkpoint: Annotated[str, typer.Argument(help="Full checkpoint: folder, single file or hub id.")],
    preset: Annotated[str, typer.Option(help="Which blocks to keep: bk-sdm-base, bk-sdm-tiny, snapfusion, ...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint folder to write.")],
    overwrite: Annotated[bool, typer.Option(help="Replace the checkpoint that is already there.")] = False,
    json: Json = False,
) -> None:
    """Initialise a slim U-Net from a full checkpoint by dropping blocks; it needs training.

    Example:

        mobile-diffusion slim stable-diffusion-v1-5 --preset bk-sdm-tiny --out runs/tiny
    """
    from mobile_diffusion.checkpoint import open_source
    from mobile_diffusion.slim import slim_checkpoint

    report = slim_checkpoint(open_source(checkpoint), preset, out, overwrite)
    show(json, report, slim_table(report, f"{checkpoint} -> {preset}"), f"{out} written; train it before use")


def slim_table(report: SlimReport, title: str) -> Table:
    """A row a stage: the blocks that were kept, copied and dropped, and their parameters."""
    table = Table(title=title, caption=_totals(report))
    for column in ("stage", "kept", "copied", "dropped"):
        table.add_column(column)
    table.add_column("M parameters", justify="right")
    groups = [{stage: list(blocks) for stage, blocks in _by_stage(blocks)} for blocks in _fates(report)]
    for stage in sorted({stage for group in groups for stage in group}, key=lambda stage: (stage == OUTER, stage)):
        kept, copied, dropped = (group.get(stage, []) for group in groups)
        size = sum(block.parameters for block in (*kept, *copied)) / 1e6
        table.add_row(stage, _short(kept), _short(copied), _short(dropped), f"{size:.1f}")
    return table


def _fates(report: SlimReport) -> tuple[tuple[SlimBlock, ...], ...]:
    return report.kept, report.copied, report.dropped


def _by_stage(blocks: tuple[SlimBlock, ...]) -> groupby[str, SlimBlock]:
    return groupby(sorted(blocks, key=_stage), _stage)


def _stage(block: SlimBlock) -> str:
    """The stage of the full network that a block belongs to."""
    head, *rest = block.source.split(".")
    if head in ("down_blocks", "up_blocks"):
        return f"{head}.{rest[0]}"
    return head if head == "mid_block" else OUTER


def _short(blocks: list[SlimBlock]) -> str:
    """Blocks by kind, with their numbers in the full network."""
    names = [block.source.split(".")[-2:] for block in blocks if "." in block.source]
    kinds = dict.fromkeys(kind for kind, _ in names)
    parts = [f"{kind} {', '.join(number for other, number in names if other == kind)}" for kind in kinds]
    return "; ".join(parts) or ("all" if blocks else "")


def _totals(report: SlimReport) -> str:
    before, after = report.full_parameters, report.parameters
    return f"U-Net: {before / 1e6:.1f} M -> {after / 1e6:.1f} M parameters ({after / before:.0%})"
