"""Runs the stages' modules in PyTorch: the reference that every artifact is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from export.runners.protocol import check_arrays, check_stage
from export.stages import ExportStage, build_stages
from mobile_diffusion.checkpoint import Model


@dataclass(frozen=True)
class TorchRunner:
    """Eager float32 on the processor."""

    stages: Mapping[str, ExportStage]
    threads: int
    name: ClassVar[str] = "torch"

    @classmethod
    def from_model(cls, model: Model, threads: int = 2) -> TorchRunner:
        """The stages of a model in memory."""
        return cls(build_stages(model), threads)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The output of one stage by its name."""
        check_stage(stage, self.stages)
        found = self.stages[stage]
        inputs = [torch.from_numpy(array) for array in check_arrays(stage, found.inputs, arrays)]
        with torch.inference_mode(), torch_threads(self.threads):
            return {found.output.name: found.module(*inputs).numpy()}


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, and put its setting back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
