"""`python -m export ios | android`: one checkpoint to one bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli.display import progress_bar, results, verdict
from export.cli.opening import opens_checkpoint
from export.coreml.options import COMPUTE_UNITS, DEPLOYMENT_TARGETS, CoreMLOptions
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions

if TYPE_CHECKING:
    from export.targets import RuntimeOptions

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

COREML_PANEL = "Core ML"
Precision = Annotated[
    str | None,
    typer.Option(
        help="Arithmetic: fp32 by default; xnnpack also has fp16, int8, int8-dynamic and int4-dynamic, vulkan fp16, "
        "onnx int8."
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(help="Text file with a prompt a line, to calibrate int8 on what your app will draw."),
]
ComputeUnits = Annotated[
    str,
    typer.Option(
        help=f"What the app will ask Core ML to use, which decides the layout: one of {', '.join(COMPUTE_UNITS)}.",
        rich_help_panel=COREML_PANEL,
    ),
]
DeploymentTarget = Annotated[
    str,
    typer.Option(
        help=f"Oldest system that is to open the packages: {', '.join(DEPLOYMENT_TARGETS)}.",
        rich_help_panel=COREML_PANEL,
    ),
]
Compress = Annotated[
    str,
    typer.Option(
        help="How to store weights: none, int8, palettize-8, -6, -4, -3 or -2, or a plan.json of `coreml plan`.",
        rich_help_panel=COREML_PANEL,
    ),
]
ChunkMb = Annotated[
    int,
    typer.Option(min=0, help="Cut `denoise` into chunks of at most so many MB; 0: not.", rich_help_panel=COREML_PANEL),
]
PixelBuffer = Annotated[
    bool,
    typer.Option("--pixel-buffer", help="Let decode_image give an image, not a tensor.", rich_help_panel=COREML_PANEL),
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
    compute_units: ComputeUnits = CoreMLOptions.compute_units,
    deployment_target: DeploymentTarget = CoreMLOptions.deployment_target,
    compress: Compress = CoreMLOptions.compression,
    chunk_mb: ChunkMb = CoreMLOptions.chunk_mb,
    pixel_buffer: PixelBuffer = CoreMLOptions.pixel_buffer,
) -> None:
    """Export an iOS bundle: Core ML packages, compared with PyTorch before they appear.

    Example:

        python -m export ios assets/emoji --out build/ios --force --compute-units CPU_AND_NE --compress palettize-6
    """
    coreml = CoreMLOptions(compute_units, deployment_target, compress, chunk_mb, pixel_buffer)
    chosen = {"coreml": coreml}
    export(checkpoint, options, "ios", out, force, image_to_image, runtime or [], check, threads, chosen)


@opens_checkpoint
def android(
    checkpoint: Checkpoint,
    options: OpenOptions,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")] = Path("build/android"),
    force: Force = False,
    image_to_image: Images = False,
    runtime: RuntimeNames = None,
    precision: Precision = None,
    calibration: Calibration = None,
    check: Depth = None,
    threads: Threads = 2,
) -> None:
    """Export an Android bundle: ExecuTorch programs and ONNX models, compared with PyTorch.

    Runtimes: xnnpack (ExecuTorch on the processor), onnx (ONNX Runtime), vulkan (ExecuTorch on the GPU, lowered but
    not run here), qnn (Qualcomm's NPU, where its SDK is installed). The first is the one that the app uses.

    Example:

        python -m export android assets/emoji --out build/android --force --runtime xnnpack --precision int8
    """
    names = runtime or []
    export(
        checkpoint, options, "android", out, force, image_to_image, names, check, threads, {}, precision, calibration
    )


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
    choices: Mapping[str, RuntimeOptions],
    precision: str | None = None,
    calibration: Path | None = None,
) -> None:
    """Export a target and show its tables."""
    from export.job.calibration import read_prompts
    from export.job.plan import plan_export
    from export.job.run import check_output, run_export
    from export.parity.report import parity_table
    from export.report.latency import latency_table
    from export.targets import find_target
    from mobile_diffusion.checkpoint import open_source

    check_output(out, Path(checkpoint), force)
    prompts = () if calibration is None else read_prompts(calibration)
    with progress_bar() as progress:
        progress(f"opening {checkpoint}", 0.0)
        source = open_source(checkpoint, options)
        plan = plan_export(source.config, find_target(target), runtimes, images, depth, threads, choices, precision)
        if prompts and not plan.calibrated:
            raise ConfigError("calibration: expected --precision int8 with it, as nothing else is calibrated")
        exported = run_export(
            source, find_target(target), out, force, plan=plan, progress=progress, calibration=prompts
        )
    console = results()
    if plan.compared:
        console.print(parity_table(exported.parity))
    console.print(latency_table(exported.latency, source.config.schedule.steps))
    others = [runtime.name for runtime in plan.runtimes if not runtime.runs_here]
    end = verdict([runtime.name for runtime in plan.compared], others)
    console.print(f"{out}: {target} bundle of {exported.bundle.manifest.model.name}, {end}", soft_wrap=True)
