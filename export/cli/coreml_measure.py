"""`mobile-diffusion coreml measure`: a bundle on a Mac, run by Core ML itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from mobile_diffusion.cli.terminal import Json, show


def measure(
    bundle: Annotated[Path, typer.Argument(help="iOS bundle folder.")],
    out: Annotated[Path, typer.Option(help="File to write and send back.")] = Path("measured.json"),
    compute_units: Annotated[
        list[str] | None,
        typer.Option(help="ALL, CPU_ONLY, CPU_AND_GPU or CPU_AND_NE. May be repeated. Default: all four."),
    ] = None,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """On a Mac: compile, load, run and time a bundle with Core ML, and compare it with its golden vectors.

    It measures the Core ML packages of the bundle; `verify` and `bench` run Core AI programs, on a Mac too.

    UNVERIFIED: written from coremltools' documentation; its authors have never run it on a Mac. Please send the file
    back: it says whether everything passed. On other systems the command refuses to run.

    Example:

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
    host = read_host(open_bundle(bundle, verify=False))
    end = f"{out}: {'verified' if measured.verified else 'not verified'}; please send it back"
    figures = {"measured": measured, "host": host}
    show(json, figures, times_table(measured, host), parity_table(measured, host), end)
