"""Makes a bundle's finished package of a stage: lowers, then compresses, then cuts it into chunks, per the options."""

from __future__ import annotations

import shutil
from pathlib import Path

from export.compression.recipes import NONE
from export.coreml import lower as lowering
from export.coreml.chunks import split_package
from export.coreml.compress.stage import compress_stage
from export.coreml.options import CoreMLOptions
from export.stages import ExportStage

CHUNKED_STAGE = "denoise"
"""The stage whose network may be too large for a device to load at once."""
MEGA = 1_000_000


def lower(stage: ExportStage, folder: Path, options: CoreMLOptions | None = None) -> str:
    """Write `<stage>.mlpackage` into `folder`; returns its path relative to `folder`.

    Raises:
        ExportError: coremltools is not installed, or the program cannot be lowered, compressed or cut as requested.
        ConfigError: there is no such recipe, or the plan does not fit the package.
    """
    chosen = CoreMLOptions() if options is None else options
    name = lowering.lower(stage, folder, chosen)
    if chosen.compression != NONE:
        compress_stage(folder / name, stage.name, chosen.compression)
    if chosen.chunk_mb and stage.name == CHUNKED_STAGE:
        cut(folder / name, chosen.chunk_mb * MEGA)
    return name


def cut(package: Path, limit_bytes: int) -> None:
    """Replace a package by a pipeline of chunks."""
    whole = package.with_name(f"whole-{package.name}")
    package.rename(whole)
    try:
        split_package(whole, limit_bytes, package)
    finally:
        shutil.rmtree(whole)
