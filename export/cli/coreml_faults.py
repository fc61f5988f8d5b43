"""`mobile-diffusion coreml faults`: where a Core ML program overflows, and where it departs from its reference."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from export.coreml.options import CoreMLOptions
from export.mixed.names import NONE
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json, show

BROKEN = 2
"""Exit status when something overflows or becomes NaN."""


def faults(
    opening: Opening,
    package: Annotated[
        Path | None,
        typer.Argument(help="A .mlpackage, or a bundle folder with several. Default: the checkpoint's, made for this."),
    ] = None,
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
    mixed_precision: Annotated[
        str, typer.Option(help="Without a package: names of modules that stay in float32, as in `export ios`.")
    ] = NONE,
    modules: Annotated[bool, typer.Option("--modules", help="Also show the table of all modules.")] = False,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Find overflow, NaN and lost precision in Core ML programs, by operation and module.

    Runs the programs on inputs that provoke faults of half precision. This needs no Mac, and nothing here ran on a
    phone. The exit status is 2 if anything overflows or becomes NaN.

    A failed export leaves no bundle: give --checkpoint alone, and its programs are made in a temporary folder.

    Example:

        mobile-diffusion coreml faults build/ios --out build/faults.json
    """
    from export.runners.torch import torch_threads
    from export.studies.faults.examine import examine
    from export.studies.faults.subjects import examined
    from export.studies.faults.table import fault_screen
    from export.studies.faults.write import check_writable, write_reports
    from mobile_diffusion.checkpoint import open_checkpoint

    check_writable(out)
    options = opening.options()
    core_ml = CoreMLOptions(mixed_precision=mixed_precision)
    with progress_bar() as progress, torch_threads(threads), TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        model = None if checkpoint is None else open_checkpoint(checkpoint, options)
        found = examined(package, model, core_ml, Path(folder))
        reports = [examine(each, precision, bound, progress) for each in found]
    if out is not None:
        write_reports(reports, out)
    screen = [part for report in reports for part in fault_screen(report, modules)]
    figures = {"reports": [report.to_dict() for report in reports]}
    show(json, figures, *screen, *([] if out is None else [f"{out}: written"]))
    if any(report.broken for report in reports):
        raise typer.Exit(BROKEN)
