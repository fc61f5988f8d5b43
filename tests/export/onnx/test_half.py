"""Weights in float16: half the bytes, what float16 cannot hold stays, and the result is that of rounded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from export.onnx import lower as lowering
from export.onnx import weights
from export.onnx.options import OnnxOptions
from export.onnx.reading import read_content
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

WIDTH = 160
HALF = OnnxOptions("fp16")
LATENTS = TensorSpec("latents", "float32", (1, WIDTH))


class Probe(nn.Module):
    """Three products; the last has a weight that float16 cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.large = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        with torch.no_grad():
            self.large.weight[0, 0] = 1e5

    def forward(self, latents: Tensor) -> Tensor:
        return self.large(torch.relu(self.second(torch.relu(self.first(latents)))))


@pytest.fixture
def probe() -> ExportStage:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Probe().eval().requires_grad_(False)
    return ExportStage("probe", module, (LATENTS,), (TensorSpec("image", "float32", (1, WIDTH)),))


def drawn(folder: Path, latents: np.ndarray) -> np.ndarray:
    return OnnxRuntimeRunner.load(folder, {"probe": "probe.onnx"}, threads=1).run("probe", latents=latents)["image"]


@pytest.mark.parametrize("beside", [False, True])
def test_the_result_is_that_of_rounded_weights(
    beside: bool, probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if beside:
        monkeypatch.setattr(weights, "LARGE_MODEL", 0)
    lowering.lower(probe, tmp_path, HALF)
    assert read_content(tmp_path / "probe.onnx").precision == "fp16"
    latents = np.random.default_rng(5).standard_normal(LATENTS.shape, np.float32)
    for layer in (probe.module.first, probe.module.second):
        layer.weight.copy_(layer.weight.half().float())
    wanted = probe.module(torch.from_numpy(latents)).numpy()
    np.testing.assert_allclose(drawn(tmp_path, latents), wanted, rtol=1e-5, atol=1e-5)
    stored = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert WIDTH * WIDTH * (2 + 2 + 4) < stored < WIDTH * WIDTH * 8.5


def test_what_float16_cannot_hold_stays_in_float32(probe: ExportStage, tmp_path: Path) -> None:
    lowering.lower(probe, tmp_path, HALF)
    model = onnx.load(tmp_path / "probe.onnx")
    large = [each.data_type for each in model.graph.initializer if len(each.dims) == 2]
    assert sorted(large) == [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT16]
    assert {node.domain for node in model.graph.node} == {""}


def test_nan_is_refused(probe: ExportStage, tmp_path: Path) -> None:
    probe.module.first.weight[3, 4] = torch.nan
    with pytest.raises(ExportError, match=r"expected finite weights, got NaN"):
        lowering.lower(probe, tmp_path, HALF)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_files_of_weights_are_bounded(
    precision: str, probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser holds a file in one buffer."""
    from dataclasses import replace

    samples = tuple({"latents": torch.randn(LATENTS.shape)} for _ in range(4))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
        lowering.lower(replace(probe, samples=samples), folder, OnnxOptions(precision))
        monkeypatch.setattr(weights, "LARGE_MODEL", 0)
        monkeypatch.setattr(weights, "LARGE_TENSOR", 1000)
        monkeypatch.setattr(weights, "FILE_BYTES", 80_000)
    names = sorted(path.name for path in parts.glob("*.data*"))
    assert names == [f"probe.onnx.data{number or ''}" for number in range(len(names))] and len(names) > 1
    latents = samples[0]["latents"].numpy()
    np.testing.assert_array_equal(drawn(parts, latents), drawn(whole, latents))
