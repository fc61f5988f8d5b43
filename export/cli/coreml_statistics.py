"""`mobile-diffusion coreml statistics`: which numbers a Core ML program makes, by operation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export.cli.display import progress_bar, results

if TYPE_CHECKING:
    from rich.table import Table

    from export.coreml.interpret import Program
    from export.coreml.interpret.statistics import ValueStatistics


def statistics(
    package: Annotated[Path, typer.Argument(help="A .mlpackage.")],
    inputs: Annotated[Path | None, typer.Option(help="Arrays of all inputs (.npz); random ones without.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random inputs: normal numbers, zeros for integers.")] = 0,
    precision: Annotated[str, typer.Option(help="as-stored, fp16-accumulate or float32.")] = "as-stored",
    function: Annotated[str | None, typer.Option(help="Function of the package; its default without.")] = None,
    largest: Annotated[int, typer.Option(help="Show so many results with the largest numbers; 0: all.", min=0)] = 0,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all rows to this file.")] = None,
) -> None:
    """Run a package on this computer and show the range of every result, as its type stores it.

    Example:

        mobile-diffusion coreml statistics build/ios/denoise.mlpackage --largest 20
    """
    import json
    from dataclasses import asdict

    from export.coreml.interpret import Program
    from export.coreml.interpret.statistics import Statistics, largest_first
    from mobile_diffusion.staging import write_bytes

    with progress_bar() as progress:
        progress(f"opening {package}", 0.0)
        program = Program.open(package, precision, function, infinite_constants=True)
        arrays = given_arrays(program, inputs, seed)
        found, count = Statistics(), max(len(program.instructions), 1)

        def observe(*seen: Any) -> None:
            found(*seen)
            progress("running", min(len(found.rows) / count, 1.0))

        program.run(observe, **arrays)
    if json_path is not None:
        write_bytes((json.dumps([asdict(row) for row in found.rows], indent=1) + "\n").encode(), json_path)
    results().print(table(largest_first(found.rows)[:largest] if largest else found.rows))


def given_arrays(program: Program, path: Path | None, seed: int) -> dict[str, Any]:
    """A program's inputs, from a file or random.

    Raises:
        ExportError: the file is no archive of arrays.
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
    """Rows as they are shown."""
    from rich.table import Table

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
