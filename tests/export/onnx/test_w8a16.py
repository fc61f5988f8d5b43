"""W8A16: nothing but the model's own inputs and outputs is in float, ranges have room, masks leave room for scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from export.onnx.lower import lower
from export.onnx.options import OnnxOptions
from export.onnx.reading import read_content
from export.onnx.w8a16 import MASKED, limit_masks, rename_constants
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from tests.export.comparing import outputs_of, signal_to_noise

LATENTS = TensorSpec("latents", "float32", (1, 8, 8, 8))
IMAGE = TensorSpec("image", "float32", (1, 8, 16, 16))
ROUNDING = {"QuantizeLinear", "DequantizeLinear"}
SETTINGS = {"Clip": (1, 2), "Reshape": (1,), "Resize": (1, 2, 3)}
"""Places of inputs that are no values: bounds, shapes and factors."""


class Network(nn.Module):
    """Norms whose scale several share, a gate, enlargement and a clamp, as in a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 32, 3, padding=1), nn.Conv2d(32, 8, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, 32) for _ in range(3)])

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.first(latents)
        for norm in self.norms:
            hidden = hidden + F.silu(norm(hidden))
        image: Tensor = F.interpolate(self.second(hidden), scale_factor=2.0).clamp(0, 1)
        return image


def probe(samples: tuple[Mapping[str, Tensor], ...]) -> ExportStage:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = Network().eval().requires_grad_(False)
    return ExportStage("decode_image", network, (LATENTS,), (IMAGE,), samples)


def drawn(count: int, seed: int, scale: float = 1.0) -> tuple[Mapping[str, Tensor], ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple({"latents": scale * torch.randn(LATENTS.shape, generator=generator)} for _ in range(count))


@pytest.fixture(scope="module")
def stage() -> ExportStage:
    return probe(drawn(6, 1))


@pytest.fixture(scope="module")
def folder(stage: ExportStage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe in W8A16."""
    path = tmp_path_factory.mktemp("w8a16")
    lower(stage, path, OnnxOptions("w8a16"))
    return path


def test_no_operation_reads_or_writes_floats(folder: Path) -> None:
    graph = onnx.load(folder / "decode_image.onnx").graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    read = {name: node.op_type for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type in ROUNDING:
            continue
        values = [name for place, name in enumerate(node.input) if place not in SETTINGS.get(node.op_type, ())]
        assert all(made[name] == "DequantizeLinear" for name in values), node.op_type
        assert all(read[name] == "QuantizeLinear" for name in node.output), node.op_type


def test_weights_have_eight_bits_and_a_scale_a_channel_and_activations_sixteen(folder: Path) -> None:
    graph = onnx.load(folder / "decode_image.onnx").graph
    constants = {each.name: each for each in graph.initializer}
    source = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    kernels = [source[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    assert {constants[node.input[0]].data_type for node in kernels} == {TensorProto.INT8}
    assert sorted(constants[node.input[1]].dims[0] for node in kernels) == [8, 32]
    points = [constants[node.input[2]].data_type for node in graph.node if node.op_type == "QuantizeLinear"]
    assert set(points) == {TensorProto.UINT16}
    assert read_content(folder / "decode_image.onnx").precision == "w8a16"


@pytest.mark.parametrize(("scale", "least"), [(1.0, 35), (1.8, 35)])
def test_a_call_beyond_the_recorded_ones_is_not_cut_off(
    stage: ExportStage, folder: Path, scale: float, least: float
) -> None:
    (call,) = drawn(1, 9, scale)
    arrays = {"latents": call["latents"].numpy()}
    runner = OnnxRuntimeRunner.load(folder, {"decode_image": "decode_image.onnx"}, threads=1)
    (wanted,), (found,) = outputs_of(stage, arrays).values(), runner.run("decode_image", **arrays).values()
    assert signal_to_noise(wanted, found) > least
    assert found.min() >= 0 and found.max() <= 1 + 1e-3, "the clamp was left to the range"


def test_a_model_beyond_a_protobuf_is_quantized_from_files(
    stage: ExportStage, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.onnx.w8a16.LARGEST", 1000)
    lower(stage, tmp_path, OnnxOptions("w8a16"))
    arrays = {"latents": drawn(1, 9)[0]["latents"].numpy()}
    runners = (
        OnnxRuntimeRunner.load(each, {"decode_image": "decode_image.onnx"}, threads=1) for each in (folder, tmp_path)
    )
    first, second = (runner.run("decode_image", **arrays)["image"] for runner in runners)
    assert np.array_equal(first, second)


def test_constants_get_names_that_no_value_has_with_a_number_behind_it() -> None:
    scale = numpy_helper.from_array(np.ones(2, np.float32), "val_1")
    node = helper.make_node("Mul", ["val_12", "val_1"], ["out"])
    model = helper.make_model(helper.make_graph([node], "g", [], [], [scale]))
    rename_constants(model)
    (constant,), (kept, renamed) = model.graph.initializer, model.graph.node[0].input
    assert (kept, renamed) == ("val_12", constant.name) and not kept.startswith(constant.name)


def test_masks_are_limited_and_weights_are_not() -> None:
    values = {"mask": [0.0, -1e4], "causal": [0.0, float("-inf")], "bias": [-3.0, 2.0], "weight": [-2e4, 1.0]}
    arrays = [numpy_helper.from_array(np.array(each, np.float32), name) for name, each in values.items()]
    nodes = [helper.make_node("Add", [name, "x"], [f"{name}_out"]) for name in ("mask", "causal", "bias")]
    model = helper.make_model(
        helper.make_graph([*nodes, helper.make_node("MatMul", ["x", "weight"], ["o"])], "g", [], [], arrays)
    )
    limit_masks(model)
    found = {each.name: numpy_helper.to_array(each).tolist() for each in model.graph.initializer}
    assert found == values | {"mask": [0.0, MASKED], "causal": [0.0, MASKED]}


@pytest.mark.parametrize(
    ("samples", "refusal"),
    [
        ((), "expected recorded calls for the calibration, got none"),
        (({"latents": torch.full(LATENTS.shape, torch.nan)},), "expected finite recorded calls, got NaN"),
        (({"latents": torch.ones(LATENTS.shape)},), "expected recorded calls that differ, got a constant latents"),
    ],
)
def test_calls_that_say_nothing_are_refused(
    samples: tuple[Mapping[str, Tensor], ...], refusal: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=refusal):
        lower(probe(samples), tmp_path, OnnxOptions("w8a16"))
    assert not list(tmp_path.iterdir())
