"""`mobile-diffusion coreml faults`: where a Core ML program overflows, and where it leaves its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Threads
from export.cli.opening import opens_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions

BROKEN = 2
"""Exit status when something overflows or becomes NaN."""


@opens_checkpoint
def faults(
    package: Annotated[Path, typer.Argument(help="A .mlpackage, or a bundle folder with several.")],
    options: OpenOptions,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint it was made from: compare with PyTorch, module by module.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write; a picture of each package's ranges is put beside it.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="as-stored, or fp16-accumulate: sums in half precision too, the worst a device may do.")
    ] = "as-stored",
    bound: Annotated[float, typer.Option(help="Decibels below which a result has left its reference.")] = 40.0,
    modules: Annotated[bool, typer.Option("--modules", help="Also show the table along the network.")] = False,
    threads: Threads = 2,
) -> None:
    """Run programs on inputs that provoke faults of half precision, and report every one by operation and module.

    Nothing here needs a Mac, and nothing here ran on a phone. Exit status 2 when anything overflows or becomes NaN.
    Example:

        mobile-diffusion coreml faults build/ios --checkpoint assets/emoji --out build/faults.json
    """
    from export.runners.torch import torch_threads
    from export.studies.faults.examine import examine
    from export.studies.faults.subjects import subjects
    from export.studies.faults.table import distance_table, fault_table, module_table
    from export.studies.faults.write import check_writable, write_reports
    from mobile_diffusion.checkpoint import open_checkpoint

    check_writable(out)
    with progress_bar() as progress, torch_threads(threads):
        model = None if checkpoint is None else open_checkpoint(checkpoint, options)
        reports = [examine(each, precision, bound, progress) for each in subjects(package, model)]
    for report in reports:
        results().print(fault_table(report))
        results().print(distance_table(report))
        for case in report.against_pytorch[:1] if modules else ():
            results().print(module_table(case))
    if out is not None:
        write_reports(reports, out)
        results().print(f"{out}: written", soft_wrap=True)
    if any(report.broken for report in reports):
        raise typer.Exit(BROKEN)
