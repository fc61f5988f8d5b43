"""What of an ExecuTorch program float16 touches, for the measurements of export/mixed."""

from __future__ import annotations

from export.executorch.lower import rewritten
from export.executorch.options import XnnpackOptions
from export.mixed.rounded import HalfProgram
from export.stages import ExportStage


def half_program(stage: ExportStage, options: XnnpackOptions) -> HalfProgram:
    """Return the rewritten program of a stage, of which only weights are stored in float16."""
    return HalfProgram(stage.name, rewritten(stage), weights_only=True)
