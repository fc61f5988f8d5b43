"""What the lowering writes: models with our names, without sinusoids, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from export.onnx import OUTPUTS_KEY
from export.onnx import lower as lowering
from export.signatures import STAGES, program_outputs
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError


@pytest.mark.parametrize("stage", STAGES)
def test_names_and_shapes_are_the_stages(stage: str, onnx_folder: Path, tiny_stages: Mapping[str, ExportStage]) -> None:
    model = onnx.load(onnx_folder / f"{stage}.onnx")
    found = [(value.name, tuple(d.dim_value for d in value.type.tensor_type.shape.dim)) for value in model.graph.input]
    assert found == [(spec.name, tuple(spec.shape)) for spec in tiny_stages[stage].inputs]
    outputs = tuple(value.name for value in model.graph.output)
    assert outputs == program_outputs(tiny_stages[stage])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    stages = [spec.name for spec in tiny_stages[stage].outputs]
    assert json.loads(metadata[OUTPUTS_KEY]) == dict(zip(outputs, stages, strict=True))


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_is_valid_and_has_no_sinusoid(stage: str, onnx_folder: Path) -> None:
    model = onnx.load(onnx_folder / f"{stage}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert not {"Sin", "Cos", "Range"} & {node.op_type for node in model.graph.node}
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [lowering.OPSET]
    assert all(entry.domain == "" for entry in model.opset_import)


@pytest.mark.parametrize("stage", STAGES)
def test_no_weight_is_turned_on_the_phone(stage: str, onnx_folder: Path) -> None:
    graph = onnx.load(onnx_folder / f"{stage}.onnx").graph
    constants = {value.name for value in graph.initializer}
    assert not [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants]


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_tells_nothing_of_this_computer(stage: str, onnx_folder: Path) -> None:
    assert str(Path(lowering.__file__).parents[2]).encode() not in (onnx_folder / f"{stage}.onnx").read_bytes()


def small_model(operation: str) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node(operation, ["x"], ["y"])], "small", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", lowering.OPSET)], ir_version=9)


@pytest.mark.parametrize("operation", ["Sin", "Cos"])
def test_a_sinusoid_is_refused(operation: str) -> None:
    with pytest.raises(ExportError, match=f"probe: expected a graph without sinusoids, got {operation}"):
        lowering.simplify(small_model(operation), "probe")


def test_a_simplification_that_changes_the_result_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering.onnxsim, "simplify", lambda model, **options: (model, False))
    with pytest.raises(ExportError, match="probe: expected onnxsim to preserve"):
        lowering.simplify(small_model("Exp"), "probe")


def test_a_model_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    onnx.save_model(small_model("NoSuchOperation"), tmp_path / "probe.onnx")
    with pytest.raises(ExportError, match=r"probe.onnx: expected a valid ONNX model, got") as caught:
        lowering.check(tmp_path / "probe.onnx")
    assert "\n" not in str(caught.value)
