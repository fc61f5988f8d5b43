"""What of a Core AI program float16 touches, for the measurements of export/mixed."""

from __future__ import annotations

from dataclasses import replace

from export.coreai.lower import exported
from export.coreai.options import CoreAIOptions
from export.mixed.rounded import HalfProgram
from export.signatures import PARTS
from export.stages import ExportStage


def half_program(stage: ExportStage, options: CoreAIOptions) -> HalfProgram:
    """Return the program of a stage in float32, in coreai-torch's operations; the update after it stays in float32."""
    program = exported(stage, replace(options, precision="fp32"))
    return HalfProgram(stage.name, program, keeps_update=PARTS[stage.name] == "unet")
