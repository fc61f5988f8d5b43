"""`mobile-diffusion inspect`: what a checkpoint is, costs and needs, on one screen.

Only the display is here; the work is `mobile_diffusion.inspection`, imported when the command runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mobile_diffusion.cli.opening import Checkpoint, Opening, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import Json, show
from mobile_diffusion.units import readable

if TYPE_CHECKING:
    from mobile_diffusion.inspection import Inspection


def inspect(opening: Opening, checkpoint: Checkpoint = None, json: Json = False) -> None:
    """Show a checkpoint's components, work, sizes and memory without loading it.

    Takes the options of `mobile-diffusion export`, so it shows what they will export.

    Example:

        mobile-diffusion inspect --size 256 --steps 4
    """
    from mobile_diffusion.checkpoint import open_source
    from mobile_diffusion.inspection import inspect_checkpoint

    inspection = inspect_checkpoint(open_source(checkpoint_or_emoji(checkpoint), opening.options()))
    show(json, inspection.to_dict(), screen(inspection))


def screen(inspection: Inspection) -> RenderableType:
    """A whole inspection: heading, components, stages, phones."""
    return Group(_heading(inspection), _components(inspection), _stages(inspection), _phones(inspection))


def _heading(inspection: Inspection) -> Table:
    schedule = inspection.schedule
    scale = f"scale {schedule.guidance:g}" + (", embedded" if inspection.guidance_embedded else "")
    evaluations = "two evaluations a step" if schedule.applied_guidance == "cfg" else "one evaluation a step"
    sampler = f"{schedule.solver}, {schedule.steps} steps, {schedule.spacing} spacing"
    terminal = ", zero terminal SNR" if schedule.zero_terminal_snr else ""
    rows = {
        "checkpoint": f"{inspection.path} ({inspection.format}, {inspection.licence or 'licence not stated'})",
        "model": f"{inspection.name}, U-Net of {inspection.preset or 'no preset'}",
        "picture": f"{inspection.width} x {inspection.height} pixels",
        "predicts": f"{schedule.prediction}, {schedule.beta_schedule} betas{terminal}",
        "sampler": sampler,
        "guidance": f"{schedule.applied_guidance} ({evaluations}), {scale}",
        "tokenizer": f"{inspection.tokenizer}, {inspection.max_tokens} tokens",
        "float32": "; ".join(inspection.float32),
        "changes": "; ".join(inspection.changes),
    }
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for name, text in rows.items():
        if text:
            grid.add_row(name, text)
    return grid


def _components(inspection: Inspection) -> Table:
    table = _table("component", "architecture", "M parameters", "stored as", "on disk")
    for part in inspection.components:
        count, size = f"{part.parameters / 1e6:.1f}", readable(part.bytes_on_disk)
        table.add_row(part.name, part.architecture, count, "+".join(part.dtypes), size)
    return table


def _stages(inspection: Inspection) -> Table:
    precisions = list(inspection.stages[0].weight_bytes)
    table = _table("stage", "runs", "GMACs", "activations", *precisions)
    for stage in inspection.stages:
        sizes = [readable(stage.weight_bytes[precision]) for precision in precisions]
        runs = str(stage.runs) if stage.runs else "(img2img)"
        table.add_row(stage.name, runs, f"{stage.macs / 1e9:,.1f}", readable(stage.activation_bytes), *sizes)
    work = f"one picture: {inspection.macs / 1e12:.2f} TMACs"
    table.caption = f"{work}; figures per run; activations in fp32; weights by precision"
    return table


def _phones(inspection: Inspection) -> Table:
    table = _table("phone", "takes it", "needs", "why")
    for verdict in inspection.verdicts:
        answer = "yes" if verdict.takes else f"only at {verdict.precision}" if verdict.precision else "no"
        table.add_row(verdict.phone, answer, readable(verdict.need), verdict.reason)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in columns:
        words = column in ("component", "architecture", "stage", "stored as", "phone", "takes it", "why")
        table.add_column(column, justify="left" if words else "right", no_wrap=column not in ("architecture", "why"))
    return table
