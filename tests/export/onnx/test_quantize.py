"""int8 by ONNX Runtime's quantizer: close to float, a quarter of the size, standard operators, and its refusals."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.onnx import quantize as module
from export.onnx import weights
from export.onnx.lower import lower
from export.onnx.options import OnnxOptions
from export.onnx.quantize import quantize, sensitive, store_weights
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from tests.export.comparing import outputs_of, signal_to_noise

INT8 = OnnxOptions("int8")
LATENTS = TensorSpec("latents", "float32", (1, 8, 8, 8))


class Network(nn.Module):
    """Two convolutions and a linear layer that takes one value a thousand times the others."""

    loud: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)
        self.linear = nn.Linear(64, 512)
        self.register_buffer("loud", torch.ones(64).index_fill(0, torch.tensor([5]), 1e4))
        with torch.no_grad():
            self.linear.weight[:, 5] = 0

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.second(torch.relu(self.first(latents))).flatten(2).transpose(1, 2)  # (1, 64, 64)
        return self.linear(hidden * self.loud)


@pytest.fixture(scope="module")
def probe() -> ExportStage:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = Network().eval().requires_grad_(False)
        samples = tuple({"latents": torch.randn(LATENTS.shape)} for _ in range(6))
    return ExportStage("decode_image", network, (LATENTS,), (TensorSpec("image", "float32", (1, 64, 512)),), samples)


@pytest.fixture(scope="module")
def folder(probe: ExportStage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe in float and in int8."""
    path = tmp_path_factory.mktemp("quantised")
    for name, options in (("fp32", OnnxOptions()), ("int8", INT8)):
        (path / name).mkdir()
        lower(probe, path / name, options)
    return path


def test_it_computes_about_the_same_in_a_quarter_of_the_size(probe: ExportStage, folder: Path) -> None:
    torch.manual_seed(9)
    arrays = {"latents": torch.randn(LATENTS.shape).numpy()}
    runner = OnnxRuntimeRunner.load(folder / "int8", {"decode_image": "decode_image.onnx"}, threads=1)
    (wanted,), (found,) = outputs_of(probe, arrays).values(), runner.run("decode_image", **arrays).values()
    assert 30 < signal_to_noise(wanted, found) < 70, "too far, or not quantised at all"
    sizes = {name: (folder / name / "decode_image.onnx").stat().st_size for name in ("fp32", "int8")}
    assert sizes["int8"] < 0.32 * sizes["fp32"]


def test_a_layer_with_a_loud_input_keeps_float_arithmetic(probe: ExportStage, folder: Path) -> None:
    model = onnx.load(folder / "fp32" / "decode_image.onnx")
    linear = [node.name for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    assert sensitive(model, probe.samples) == linear
    quantised = onnx.load(folder / "int8" / "decode_image.onnx").graph
    kinds = Counter(node.op_type for node in quantised.node)
    assert kinds["QuantizeLinear"] == 4, "what two convolutions are given and give"
    floats = [each for each in quantised.initializer if each.data_type == TensorProto.FLOAT]
    assert not [each.name for each in floats if len(each.dims) > 1 and min(each.dims) > 1]


def test_only_onnxs_own_operators_and_our_metadata(folder: Path) -> None:
    models = [onnx.load(folder / name / "decode_image.onnx") for name in ("fp32", "int8")]
    assert {node.domain for model in models for node in model.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in models[1].opset_import] == [("", 18)]
    assert models[0].metadata_props == models[1].metadata_props
    assert [entry.key for entry in models[1].metadata_props] == ["mobile_diffusion.outputs"]


def test_large_weights_lie_beside_the_model(
    probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LARGE_MODEL", 1000)
    monkeypatch.setattr(weights, "LARGE_TENSOR", 1000)
    lower(probe, tmp_path, INT8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decode_image.onnx", "decode_image.onnx.data"]
    arrays = {"latents": probe.samples[0]["latents"].numpy()}
    runner = OnnxRuntimeRunner.load(tmp_path, {"decode_image": "decode_image.onnx"}, threads=1)
    (wanted,), (found,) = outputs_of(probe, arrays).values(), runner.run("decode_image", **arrays).values()
    assert signal_to_noise(wanted, found) > 30


@pytest.mark.parametrize(
    ("samples", "refusal"),
    [
        ((), "expected recorded calls for the calibration, got none"),
        (({"latents": torch.zeros(LATENTS.shape)},) * 3, "expected recorded calls that differ, got a constant latents"),
        (({"latents": torch.full(LATENTS.shape, torch.nan)},), "expected finite recorded calls, got NaN or infinity"),
    ],
)
def test_calls_that_calibrate_nothing_are_refused(
    probe: ExportStage, tmp_path: Path, samples: tuple[dict[str, Tensor], ...], refusal: str
) -> None:
    with pytest.raises(ExportError, match=f"decode_image: {refusal}"):
        lower(dataclasses.replace(probe, samples=samples), tmp_path, INT8)
    assert not list(tmp_path.iterdir())


def test_a_model_too_large_for_the_quantizer_is_refused(
    probe: ExportStage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(ExportError, match="expected at most .* GB of weights for ONNX Runtime's quantizer, got"):
        quantize(onnx.load(folder / "fp32" / "decode_image.onnx"), probe.samples, "decode_image")


@pytest.mark.parametrize("turned", [False, True])
def test_stored_weights_are_rounded_for_each_output(turned: bool) -> None:
    """Outputs that differ a thousandfold keep their digits, whichever way a Gemm holds its weights."""
    generator = np.random.default_rng(1)
    matrix = (generator.standard_normal((256, 128)) * np.geomspace(1e-3, 1, 128)).astype(np.float32)
    table = (generator.standard_normal((300, 256)) * np.geomspace(1, 1e-3, 300)[:, None]).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "rows"], ["x"], axis=0),
            helper.make_node("Gemm", ["x", "matrix"], ["y"], name="product", transB=int(turned)),
        ],
        "probe",
        [helper.make_tensor_value_info("rows", TensorProto.INT32, [300])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [300, 128])],
        [
            numpy_helper.from_array(np.ascontiguousarray(matrix.T) if turned else matrix, "matrix"),
            numpy_helper.from_array(table, "table"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    store_weights(model)
    assert {each.data_type for each in model.graph.initializer if len(each.dims) == 2 and min(each.dims) > 1} == {
        TensorProto.INT8
    }
    from onnx.reference import ReferenceEvaluator

    (found,) = ReferenceEvaluator(model).run(None, {"rows": np.arange(300, dtype=np.int32)})
    wanted = table.astype(np.float64) @ matrix
    for dim in (0, 1):
        noise, signal = np.square(found - wanted).sum(dim), np.square(wanted).sum(dim)
        assert (10 * np.log10(signal / noise)).min() > 33
