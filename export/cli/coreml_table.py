"""`mobile-diffusion coreml table`: a model's packages in several layouts and compressions, side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.export import DeploymentTarget
from export.cli.parameters import DEFAULT_THREADS, Threads
from export.coreml.options import CoreMLOptions
from mobile_diffusion.cli.opening import Checkpoint, Opening, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import Json, show

RECIPES = ("none", "int8", "palettize-8", "palettize-6", "palettize-4")
UNITS = ("CPU_AND_GPU", "CPU_AND_NE")


def table(
    opening: Opening,
    checkpoint: Checkpoint = None,
    compress: Annotated[
        list[str] | None, typer.Option(help=f"Recipe or plan. May be repeated. Default: {', '.join(RECIPES)}.")
    ] = None,
    compute_units: Annotated[
        list[str] | None, typer.Option(help=f"May be repeated. Default: one per layout, {', '.join(UNITS)}.")
    ] = None,
    deployment_target: DeploymentTarget = CoreMLOptions.deployment_target,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Compare layouts and compressions of a model as Core ML packages.

    Every variant is run over whole drawings and compared with PyTorch. The ratios are the worst over four prompts and
    all steps; overflows are counted while the programs run. No package is kept, and no gate is checked.

    Example:

        mobile-diffusion coreml table --compress none --compress palettize-6
    """
    from export.studies.variants import measure_variants, variants_table
    from mobile_diffusion.checkpoint import open_source

    variants = [
        CoreMLOptions(units, deployment_target, recipe)
        for units in compute_units or UNITS
        for recipe in compress or RECIPES
    ]
    options = opening.options()
    with progress_bar() as progress, tempfile.TemporaryDirectory() as work:
        source = open_source(checkpoint_or_emoji(checkpoint), options)
        rows = measure_variants(source, variants, Path(work), threads=threads, progress=progress)
    show(json, rows, variants_table(rows))
