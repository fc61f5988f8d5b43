"""`python -m export verify`: is a bundle whole, and does it still compute what PyTorch computed?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results, verdict
from export.cli.export import Threads
from export.cli.opening import opens_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions


@opens_checkpoint
def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    options: OpenOptions,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint it was made from, opened as then: run PyTorch again, too.")
    ] = None,
    threads: Threads = 2,
) -> None:
    """Check every hash and the schema, run the programs on the golden vectors, and show the parity table.

    Exit status 0 when all is well, 2 with one line when it is not. Example:

        python -m export verify build/ios --checkpoint assets/emoji
    """
    from export.parity.report import parity_table
    from export.verify import unverified_runtimes, verify_bundle

    with progress_bar() as progress:
        report = verify_bundle(bundle, checkpoint, options, threads, progress)
    results().print(parity_table(report))
    report.require()
    end = verdict(list(report.precisions), unverified_runtimes(bundle))
    results().print(f"{bundle}: every file as the manifest says, {end}", soft_wrap=True)
