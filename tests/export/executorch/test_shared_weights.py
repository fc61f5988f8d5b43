"""Weights that several layers have in common are in a program once."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from export.executorch.lower import lower
from export.executorch.options import XnnpackOptions
from export.runners.executorch import ExecuTorchRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from tests.export.comparing import assert_runs_as_pytorch

WIDTH = 256


class Twice(nn.Module):
    """Two layers with equal weights: by one parameter, or by two."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        weight = self.first.weight if tied else nn.Parameter(self.first.weight.detach().clone())
        self.second.weight = weight

    def forward(self, latents: Tensor) -> Tensor:
        """(1, 4, WIDTH) -> (1, 4, WIDTH)."""
        return self.second(self.first(latents).sigmoid())


def stage_of(module: nn.Module) -> ExportStage:
    specs = (TensorSpec("latents", "float32", (1, 4, WIDTH)),), (TensorSpec("image", "float32", (1, 4, WIDTH)),)
    return ExportStage("decode_image", module.eval().requires_grad_(False), *specs)


def test_equal_weights_are_stored_once(tmp_path: Path) -> None:
    torch.manual_seed(1)
    for tied in (True, False):
        for precision, size in (("fp32", 4), ("fp16", 2)):
            folder = tmp_path / f"{tied}-{precision}"
            folder.mkdir()
            stage = stage_of(Twice(tied))
            path = lower(stage, folder, XnnpackOptions(precision))
            once = WIDTH * WIDTH * size
            assert once < (folder / path).stat().st_size < 1.3 * once
            assert_runs_as_pytorch(stage, ExecuTorchRunner.load(folder, {"decode_image": path}, threads=1), 60.0)
