"""`mobile-diffusion coreml statistics`: which numbers a Core ML program makes, by operation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from export.cli.display import progress_bar
from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from export.coreml.interpret import Program
    from export.coreml.interpret.statistics import ValueStatistics


def statistics(
    package: Annotated[Path, typer.Argument(help="A .mlpackage.")],
    inputs: Annotated[Path | None, typer.Option(help="Arrays of all inputs (.npz). Default: random ones.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random inputs: normal numbers, zeros for integers.")] = 0,
    precision: Annotated[str, typer.Option(help="as-stored, fp16-accumulate or float32.")] = "as-stored",
    function: Annotated[str | None, typer.Option(help="Function of the package. Default: its own default.")] = None,
    largest: Annotated[int, typer.Option(help="Show only this many, the largest; 0 shows all.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Run a Core ML package on this computer and show the range of every result, as it is stored.

    Example:

        mobile-diffusion coreml statistics denoise.mlpackage --largest 20
    """
    from export.coreml.interpret import Program
    from export.coreml.interpret.statistics import Statistics, largest_first

    with progress_bar() as progress:
        progress(f"opening {package}", 0.0)
        program = Program.open(package, precision, function, infinite_constants=True)
        arrays = given_arrays(program, inputs, seed)
        found, count = Statistics(), max(len(program.instructions), 1)

        def observe(*seen: Any) -> None:
            found(*seen)
            progress("running", min(len(found.rows) / count, 1.0))

        program.run(observe, **arrays)
    rows = largest_first(found.rows)[:largest] if largest else found.rows
    show(json, rows, table(rows))


def given_arrays(program: Program, path: Path | None, seed: int) -> dict[str, Any]:
    """A program's inputs, from a file or random.

    Raises:
        ExportError: the file is not an archive of arrays.
    """
    import numpy as np

    from export.coreml.interpret.statistics import random_arrays
    from mobile_diffusion.errors import ExportError

    if path is None:
        return random_arrays(program.inputs, seed)
    try:
        with np.load(path) as stored:
            return dict(stored)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ExportError(f"{path}: expected arrays in a .npz file, got {error}; write them with numpy.savez") from None


def table(rows: list[ValueStatistics]) -> Table:
    """One row per result."""
    shown = Table()
    for title in ("result", "operation", "type", "shape"):
        shown.add_column(title, overflow="fold")
    for title in ("minimum", "maximum", "mean |x|", "smallest |x|", "not finite"):
        shown.add_column(title, justify="right")
    for row in rows:
        numbers = (row.minimum, row.maximum, row.mean_magnitude, row.smallest)
        shape = "x".join(map(str, row.shape)) or "1"
        texts = ("-" if number is None else f"{number:.4g}" for number in numbers)
        shown.add_row(row.output, row.operation, row.dtype, shape, *texts, str(row.not_finite or "-"))
    return shown
