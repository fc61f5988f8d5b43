"""Runs the stages' modules in PyTorch: the reference that every artifact is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from export.runners.runner import check_stage
from export.signatures import STAGES, check_arrays
from export.stages import ExportStage, StageSource, build_stages


@dataclass(frozen=True)
class TorchRunner:
    """Eager float32 on the processor."""

    stages: Mapping[str, ExportStage]
    threads: int
    name: ClassVar[str] = "torch"

    @classmethod
    def from_model(cls, source: StageSource, threads: int = 2, stages: Sequence[str] = STAGES) -> TorchRunner:
        """Stages of a model, or of a checkpoint, whose networks are then loaded."""
        return cls(build_stages(source, stages), threads)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        check_stage(stage, self.stages)
        found = self.stages[stage]
        checked = check_arrays(stage, found.inputs, arrays)
        inputs = {spec.name: torch.from_numpy(array) for spec, array in zip(found.inputs, checked, strict=True)}
        with torch.inference_mode(), torch_threads(self.threads):
            result = found.module(**inputs)
        results = result if isinstance(result, tuple) else (result,)
        return {spec.name: tensor.numpy() for spec, tensor in zip(found.outputs, results, strict=True)}


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
