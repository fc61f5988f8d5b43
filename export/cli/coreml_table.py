"""`mobile-diffusion coreml table`: a model's packages in several layouts and compressions, side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Checkpoint, DeploymentTarget, Threads
from export.cli.opening import opens_checkpoint
from export.coreml.options import CoreMLOptions
from mobile_diffusion.formats.open_options import OpenOptions

RECIPES = ("none", "int8", "palettize-8", "palettize-6", "palettize-4")
UNITS = ("CPU_AND_GPU", "CPU_AND_NE")


@opens_checkpoint
def table(
    checkpoint: Checkpoint,
    options: OpenOptions,
    compress: Annotated[
        list[str] | None,
        typer.Option(help=f"Recipe or plan; may be repeated. By default: {', '.join(RECIPES)}."),
    ] = None,
    compute_units: Annotated[
        list[str] | None, typer.Option(help=f"May be repeated. By default both layouts: {', '.join(UNITS)}.")
    ] = None,
    deployment_target: DeploymentTarget = CoreMLOptions.deployment_target,
    threads: Threads = 2,
) -> None:
    """Lower a model in every layout, compress it by every recipe, run each over whole trajectories beside PyTorch.

    Ratios are the worst over four prompts and all steps; overflows are counted while the programs run. Nothing is
    kept, and no gate is asked. Example:

        mobile-diffusion coreml table assets/emoji --compress none --compress palettize-6
    """
    from export.studies.variants import measure_variants, variants_table
    from mobile_diffusion.checkpoint import open_source

    variants = [
        CoreMLOptions(units, deployment_target, recipe)
        for units in compute_units or UNITS
        for recipe in compress or RECIPES
    ]
    with progress_bar() as progress, tempfile.TemporaryDirectory() as work:
        source = open_source(checkpoint, options)
        rows = measure_variants(source, variants, Path(work), threads=threads, progress=progress)
    results().print(variants_table(rows))
