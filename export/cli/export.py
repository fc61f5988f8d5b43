"""`python -m export ios | android`: one checkpoint to one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.opening import opens_checkpoint
from mobile_diffusion.formats.options import OpenOptions

Checkpoint = Annotated[
    str, typer.Argument(help="Checkpoint to export: a folder, a .safetensors file, or a hub id such as owner/name.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the bundle that is already there.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads for every runtime.")]
Images = Annotated[
    bool, typer.Option("--image-to-image", help="Add the stage encode_image, so that the app can redraw pictures.")
]
RuntimeNames = Annotated[
    list[str] | None, typer.Option("--runtime", help="Export for this runtime only; may be repeated.")
]
Depth = Annotated[
    str | None,
    typer.Option(
        "--check",
        help="Parity over a whole 'trajectory', or one 'step' and a decoding; by default what suits the model's size.",
    ),
]


@opens_checkpoint
def ios(
    checkpoint: Checkpoint,
    options: OpenOptions,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")] = Path("build/ios"),
    force: Force = False,
    image_to_image: Images = False,
    runtime: RuntimeNames = None,
    check: Depth = None,
    threads: Threads = 2,
) -> None:
    """Export an iOS bundle: Core ML packages, compared with PyTorch before they appear.

    Example:

        python -m export ios assets/emoji --out build/ios --force
    """
    export(checkpoint, options, "ios", out, force, image_to_image, runtime or [], check, threads)


@opens_checkpoint
def android(
    checkpoint: Checkpoint,
    options: OpenOptions,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")] = Path("build/android"),
    force: Force = False,
    image_to_image: Images = False,
    runtime: RuntimeNames = None,
    check: Depth = None,
    threads: Threads = 2,
) -> None:
    """Export an Android bundle: ExecuTorch programs and ONNX models, compared with PyTorch.

    Example:

        python -m export android assets/emoji --out build/android --force
    """
    export(checkpoint, options, "android", out, force, image_to_image, runtime or [], check, threads)


def export(
    checkpoint: str,
    options: OpenOptions,
    target: str,
    out: Path,
    force: bool,
    images: bool,
    runtimes: list[str],
    depth: str | None,
    threads: int,
) -> None:
    """Export a target and show its tables."""
    from export.parity.report import parity_table
    from export.plan import plan_export
    from export.report.latency import latency_table
    from export.run import check_output, export_target
    from export.targets import find_target
    from mobile_diffusion.checkpoint import open_source

    check_output(out, Path(checkpoint), force)
    with progress_bar() as progress:
        progress(f"opening {checkpoint}", 0.0)
        source = open_source(checkpoint, options)
        plan = plan_export(source.config, find_target(target), runtimes, images, depth, threads)
        exported = export_target(source, find_target(target), out, force, plan=plan, progress=progress)
    console = results()
    console.print(parity_table(exported.parity))
    console.print(latency_table(exported.latency, source.config.schedule.steps))
    console.print(f"{out}: {target} bundle of {exported.bundle.manifest.model.name}, all gates passed", soft_wrap=True)
