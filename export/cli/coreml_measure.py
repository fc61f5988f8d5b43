"""`mobile-diffusion coreml measure`: a bundle on a Mac, by Core ML itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Threads


def measure(
    bundle: Annotated[Path, typer.Argument(help="iOS bundle folder.")],
    out: Annotated[Path, typer.Option(help="File to write and send back.")] = Path("measured.json"),
    compute_units: Annotated[
        list[str] | None,
        typer.Option(help="ALL, CPU_ONLY, CPU_AND_GPU or CPU_AND_NE; may be repeated. All four by default."),
    ] = None,
    threads: Threads = 2,
) -> None:
    """On a Mac: compile, load, run and time a bundle with Core ML on each compute unit, held to its golden vectors.

    UNVERIFIED: written against coremltools' documentation and never run on a Mac by its authors. Send the file back;
    it says of itself whether everything passed. Elsewhere than on macOS it refuses. Example:

        mobile-diffusion coreml measure build/ios --out measured.json
    """
    from export.bundle.bundle import open_bundle
    from export.coreml.options import COMPUTE_UNITS
    from export.studies.mac.measure import measure_bundle
    from export.studies.mac.record import write_measured
    from export.studies.mac.report import parity_table, read_host, times_table

    with progress_bar() as progress:
        measured = measure_bundle(bundle, compute_units or COMPUTE_UNITS, threads, progress)
    write_measured(measured, out)
    host, console = read_host(open_bundle(bundle, verify=False)), results()
    console.print(times_table(measured, host))
    console.print(parity_table(measured, host))
    console.print(f"{out}: {'verified' if measured.verified else 'not verified'}; send it back", soft_wrap=True)
