"""A stage as the finished package of a bundle: lowered, then compressed, then cut into chunks, as the options say."""

from __future__ import annotations

from pathlib import Path

from export.coreml import lower as lowering
from export.coreml.options import CoreMLOptions
from export.stages import ExportStage


def lower(stage: ExportStage, folder: Path, options: CoreMLOptions | None = None) -> str:
    """Write `<stage>.mlpackage` into `folder`; returns its path, relative to the folder.

    Raises:
        ExportError: coremltools is not installed, or the program cannot be made, compressed or cut as asked.
    """
    return lowering.lower(stage, folder)
