"""Weights outside of the protobuf: same results, shared tensors stored once, and no copy on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxscript import ir
from torch import Tensor, nn

from export.onnx import lower as lowering
from export.onnx import weights
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

WIDTH = 136  # 136 * 136 * 4 bytes are more than LARGE_TENSOR, and no multiple of PAGE


class Probe(nn.Module):
    """A weight as it is, one that two layers share, a bias, and two outputs of which one is named as an input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 1)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.second.weight = self.first.weight

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.conv(latents)
        return self.first(hidden.transpose(1, 3)), self.second(hidden.flatten(2).transpose(1, 2)).relu()


@pytest.fixture(scope="module")
def probe() -> ExportStage:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Probe().eval().requires_grad_(False)
    shape = (1, WIDTH, 2, 2)
    outputs = (TensorSpec("latents", "float32", (1, 2, 2, WIDTH)), TensorSpec("memory", "float32", (1, 4, WIDTH)))
    return ExportStage("probe", module, (TensorSpec("latents", "float32", shape),), outputs)


@pytest.fixture(params=["inside", "beside"])
def folder(request: pytest.FixtureRequest, probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The probe lowered, its weights inside the model or in a file of their own."""
    if request.param == "beside":
        monkeypatch.setattr(weights, "LARGE_MODEL", 0)
    assert lowering.lower(probe, tmp_path) == "probe.onnx"
    names = {"probe.onnx", "probe.onnx.data"} if request.param == "beside" else {"probe.onnx"}
    assert {path.name for path in tmp_path.iterdir()} == names
    return tmp_path


def test_the_result_is_pytorchs(folder: Path, probe: ExportStage) -> None:
    latents = np.random.default_rng(5).standard_normal(probe.inputs[0].shape, np.float32)
    found = OnnxRuntimeRunner.load(folder, {"probe": "probe.onnx"}).run("probe", latents=latents)
    wanted = probe.module(torch.from_numpy(latents))
    assert list(found) == ["latents", "memory"]
    for array, tensor in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(array, tensor, rtol=1e-5, atol=1e-6)


def test_a_shared_weight_is_stored_once(folder: Path) -> None:
    matrix = 4 * WIDTH * WIDTH
    stored = sum(path.stat().st_size for path in folder.iterdir())
    assert 2 * matrix < stored < 2.5 * matrix


def test_tensors_in_their_own_file_begin_at_pages(
    probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LARGE_MODEL", 0)
    lowering.lower(probe, tmp_path)
    graph = onnx.load_model(tmp_path / "probe.onnx", load_external_data=False).graph
    entries = [{entry.key: entry.value for entry in tensor.external_data} for tensor in graph.initializer]
    places = [(int(entry["offset"]), int(entry["length"])) for entry in entries if entry]
    assert [offset for offset, _ in places] == [0, 19 * weights.PAGE]  # after 4 * 136 * 136 = 18.06 pages
    assert (tmp_path / "probe.onnx.data").stat().st_size == sum(places[-1])


def test_the_skeleton_has_no_weight_and_the_weights_are_the_networks_own(probe: ExportStage) -> None:
    program = lowering.convert(probe)
    detached = weights.detach(program)
    assert [value.name for value in program.graph.inputs] == ["latents", *detached]
    assert ir.to_proto(program).ByteSize() < weights.LARGE_TENSOR
    own = {tensor.data_ptr() for tensor in probe.module.parameters()}
    assert all(tensor.numpy().ctypes.data in own for tensor in detached.values())


def test_a_missing_file_of_weights_is_refused(
    probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LARGE_MODEL", 0)
    lowering.lower(probe, tmp_path)
    (tmp_path / "probe.onnx.data").unlink()
    with pytest.raises(ExportError, match=r"probe.onnx: expected a valid ONNX model, got"):
        lowering.check(tmp_path / "probe.onnx")
    with pytest.raises(ExportError, match=r"probe.onnx: expected an ONNX model") as caught:
        OnnxRuntimeRunner.load(tmp_path, {"probe": "probe.onnx"})
    assert "\n" not in str(caught.value)
