"""`mobile-diffusion coreml faults`: where a Core ML program overflows, and where it departs from its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json, show

BROKEN = 2
"""Exit status when something overflows or becomes NaN."""


def faults(
    package: Annotated[Path, typer.Argument(help="A .mlpackage, or a bundle folder with several.")],
    opening: Opening,
    checkpoint: Annotated[
        str | None, typer.Option(help="The exported checkpoint: compare with PyTorch, module by module.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write; a plot of each package's ranges is put beside it.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="as-stored, or fp16-accumulate: half-precision sums too, the worst a device may do.")
    ] = "as-stored",
    bound: Annotated[float, typer.Option(help="SNR in dB below which a result departs from its reference.")] = 40.0,
    modules: Annotated[bool, typer.Option("--modules", help="Also show the table of all modules.")] = False,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Find overflow, NaN and lost precision in Core ML programs, by operation and module.

    Runs the programs on inputs that provoke faults of half precision. This needs no Mac, and nothing here ran on a
    phone. The exit status is 2 if anything overflows or becomes NaN.

    Example:

        mobile-diffusion coreml faults build/ios --out build/faults.json
    """
    from export.runners.torch import torch_threads
    from export.studies.faults.examine import examine
    from export.studies.faults.subjects import subjects
    from export.studies.faults.table import fault_screen
    from export.studies.faults.write import check_writable, write_reports
    from mobile_diffusion.checkpoint import open_checkpoint

    check_writable(out)
    options = opening.options()
    with progress_bar() as progress, torch_threads(threads):
        model = None if checkpoint is None else open_checkpoint(checkpoint, options)
        reports = [examine(each, precision, bound, progress) for each in subjects(package, model)]
    if out is not None:
        write_reports(reports, out)
    screen = [part for report in reports for part in fault_screen(report, modules)]
    figures = {"reports": [report.to_dict() for report in reports]}
    show(json, figures, *screen, *([] if out is None else [f"{out}: written"]))
    if any(report.broken for report in reports):
        raise typer.Exit(BROKEN)
