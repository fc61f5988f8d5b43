"""The public entry: from a checkpoint and a target's name to a bundle, in one call.

It opens the checkpoint, makes the plan and runs the export; the command line does the same through this function.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from export.coreai.options import CoreAIOptions
from export.coreml.options import CoreMLOptions
from export.delegates.options import DelegateOptions
from export.job.calibration import read_prompts
from export.job.plan import plan_export
from export.job.run import Exported, check_output, run_export
from export.runtime import RuntimeOptions
from export.targets import EXECUTORCH, find_target
from mobile_diffusion.checkpoint import AnyModel, open_source
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.progress import Progress, silent


def export_target(
    checkpoint: AnyModel | Path | str,
    target: str,
    out: Path | str,
    *,
    runtimes: Sequence[str] = (),
    precision: str | None = None,
    coreml: CoreMLOptions | None = None,
    coreai: CoreAIOptions | None = None,
    delegate: str = DelegateOptions.delegate,
    options: OpenOptions | None = None,
    image_to_image: bool = False,
    calibration: Path | str | None = None,
    check: str | None = None,
    mixed_precision: str | None = None,
    threads: int = 2,
    force: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Export a checkpoint to the bundle of a target, and compare every program with PyTorch before the bundle appears.

    Args:
        checkpoint: A folder, a .safetensors file, a hub id "owner/name", or a model that is open.
        target: "ios", "android" or "web".
        out: Folder to write.
        runtimes: Names such as "xnnpack", "onnx", "coreml" and "coreai"; the target's default ones if none is named.
        precision: Arithmetic of every runtime, such as "fp16" or "int8"; each runtime's own by default.
        coreml: Layout, oldest system and compression of Core ML packages.
        coreai: Arithmetic, preferred compute unit and compression of Core AI programs.
        delegate: Which of Apple's runtimes runs the programs of "executorch" on an iPhone.
        options: Changes to the checkpoint while it is opened: size, steps, solver, LoRA files.
        image_to_image: Whether to add the stage encode_image, so that an app can redraw pictures.
        calibration: Text file with one prompt per line, for int8.
        check: "trajectory" or "step", how far parity is checked; by default what suits the model's size.
        mixed_precision: Modules kept in float32 by a float16 runtime: "auto", "none" or names, as in a manifest.
        threads: Threads of every runtime.
        force: Whether to replace a bundle that is at `out`.
        progress: Is called with what is being done and the fraction done so far.

    Raises:
        CheckpointError: The checkpoint cannot be opened.
        ConfigError: A target, runtime, precision or option does not exist, or two do not go together.
        ExportError: `out` cannot be used, memory or disk is too small, or a program cannot be made.
        ParityError: A program does not compute what PyTorch computes.  Nothing is written after any of these errors.

    >>> from export import export_target
    >>> exported = export_target("my-model", "android", "build/android", runtimes=["xnnpack"])
    >>> exported.parity.passed, exported.bundle.path.name
    (True, 'android')
    """
    out, found = Path(out), find_target(target)
    prompts = () if calibration is None else read_prompts(Path(calibration))
    source = _open(checkpoint, options, out, force, progress)
    given: dict[str, RuntimeOptions | None] = {"coreml": coreml, "coreai": coreai}
    if EXECUTORCH.name in runtimes:
        given[EXECUTORCH.name] = DelegateOptions(delegate, coreml or CoreMLOptions(), coreai or CoreAIOptions())
    choices = {name: options for name, options in given.items() if options is not None}
    plan = plan_export(
        source.config, found, runtimes, image_to_image, check, threads, choices, precision, mixed_precision
    )
    if prompts and not plan.calibrated:
        raise ConfigError("calibration: expected precision int8 or w8a16 with it, as nothing else is calibrated")
    return run_export(source, found, out, force, plan=plan, progress=progress, calibration=prompts)


def _open(
    checkpoint: AnyModel | Path | str, options: OpenOptions | None, out: Path, force: bool, progress: Progress
) -> AnyModel:
    """Return the checkpoint, opened; `out` is checked first, because hashing a large checkpoint takes minutes."""
    if not isinstance(checkpoint, Path | str):
        if options is not None:
            raise ConfigError("options: expected none with a model that is open; give them to open_checkpoint")
        return checkpoint
    check_output(out, Path(checkpoint), force)
    progress(f"opening {checkpoint}", 0.0)
    return open_source(checkpoint, options)
