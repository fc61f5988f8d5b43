"""`mobile-diffusion coreml chunk`: a package in parts of a limited size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli.display import progress_bar, results

if TYPE_CHECKING:
    from rich.table import Table

    from export.coreml.chunks import Chunks

MEGA = 1_000_000


def chunk(
    package: Annotated[Path, typer.Argument(help="The .mlpackage to cut.")],
    out: Annotated[Path, typer.Option(help="Package to write, or with --separate a folder; must not exist.")],
    limit_mb: Annotated[float, typer.Option(min=0.001, help="Most megabytes of weights that a part may have.")] = 500.0,
    separate: Annotated[
        bool, typer.Option("--separate", help="A package for each part, for apps that load them in turn.")
    ] = False,
) -> None:
    """Cut a Core ML package into parts below a size, joined again as one package that an app opens as before.

    The parts compute what the whole computes, bit for bit in our interpreter of Core ML programs; that a device loads
    them, and how fast, is unverified here. Example:

        mobile-diffusion coreml chunk build/ios/denoise.mlpackage --limit-mb 30 --out build/denoise-chunked.mlpackage
    """
    from export.coreml.chunks import split_package

    with progress_bar() as progress:
        found = split_package(package, int(limit_mb * MEGA), out, separate, progress)
    console = results()
    console.print(chunk_table(found))
    count = len(found.chunks)
    said = "below the limit already, copied as it is" if count == 1 else f"{count} parts"
    console.print(f"{out}: {said}", soft_wrap=True)


def chunk_table(found: Chunks) -> Table:
    """A row for each part."""
    from rich.table import Table

    table = Table(title=f"Parts of at most {found.limit_bytes / MEGA:g} MB of weights")
    for column in ("part", "operations", "weights", "inputs", "outputs", "crosses the joint behind it"):
        table.add_column(column, justify="left" if column == "part" else "right")
    crossing = [f"{size / MEGA:.3f} MB" for size in found.crossing_bytes]
    for number, (part, behind) in enumerate(zip(found.chunks, [*crossing, ""], strict=True), 1):
        counts = (str(part.operations), f"{part.weight_bytes / MEGA:.1f} MB", len(part.inputs), len(part.outputs))
        table.add_row(str(number), *map(str, counts), behind)
    return table
