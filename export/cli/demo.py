"""`mobile-diffusion demo`: everything at once, on the emoji model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from mobile_diffusion.cli.opening import Model, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import Json, show


def demo(
    model: Model = None,
    build: Annotated[Path, typer.Option(help="Folder for the bundles and the picture.")] = Path("build"),
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Export for both phones, check and time every runtime, and draw eight prompts with each, side by side.

    Replaces the bundles of an earlier demonstration.

    Example:

        mobile-diffusion demo --build build
    """
    from export.artists.demo import run_demo
    from export.parity.report import parity_table
    from export.report.latency import latency_table

    with progress_bar() as progress:
        shown = run_demo(checkpoint_or_emoji(model), build, threads=threads, progress=progress)
    figures = {"sheet": shown.sheet, "parity": shown.parity.to_json(), "latency": shown.latency.to_dict()}
    figures |= {"left_out": list(shown.left_out)}
    tables = parity_table(shown.parity), latency_table(shown.latency, shown.steps)
    show(json, figures, *tables, *shown.left_out, f"{shown.sheet}: the same prompts by every runtime")
