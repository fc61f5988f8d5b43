"""Writes a `.pte` that is one call of one delegate, around the delegate's payload.

ExecuTorch's own lowering converts the graph inside the delegate itself, with fewer choices than ours: the solver's
update would be in float16 (benchmarks/coreml/executorch.py).  Here the delegate's program is made and checked first, as
without ExecuTorch; then the file is written around it.  So nothing can be left outside the delegate.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from executorch.exir import to_edge
from executorch.exir.backend.backend_details import PreprocessResult
from executorch.exir.backend.compile_spec_schema import CompileSpec
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch import Tensor, nn

from export.signatures import TensorSpec
from export.stages import ExportStage


class Boundary(nn.Module):
    """Takes a stage's inputs and returns tensors like its outputs: all of a stage that ExecuTorch sees."""

    def __init__(self, outputs: Sequence[TensorSpec]) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return zeros."""
        return tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in self.outputs)


class Call(nn.Module):
    """Calls a delegate."""

    def __init__(self, lowered: LoweredBackendModule) -> None:
        super().__init__()
        self.lowered = lowered

    def forward(self, *inputs: Tensor) -> Any:
        """Return the delegate's outputs."""
        return self.lowered(*inputs)


@torch.no_grad()
def write_program(
    path: Path, stage: ExportStage, backend: str, result: PreprocessResult, settings: Sequence[CompileSpec] = ()
) -> None:
    """Write a program whose one method, named after the stage, is a call of the delegate.

    `backend` is the delegate's name in ExecuTorch's runtime, `result` its payload, and `settings` what it reads there.
    """
    inputs = tuple(stage.example().values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        edge = to_edge({"forward": torch.export.export(Boundary(stage.outputs), inputs)}).exported_program()
        lowered = LoweredBackendModule(edge, backend, result.processed_bytes, list(settings), result.data_store_output)
        program = to_edge({stage.name: torch.export.export(Call(lowered), inputs)}).to_executorch()
    with path.open("wb") as file:
        program.write_to_file(file)
