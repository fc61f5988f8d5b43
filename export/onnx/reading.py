"""Reads what an ONNX model itself contains, without running it: its boundary, tables that `step` indexes, precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.onnx.options import W8A16
from export.signatures import TensorSpec
from mobile_diffusion.errors import ExportError

LOOK_UPS = frozenset({"Gather", "GatherElements", "GatherND"})
QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger"})
STEP = "step"
_DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.FLOAT16: "float16",
}


@dataclass(frozen=True)
class OnnxContent:
    """The content of one model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """With the model's names."""
    tables: tuple[NDArray[np.floating], ...]
    """Constants of one axis that are looked up at `step`, (N,) each."""
    precision: str
    """As the manifest names it."""


def open_model(path: Path) -> onnx.ModelProto:
    """Open a model without the weights that stand in a file of their own; raises `ExportError` if it is none."""
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's exceptions have no common base but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{path}: expected an ONNX model, got {reason}; export it again") from error


def read_content(path: Path) -> OnnxContent:
    """Read what a model says of itself; raises `ExportError` if it is none."""
    graph = open_model(path).graph
    halves = any(each.data_type == onnx.TensorProto.FLOAT16 for each in graph.initializer)
    return OnnxContent(
        tuple(map(_spec, graph.input)),
        tuple(map(_spec, graph.output)),
        tuple(_tables(graph)),
        _rounded(graph) or ("fp16" if halves else "fp32"),
    )


def _rounded(graph: onnx.GraphProto) -> str:
    """What activations are rounded to, as the manifest names it: W8A16 has zero points of 16 bits; "" for nothing."""
    nodes = [node for node in graph.node if node.op_type in QUANTIZED]
    types = {each.name: each.data_type for each in graph.initializer}
    points = {types.get(node.input[2]) for node in nodes if node.op_type == "QuantizeLinear" and len(node.input) > 2}
    return "" if not nodes else W8A16 if onnx.TensorProto.UINT16 in points else "int8"


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(axis.dim_value for axis in tensor.shape.dim)
    return TensorSpec(value.name, _DTYPES.get(tensor.elem_type, str(tensor.elem_type)), shape)


def _tables(graph: onnx.GraphProto) -> Iterator[NDArray[np.floating]]:
    """The tables, found by following `step` through casts and the like to the look-ups."""
    constants = {each.name: each for each in graph.initializer}
    made = [node for node in graph.node if node.op_type == "Constant"]
    constants |= {node.output[0]: each.t for node in made for each in node.attribute if each.name == "value"}
    following = {STEP}
    for node in graph.node:
        if not following & set(node.input):
            continue
        if node.op_type not in LOOK_UPS:
            following |= set(node.output)
        elif node.input[0] in constants and len(constants[node.input[0]].dims) == 1:
            yield numpy_helper.to_array(constants[node.input[0]])
