"""A wrong number of a layer, as a script that needs only NumPy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.signatures import TensorSpec
from export.stages import ExportStage
from export.studies.reproduction import reproduce

SIZES: Mapping[str, tuple[nn.Module, tuple[int, ...]]] = {
    "kernel": (nn.Conv2d(6, 4, 3, padding=1, stride=2), (1, 6, 9, 7)),
    "grouped": (nn.Conv2d(6, 4, (1, 3), padding=(0, 1), dilation=(1, 2), groups=2, bias=False), (1, 6, 5, 8)),
    "linear": (nn.Linear(12, 5), (1, 3, 12)),
}


def stage_with(layer: nn.Module, shape: tuple[int, ...]) -> ExportStage:
    """A stage with one layer between two others."""
    module = nn.Sequential(nn.Tanh(), layer, nn.SiLU())

    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x)

    return ExportStage("denoise", Stage(), (TensorSpec("x", "float32", shape),), ())


def figures(text: str) -> list[float]:
    """The four numbers that the script prints."""
    return [float(re.split(r"\s{2,}", line)[1].split()[0]) for line in text.splitlines()]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("turned", [False, True])
def test_the_script_computes_the_layers_number(name: str, turned: bool, tmp_path: Path) -> None:
    torch.manual_seed(3)
    layer, shape = SIZES[name]
    stage, array = stage_with(layer, shape), np.random.default_rng(4).standard_normal(shape, np.float32)
    with torch.inference_mode():
        wanted = layer(torch.tanh(torch.from_numpy(array))).numpy()
    index = tuple(size - 2 if size > 1 else 0 for size in wanted.shape)
    value = wanted.copy()
    value[index] += 0.5
    stored = np.ascontiguousarray(np.moveaxis(value, 1, -1)) if turned else value
    found = reproduce(stage, {"x": array}, "network.1", stored)
    assert found is not None and found.index == index
    found.write(tmp_path / "reproduction.py", "onnx")
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "reproduction.py"], capture_output=True, text=True, check=True
    )
    exact, pytorch, half, program = figures(done.stdout)
    assert exact == pytest.approx(wanted[index], abs=1e-6) and pytorch == pytest.approx(wanted[index], rel=1e-6)
    assert half == pytest.approx(wanted[index], abs=0.02) and program == pytest.approx(wanted[index] + 0.5, rel=1e-6)
    assert (tmp_path / "reproduction.py").stat().st_size < 4096


def test_half_that_overflows_and_nan_are_shown(tmp_path: Path) -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(300.0)
    stage = stage_with(layer, (1, 4))
    stage.module.network[0] = nn.Identity()
    found = reproduce(stage, {"x": np.full((1, 4), 200, np.float32)}, "network.1", np.full((1, 1), np.nan, np.float32))
    assert found is not None
    found.write(tmp_path / "reproduction.py", "coreml")
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "reproduction.py"], capture_output=True, text=True, check=True
    )
    exact, pytorch, half, program = figures(done.stdout)
    assert exact == pytorch == 240_000 and half == np.inf and np.isnan(program)


def test_another_module_has_none() -> None:
    layer, shape = SIZES["linear"]
    array = np.ones(shape, np.float32)
    assert reproduce(stage_with(layer, shape), {"x": array}, "network.0", np.tanh(array)) is None
