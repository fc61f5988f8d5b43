"""`mobile-diffusion demo`: everything at once, on the shipped model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Threads


def demo(
    model: Annotated[Path, typer.Option(help="Checkpoint to show.")] = Path("assets/emoji"),
    build: Annotated[Path, typer.Option(help="Folder for the bundles and the picture.")] = Path("build"),
    threads: Threads = 2,
) -> None:
    """Export both bundles, compare and time every runtime, and draw eight prompts with each, side by side.

    Bundles of an earlier demonstration are replaced. Example:

        mobile-diffusion demo --build build
    """
    from export.artists.demo import run_demo
    from export.parity.report import parity_table
    from export.report.latency import latency_table

    with progress_bar() as progress:
        shown = run_demo(model, build, threads=threads, progress=progress)
    console = results()
    console.print(parity_table(shown.parity))
    console.print(latency_table(shown.latency, shown.steps))
    console.print(f"{shown.sheet}: the same prompts by every runtime", soft_wrap=True)
