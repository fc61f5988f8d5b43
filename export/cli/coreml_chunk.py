"""`mobile-diffusion coreml chunk`: a package in parts of a limited size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from export.cli.display import progress_bar
from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from export.coreml.chunks import Chunks

MEGA = 1_000_000


def chunk(
    package: Annotated[Path, typer.Argument(help="The .mlpackage to split.")],
    out: Annotated[Path, typer.Option(help="Package to write, or with --separate a folder; must not exist.")],
    limit_mb: Annotated[float, typer.Option(min=0.001, help="Most megabytes of weights per part.")] = 500.0,
    separate: Annotated[
        bool, typer.Option("--separate", help="Write one package per part, for apps that load them one at a time.")
    ] = False,
    json: Json = False,
) -> None:
    """Split a Core ML package into parts below a size limit.

    The parts are joined again as one package, which an app opens as before. In our interpreter of Core ML programs the
    parts compute the same bits as the whole. Whether a device loads them, and how fast, is unverified here.

    Example:

        mobile-diffusion coreml chunk denoise.mlpackage --limit-mb 30 --out cut.mlpackage
    """
    from export.coreml.chunks import split_package

    with progress_bar() as progress:
        found = split_package(package, int(limit_mb * MEGA), out, separate, progress)
    count = len(found.chunks)
    end = "below the limit already, copied unchanged" if count == 1 else f"{count} parts"
    show(json, found, chunk_table(found), f"{out}: {end}")


def chunk_table(found: Chunks) -> Table:
    """One row per part."""
    table = Table(title=f"Parts of at most {found.limit_bytes / MEGA:g} MB of weights")
    for column in ("part", "operations", "weights", "inputs", "outputs", "passed on to the next"):
        table.add_column(column, justify="left" if column == "part" else "right")
    crossing = [f"{size / MEGA:.3f} MB" for size in found.crossing_bytes]
    for number, (part, passed) in enumerate(zip(found.chunks, [*crossing, ""], strict=True), 1):
        counts = (str(part.operations), f"{part.weight_bytes / MEGA:.1f} MB", len(part.inputs), len(part.outputs))
        table.add_row(str(number), *map(str, counts), passed)
    return table
