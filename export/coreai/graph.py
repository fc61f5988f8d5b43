"""A stage's graph for coreai-torch: in float32, or in float16 with float32 where half precision loses what matters.

| part | precision | why |
|---|---|---|
| inputs and outputs of the stage | float32 | the contract of every runtime |
| what comes after a stage's last convolution: guidance, the solver's update | float32 | errors would add up |
| sums of norms | float32 | coreai-torch writes them so: a square is infinite in half from 256 on |
| modules that are named (export/mixed/names.py) | float32 | this network leaves float16 there |
| everything else | float16 | the softmax, too: float32 gains the emoji model at most 0.5 of 64 dB |
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from export.coreai.options import CoreAIOptions
from export.coreai.toolchain import NOISY_LOGGERS, import_coreai
from export.mixed.casts import in_half
from export.mixed.names import names_of
from export.mixed.rounded import HalfProgram
from export.quiet import errors_only
from export.rewrites import fused_attention
from export.signatures import PARTS
from export.stages import ExportStage


def exported(stage: ExportStage, options: CoreAIOptions) -> ExportedProgram:
    """Return the stage's graph in the precision of the options; attention is one operation."""
    half = half_program(stage, options)
    return in_half(half, half.named(names_of(options.mixed_precision))) if options.precision == "fp16" else half.program


@torch.no_grad()
def half_program(stage: ExportStage, options: CoreAIOptions | None = None) -> HalfProgram:
    """Return the stage in float32, in coreai-torch's operations, and what of it float16 may touch.

    An encoder of text has no convolution, and nothing after its last one.
    """
    table = import_coreai("coreai_torch").get_decomp_table()
    with errors_only(NOISY_LOGGERS, prints=True):
        program = torch.export.export(fused_attention.rewrite(stage.module), (), stage.example())
        program = program.run_decompositions(table)
    return HalfProgram(stage.name, program, keeps_update=PARTS[stage.name] != "text_encoder")
