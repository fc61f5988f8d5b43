"""What of a delegate's program float16 touches, for the measurements of export/mixed."""

from __future__ import annotations

from export.coreai import graph
from export.coreml import mixed
from export.coreml.options import CoreMLOptions
from export.delegates.options import DelegateOptions
from export.mixed.rounded import HalfProgram
from export.stages import ExportStage


def half_program(stage: ExportStage, options: DelegateOptions) -> HalfProgram:
    """Return that of the runtime whose program is inside."""
    program = options.program
    if isinstance(program, CoreMLOptions):
        return mixed.half_program(stage, program)
    return graph.half_program(stage, program)
