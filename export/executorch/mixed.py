"""What of an ExecuTorch program float16 touches, for the measurements of export/mixed."""

from __future__ import annotations

import torch

from export.executorch.lower import rewritten
from export.executorch.options import QnnOptions, VulkanOptions, XnnpackOptions
from export.mixed.rounded import HalfProgram
from export.stages import ExportStage


@torch.no_grad()
def half_program(stage: ExportStage, options: XnnpackOptions | VulkanOptions | QnnOptions) -> HalfProgram:
    """Return the program of a stage: of XNNPACK's only weights are float16, of the others everything."""
    if isinstance(options, XnnpackOptions):
        return HalfProgram(stage.name, rewritten(stage), weights_only=True)
    if isinstance(options, VulkanOptions):
        from export.executorch import vulkan

        return vulkan.half_program(stage)
    return HalfProgram(stage.name, torch.export.export(stage.module, (), stage.example()).run_decompositions({}))
