"""`mobile-diffusion coreml plan`: how few bits each layer needs."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from export.cli.display import progress_bar
from mobile_diffusion.cli.opening import Checkpoint, Opening, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from export.compression import CompressionPlan

MEGA = 1_000_000


def plan(
    opening: Opening,
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    checkpoint: Checkpoint = None,
    bits: Annotated[float | None, typer.Option(help="Most bits per weight, on average.")] = None,
    snr: Annotated[
        float | None, typer.Option(help="Instead of --bits: least SNR of the network's predictions, in dB.")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, max=4, help="Drawings to record states of.")] = 3,
    states: Annotated[int, typer.Option(min=1, max=4, help="States per step to measure on.")] = 1,
    deployment_target: Annotated[str, typer.Option(help="As in the export: iOS16, iOS17 or iOS18.")] = "iOS17",
    compute_units: Annotated[str, typer.Option(help="As in the export: CPU_AND_GPU, CPU_ONLY or ALL.")] = "CPU_AND_GPU",
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of PyTorch.")] = 2,
    json: Json = False,
) -> None:
    """Measure how few bits each layer of the U-Net needs, and choose them within a budget.

    Use the plan with `mobile-diffusion export ios --compress plan.json` or `mobile-diffusion coreml compress`. The
    layers are measured on real drawings.

    Example:

        mobile-diffusion coreml plan --bits 4.5 --out plan.json
    """
    from export.coreml.options import CoreMLOptions
    from export.studies.bits.planning import Budget
    from export.studies.bits.recording import plan_checkpoint
    from mobile_diffusion.checkpoint import open_source

    budget, options, path = Budget(bits, snr), opening.options(), checkpoint_or_emoji(checkpoint)
    chosen = CoreMLOptions(compute_units=compute_units, deployment_target=deployment_target)
    with progress_bar() as progress, tempfile.TemporaryDirectory() as folder:
        progress(f"opening {path}", 0.0)
        source = open_source(path, options)
        made = plan_checkpoint(source, budget, chosen, Path(folder), prompts, states, threads, progress)
        made.save(out)
    bits_found, measured, predicted = made.conditions["bits_per_weight"], made.measured_snr_db, made.predicted_snr_db
    end = (
        f"{out}: {bits_found:.2f} bits per weight; predictions at {measured} dB, "
        f"{predicted} dB if the layers' errors simply added up"
    )
    show(json, made, plan_table(made), end)


def plan_table(made: CompressionPlan) -> Table:
    """How many layers and weights each recipe has."""
    table = Table(title=f"Recipes of {made.stage} within {made.budget}")
    for column in ("recipe", "layers", "weights"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for name in sorted({layer.recipe for layer in made.layers}):
        counts = [prod(layer.shape) for layer in made.layers if layer.recipe == name]
        table.add_row(name, str(len(counts)), f"{sum(counts) / MEGA:.2f} M")
    return table
