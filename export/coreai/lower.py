"""Lowers stages to Core AI: one `.aimodel` per stage, converted by coreai-torch and checked before it is kept.

Attention is one composite operation, for which a phone has a kernel that need not store the scores.  In float16 the
network computes in half, and guidance, the solver's update, the sums of norms and named modules in float32 (graph.py).
Inputs and outputs are float32 or int32 and have the stage's names; unlike in other formats, an output may have the name
of an input.  compress/ stores weights in fewer bits before the program is saved.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from export.compression.recipes import NONE
from export.coreai.asset import SUFFIX, check_asset
from export.coreai.canonical import repeatable_names, take_date
from export.coreai.compress import compress_program, verify_asset
from export.coreai.graph import exported
from export.coreai.inspect import storage
from export.coreai.options import CoreAIOptions
from export.coreai.sources import modules_of, replace_locations
from export.coreai.toolchain import NOISY_LOGGERS, import_coreai
from export.mixed.names import names_of
from export.quiet import errors_only
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from mobile_diffusion.units import readable

FUNCTION = "main"
"""Name of the function in an asset."""


def lower(stage: ExportStage, folder: Path, options: CoreAIOptions | None = None) -> str:
    """Write `<stage>.aimodel` into `folder`, replacing an existing one; returns its path relative to `folder`.

    Raises:
        ExportError: Apple's packages are not installed, or cannot convert the stage, or the disk is full, or a weight
            is not finite.
        ConfigError: there is no such compression, or the plan does not fit the program.
    """
    chosen = CoreAIOptions() if options is None else options
    path = folder / f"{stage.name}{SUFFIX}"
    shutil.rmtree(path, ignore_errors=True)
    check_room(stage, folder, chosen)
    try:
        program = convert(stage, chosen)
        promised = compress_program(program, stage.name, chosen.compression) if chosen.compression != NONE else ()
        program.save_asset(path)
        del program
        check_asset(path)
        verify_asset(path, promised)
        if not names_of(chosen.mixed_precision):
            check_storage(path, chosen.precision)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    take_date(path)
    return path.name


def check_room(stage: ExportStage, folder: Path, options: CoreAIOptions) -> None:
    """Raise `ExportError` unless the weights of a stage have room in `folder`, all of them in float32 if some are.

    Apple's compiler maps the file that it writes, so on a full disk the system kills the process.
    """
    count = sum(tensor.numel() for tensor in stage.module.state_dict().values())
    half = options.precision == "fp16" and not names_of(options.mixed_precision)
    wanted, free = count * (2 if half else 4), shutil.disk_usage(folder).free
    if free < wanted:
        raise ExportError(
            f"{folder}: expected {readable(wanted)} for the weights of {stage.name}, "
            f"got a full disk with {readable(free)} free; make room"
        )


def convert(stage: ExportStage, options: CoreAIOptions) -> Any:
    """Return the stage as an AIProgram (coreai-core), with its modules as locations."""
    converter = import_coreai("coreai_torch")
    program = exported(stage, options)
    modules = modules_of(program)
    names = {"input_names": [spec.name for spec in stage.inputs], "output_names": [spec.name for spec in stage.outputs]}
    try:
        with repeatable_names(), errors_only(NOISY_LOGGERS, prints=True):
            staged = converter.TorchConverter().add_exported_program(program, entrypoint_name=FUNCTION, **names)
            converted = staged.to_coreai()
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ExportError(f"{stage.name}: expected a Core AI program, got from coreai-torch: {reason}") from error
    replace_locations(converted, modules)
    return converted


def check_storage(path: Path, precision: str) -> None:
    """Raise `ExportError` unless most numbers of a saved program are stored in the precision that was asked for."""
    found = storage(path)
    single, half_sized = found.get("Float32", 0), found.get("Float16", 0)
    packed = sum(found.get(f"{kind}{bits}", 0) for kind in ("Int", "UInt") for bits in range(1, 9))
    if (half_sized + packed > single) != (precision == "fp16"):
        got = f"{single:,} numbers in float32, {half_sized:,} in float16 and {packed:,} of 8 bits or fewer"
        raise ExportError(f"{path}: expected a program in {precision}, got {got}")
