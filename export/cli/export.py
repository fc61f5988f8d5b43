"""`python -m export ios | android`: one checkpoint to one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results

Checkpoint = Annotated[Path, typer.Argument(help="Checkpoint folder to export.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the bundle that is already there.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads for every runtime.")]


def ios(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")] = Path("build/ios"),
    force: Force = False,
    threads: Threads = 2,
) -> None:
    """Export an iOS bundle: three Core ML packages, compared with PyTorch before they appear.

    Example:

        python -m export ios assets/emoji --out build/ios --force
    """
    export(checkpoint, "ios", out, force, threads)


def android(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")] = Path("build/android"),
    force: Force = False,
    threads: Threads = 2,
) -> None:
    """Export an Android bundle: one ExecuTorch program and three ONNX models, compared with PyTorch.

    Example:

        python -m export android assets/emoji --out build/android --force
    """
    export(checkpoint, "android", out, force, threads)


def export(checkpoint: Path, target: str, out: Path, force: bool, threads: int) -> None:
    """Export a target and show its tables."""
    from export.parity.report import parity_table
    from export.report.latency import latency_table
    from export.run import check_output, export_target
    from export.targets import find_target
    from mobile_diffusion.checkpoint import open_checkpoint

    check_output(out, checkpoint, force)
    with progress_bar() as progress:
        progress(f"opening {checkpoint}", 0.0)
        model = open_checkpoint(checkpoint)
        exported = export_target(model, find_target(target), out, force, threads=threads, progress=progress)
    console = results()
    console.print(parity_table(exported.parity))
    console.print(latency_table(exported.latency, model.config.schedule.steps))
    console.print(f"{out}: {target} bundle of {exported.bundle.manifest.model.name}, all gates passed", soft_wrap=True)
