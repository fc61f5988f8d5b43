"""What of a Core ML program float16 touches, for the measurements of export/mixed."""

from __future__ import annotations

from export.coreml.lower import UPDATED_STAGE, exported
from export.coreml.options import CoreMLOptions
from export.mixed.rounded import HalfProgram
from export.stages import ExportStage


def half_program(stage: ExportStage, options: CoreMLOptions) -> HalfProgram:
    """Return the program of a stage as coremltools receives it, in the layout of the options."""
    return HalfProgram(stage.name, exported(stage, options), keeps_update=stage.name == UPDATED_STAGE)
