"""`mobile-diffusion export ios | android | web`: one checkpoint to one bundle."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export.cli.display import progress_bar, verdict
from export.cli.parameters import DEFAULT_THREADS, Threads
from export.coreai.options import COMPUTE_UNITS as COREAI_UNITS
from export.coreai.options import PRECISIONS as COREAI_PRECISIONS
from export.coreai.options import CoreAIOptions
from export.coreml.options import COMPUTE_UNITS, DEPLOYMENT_TARGETS, CoreMLOptions
from export.delegates.options import DELEGATES, DelegateOptions
from mobile_diffusion.cli.opening import Checkpoint, Opening, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from export.job.run import Exported
    from export.mixed.choose import Choice

Out = Annotated[Path, typer.Option(help="Folder to write. It must not exist, unless --force is given.")]


@dataclass(frozen=True)
class Exporting:
    """What every target lets a user choose."""

    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is already there.")] = False
    image_to_image: Annotated[
        bool, typer.Option("--image-to-image", help="Add the stage encode_image, so that the app can redraw pictures.")
    ] = False
    runtime: Annotated[list[str], typer.Option(help="Export only for this runtime. May be repeated.")] = field(
        default_factory=list
    )
    check: Annotated[
        str | None,
        typer.Option(
            help="Depth of the parity check: 'trajectory', a whole drawing, or 'step', one step and a decoding. "
            "Default: what suits the model's size."
        ),
    ] = None
    mixed_precision: Annotated[
        str | None,
        typer.Option(
            help="Modules that stay in float32 where the rest is float16: 'auto' measures which must; or names such as "
            "unet.conv_in, 'unet.*.attn1:own' (without the modules inside) and decode_image, with commas in between; "
            "'none': float16 everywhere. Default: what the checkpoint's configuration asks for."
        ),
    ] = None
    threads: Threads = DEFAULT_THREADS
    json: Json = False


def _core_ml(*names: str, help: str, **settings: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Core ML", **settings)


DeploymentTarget = Annotated[
    str, _core_ml(help=f"Oldest system that must open the packages: {', '.join(DEPLOYMENT_TARGETS)}.")
]


@dataclass(frozen=True)
class CoreMLChoices:
    """`CoreMLOptions` as the command line spells them."""

    compute_units: Annotated[
        str,
        _core_ml(
            help=f"Compute units that the app will ask Core ML for: {', '.join(COMPUTE_UNITS)}. They decide the layout."
        ),
    ] = CoreMLOptions.compute_units
    deployment_target: DeploymentTarget = CoreMLOptions.deployment_target
    chunk_mb: Annotated[
        int, _core_ml(min=0, help="Split `denoise` into chunks of at most this many MB; 0 disables chunking.")
    ] = CoreMLOptions.chunk_mb
    pixel_buffer: Annotated[
        bool, _core_ml("--pixel-buffer", help="Let decode_image return an image, not a tensor.")
    ] = CoreMLOptions.pixel_buffer

    def options(self, compress: str) -> CoreMLOptions:
        """The same for the lowering; raises `ConfigError` for a value that is not one of the choices."""
        return CoreMLOptions(self.compute_units, self.deployment_target, compress, self.chunk_mb, self.pixel_buffer)


def _core_ai(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Core AI")


@dataclass(frozen=True)
class CoreAIChoices:
    """`CoreAIOptions` as the command line spells them."""

    coreai_precision: Annotated[
        str, _core_ai(help=f"Arithmetic of Core AI programs: {', '.join(COREAI_PRECISIONS)}.")
    ] = CoreAIOptions.precision
    coreai_unit: Annotated[str, _core_ai(help=f"Compute unit that the app will prefer: {', '.join(COREAI_UNITS)}.")] = (
        CoreAIOptions.compute_unit
    )

    def options(self, compress: str) -> CoreAIOptions:
        """The same for the lowering; raises `ConfigError` for a value that is not one of the choices."""
        return CoreAIOptions(self.coreai_precision, self.coreai_unit, compression=compress)


def ios(
    opening: Opening,
    exporting: Exporting,
    coreml: CoreMLChoices,
    coreai: CoreAIChoices,
    checkpoint: Checkpoint = None,
    out: Out = Path("build/ios"),
    compress: Annotated[
        str,
        typer.Option(
            help="How to store weights: none, int8, palettize-8, palettize-6, palettize-4, palettize-3, palettize-2, "
            "int8-block, int4-block, palettize-4-grouped, palettize-4-pairs (3 and 2 likewise), "
            "or a plan.json that `mobile-diffusion coreml plan` wrote."
        ),
    ] = CoreMLOptions.compression,
    delegate: Annotated[
        str,
        typer.Option(
            help=f"Apple's runtime inside the programs of `--runtime executorch`: {', '.join(DELEGATES)}.",
            rich_help_panel="ExecuTorch",
        ),
    ] = DelegateOptions.delegate,
) -> None:
    """Export an iOS bundle: Core ML packages, Core AI programs or both, compared with PyTorch before they appear.

    Runtimes: coreml (iOS 16 and later; the default) and coreai (iOS 27 and later). With both, an app takes Core AI
    where the system has it. executorch: .pte files with the same programs inside, for an app that has ExecuTorch on
    both phones.

    Example:

        mobile-diffusion export ios --runtime coreml --runtime coreai --out build/ios
    """
    from export.targets import TARGETS

    names = exporting.runtime or [*TARGETS["ios"].defaults]
    used = {delegate if name == "executorch" else name for name in names}
    packages, programs = (compress if name in used else "none" for name in ("coreml", "coreai"))
    export(
        "ios",
        checkpoint,
        opening,
        exporting,
        out,
        coreml.options(packages),
        coreai=coreai.options(programs),
        delegate=delegate,
    )


Calibration = Annotated[
    Path | None,
    typer.Option(help="Text file with one prompt per line: calibrate int8 on what your app will draw."),
]


def android(
    opening: Opening,
    exporting: Exporting,
    checkpoint: Checkpoint = None,
    out: Out = Path("build/android"),
    precision: Annotated[
        str | None,
        typer.Option(
            help="Arithmetic, fp32 by default. xnnpack also has fp16, int8, int8-dynamic, int4-dynamic; "
            "vulkan: fp16; onnx: fp16, int8, w8a16."
        ),
    ] = None,
    calibration: Calibration = None,
) -> None:
    """Export an Android bundle: ExecuTorch programs and ONNX models, compared with PyTorch.

    Runtimes: xnnpack (ExecuTorch on the CPU), onnx (ONNX Runtime), vulkan (ExecuTorch on the GPU; lowered, not run
    here) and qnn (Qualcomm's NPU; needs its SDK). The sample app opens xnnpack, and in its flavours vulkan or qnn; it
    opens no ONNX models.

    Example:

        mobile-diffusion export android --runtime xnnpack --precision int8
    """
    export("android", checkpoint, opening, exporting, out, None, precision, calibration)


def web(
    opening: Opening,
    exporting: Exporting,
    checkpoint: Checkpoint = None,
    out: Out = Path("build/web"),
    precision: Annotated[
        str | None,
        typer.Option(help="fp16 by default: weights in float16, arithmetic in float32. int8: both in 8 bits. Or fp32."),
    ] = None,
    calibration: Calibration = None,
) -> None:
    """Export a bundle for browsers: ONNX models, compared with PyTorch, in files that a browser can hold.

    The page of `mobile-diffusion serve` draws with it.

    Example:

        mobile-diffusion export web --precision int8 --out build/web
    """
    export("web", checkpoint, opening, exporting, out, None, precision, calibration)


def export(
    target: str,
    checkpoint: str | None,
    opening: Opening,
    exporting: Exporting,
    out: Path,
    coreml: CoreMLOptions | None = None,
    precision: str | None = None,
    calibration: Path | None = None,
    coreai: CoreAIOptions | None = None,
    delegate: str = DelegateOptions.delegate,
) -> None:
    """Export a target and print its parity and latency."""
    from export.job.entry import export_target

    options, path = opening.options(), checkpoint_or_emoji(checkpoint)
    with progress_bar() as progress:
        exported = export_target(
            path,
            target,
            out,
            runtimes=exporting.runtime,
            precision=precision,
            coreml=coreml,
            coreai=coreai,
            delegate=delegate,
            options=options,
            image_to_image=exporting.image_to_image,
            calibration=calibration,
            check=exporting.check,
            mixed_precision=exporting.mixed_precision,
            threads=exporting.threads,
            force=exporting.force,
            progress=progress,
        )
    show_export(exported, exporting.json)


def chosen_line(choice: Choice) -> str:
    """What was measured for one stage, in words."""
    if not choice.names:
        return f"{choice.stage}: float16 holds everything"
    return f"{choice.stage}: {len(choice.names)} modules with {choice.weights:,} weights stay in float32"


def show_export(exported: Exported, json: bool) -> None:
    """Print a new bundle's parity and latency."""
    from export.parity.report import parity_table
    from export.report.latency import latency_table

    bundle, manifest = exported.bundle, exported.bundle.manifest
    compared, others = ([each.name for each in manifest.runtimes if each.verified is kind] for kind in (True, False))
    figures = {
        "bundle": bundle.path,
        "target": manifest.target,
        "model": manifest.model.name,
        "not_run": others,
        "float32": {choice.stage: list(choice.names) for choice in exported.choices},
        "parity": exported.parity.to_json() if compared else None,
        "latency": exported.latency.to_dict(),
    }
    tables = [parity_table(exported.parity)] if compared else []
    lines = [chosen_line(choice) for choice in exported.choices]
    end = f"{bundle.path}: {manifest.target} bundle of {manifest.model.name}, {verdict(compared, others)}"
    show(json, figures, *tables, latency_table(exported.latency, bundle.settings().calls), *lines, end)
