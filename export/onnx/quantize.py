"""A model in int8 by ONNX Runtime's own static quantizer: a second opinion beside XNNPACK's.

Convolutions and products with weights get 8-bit inputs (QDQ, per channel, scales from the recorded calls).  An input
that 8 bits over its whole range would leave with less than SENSITIVE_DB of signal keeps float arithmetic, as does
attention, whose products are of two activations, the last stage of the U-Net and the whole text encoder; weights are
stored in 8 bits there, too.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor

from export.onnx.weights import LARGE_TENSOR
from mobile_diffusion.decibels import ratio_db, snr_db, worst
from mobile_diffusion.errors import ExportError
from mobile_diffusion.units import GB

Samples = Sequence[Mapping[str, Tensor]]

SENSITIVE_DB = 28.0
"""Signal over rounding that an input must have to be quantised.  With less left in int8, the emoji model's denoise
gained nothing; with more in float it lost speed."""
FLOAT_STAGES = frozenset({"encode_text"})
"""A few values inside a text encoder are a hundred times the others: MiniLM had 8 dB with every product in int8, and 15
without the sensitive ones.  It runs once a picture."""
LAST_STAGE = "Resize"
"""After the last of these, the U-Net's layers keep float arithmetic: the emoji model's worst step had 25 dB with them
in int8 and 35 without, for a fifth of the speed."""
LARGEST = 2 * GB
"""Bytes of weights that a protobuf holds, and so the quantizer."""
QUANTISED = ("Conv", "Gemm", "MatMul")
"""Operations with weights."""
LEVELS = 255
DELICATE_DB = 37.0
"""What a weight alone in 8 bits must leave of a text encoder's output; others are stored in half precision."""
DELICATE_CALLS = 4
"""Recorded calls on which that is found."""
FLOAT = onnx.TensorProto.FLOAT


class _Calls(CalibrationDataReader):  # type: ignore[misc]
    """The recorded calls, one after another."""

    def __init__(self, samples: Samples) -> None:
        self._calls = _arrays(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._calls, None)


def quantize(model: onnx.ModelProto, samples: Samples, name: str) -> onnx.ModelProto:
    """The model in int8, calibrated with recorded calls of it.

    Raises `ExportError` without calls, with calls that are all the same, and for a model that is too large.
    """
    check_samples(samples, name)
    size = sum(_bytes(weight) for weight in model.graph.initializer)
    if size > LARGEST:
        raise ExportError(
            f"{name}: expected at most {LARGEST / GB:.0f} GB of weights for ONNX Runtime's quantizer, got "
            f"{size / GB:.1f} GB; choose --precision fp32, or --runtime xnnpack for int8"
        )
    nodes = [node.name for node in model.graph.node]
    kept = nodes if name in FLOAT_STAGES else [*sensitive(model, samples), *_last_stage(model, name)]
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder, _quiet():
        whole, changed = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(model, whole)
        quantize_static(
            whole,
            changed,
            _Calls(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=kept,
        )
        result = onnx.load(changed)
    store_weights(result, delicate(model, samples) if name in FLOAT_STAGES else ())
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


def check_samples(samples: Samples, name: str) -> None:
    """Raise `ExportError` unless there are recorded calls, of finite values that differ."""
    if not samples:
        raise ExportError(f"{name}: expected recorded calls to calibrate int8 with, got none")
    for key, value in samples[0].items():
        tensors = [sample[key].float() for sample in samples]
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise ExportError(f"{name}: expected finite recorded calls, got NaN or infinity in {key}")
        if value.numel() > 1 and value.is_floating_point() and max(float(tensor.std()) for tensor in tensors) == 0.0:
            raise ExportError(f"{name}: expected recorded calls that differ, got a constant {key}")


def sensitive(model: onnx.ModelProto, samples: Samples) -> list[str]:
    """Names of the nodes that keep float arithmetic."""
    constants = {weight.name for weight in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in QUANTISED]
    of_weights = [node for node in nodes if node.input[1] in constants]
    heard = signal_to_rounding(model, {node.input[0] for node in of_weights}, samples)
    kept = [node.name for node in of_weights if not heard[node.input[0]] >= SENSITIVE_DB]
    return kept + [node.name for node in nodes if node.input[1] not in constants]


def _last_stage(model: onnx.ModelProto, name: str) -> list[str]:
    """Names of the U-Net's nodes after its last upsampling."""
    kinds = [node.op_type for node in model.graph.node]
    if name != "denoise" or LAST_STAGE not in kinds:
        return []
    last = len(kinds) - 1 - kinds[::-1].index(LAST_STAGE)
    return [node.name for node in list(model.graph.node)[last:]]


def signal_to_rounding(model: onnx.ModelProto, values: set[str], samples: Samples) -> dict[str, float]:
    """dB of each value over its rounding to 8 bits that span its whole range, in the call in which it was smallest.

    NaN for a value that was always zero: it is not quantised.
    """
    names = sorted(values)
    session = onnxruntime.InferenceSession(_observed(model, names).SerializeToString(), _options())
    found = np.array([session.run(None, call) for call in _arrays(samples)], np.float64)  # (calls, 3 * values)
    least, most, square = found.reshape(len(found), len(names), 3).transpose(2, 1, 0)  # (values, calls) each
    step = (np.maximum(most.max(1), 0) - np.minimum(least.min(1), 0)) / LEVELS
    rounding = np.square(step) / 12  # the energy of errors that are uniform over a step
    pairs = zip(square.min(1), rounding, strict=True)
    levels = [ratio_db(signal, error) if error else math.nan for signal, error in pairs]
    return dict(zip(names, levels, strict=True))


def _observed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with the minimum, maximum and mean square of some values as its outputs."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.output[:]
    for number, name in enumerate(names):
        outputs = [f"observed_{number}_{kind}" for kind in ("least", "most", "square")]
        result.graph.node.extend(
            [
                helper.make_node("ReduceMin", [name], outputs[:1], keepdims=0),
                helper.make_node("ReduceMax", [name], outputs[1:2], keepdims=0),
                helper.make_node("Mul", [name, name], [f"{outputs[2]}s"]),
                helper.make_node("ReduceMean", [f"{outputs[2]}s"], outputs[2:], keepdims=0),
            ]
        )
        result.graph.output.extend(helper.make_tensor_value_info(output, FLOAT, []) for output in outputs)
    return result


def delicate(model: onnx.ModelProto, samples: Samples) -> set[str]:
    """Names of the large weights that, alone in 8 bits, leave the model's output less than DELICATE_DB.

    The weights become inputs of one session, so that each can be changed in turn.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    matrices = {node.input[1] for node in model.graph.node if node.op_type in QUANTISED}
    weights = {each.name: each for each in model.graph.initializer if _is_large(each) and each.name in matrices}
    others = [each for each in opened.graph.initializer if each.name not in weights]
    del opened.graph.initializer[:]
    opened.graph.initializer.extend(others)
    opened.graph.input.extend(helper.make_tensor_value_info(name, FLOAT, each.dims) for name, each in weights.items())
    session = onnxruntime.InferenceSession(opened.SerializeToString(), _options())
    values = {name: numpy_helper.to_array(each) for name, each in weights.items()}
    calls = list(_arrays(samples))[:DELICATE_CALLS]
    exact = [session.run(None, call | values)[0] for call in calls]
    axes = {node.input[1]: _axis(node) for node in model.graph.node if node.op_type in QUANTISED}
    result = set()
    for name, weight in weights.items():
        rounded, scale = (numpy_helper.to_array(each) for each in _in_int8(weight, axes[name]))
        changed = values | {name: (rounded * scale).astype(np.float32)}
        found = [session.run(None, call | changed)[0] for call in calls]
        if not worst(map(snr_db, exact, found)) >= DELICATE_DB:
            result.add(name)
    return result


def store_weights(model: onnx.ModelProto, in_half: Collection[str] = ()) -> None:
    """Store the large float weights that are left in int8, a scale for each output or row; arithmetic stays float.

    Those named are stored in half precision instead.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer if _is_large(weight)}
    nodes, stored = list(graph.node), set[str]()
    del graph.node[:]
    for node in nodes:
        place = 0 if node.op_type == "Gather" else 1
        name = node.input[place] if len(node.input) > place else ""
        if name not in weights or node.op_type not in (*QUANTISED, "Gather"):
            graph.node.append(node)
            continue
        first = name not in stored
        stored.add(name)
        if name in in_half:
            if first:
                half = numpy_helper.to_array(weights[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(half, f"{name}_half"))
                graph.node.append(helper.make_node("Cast", [f"{name}_half"], [f"{name}_float"], to=FLOAT))
            node.input[place] = f"{name}_float"
            graph.node.append(node)
            continue
        if first:
            graph.initializer.extend(_in_int8(weights[name], _axis(node)))
        graph.node.extend(_looked_up(node) if node.op_type == "Gather" else _multiplied(node, name, first))
    used = {name for node in graph.node for name in node.input}
    left = [weight for weight in graph.initializer if weight.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _axis(node: onnx.NodeProto) -> int:
    """The axis of the outputs in a node's weights, or of the rows in a table."""
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 1 if node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned) else 0


def _multiplied(node: onnx.NodeProto, name: str, first: bool) -> list[onnx.NodeProto]:
    """The node, after two that turn its weights into float, which ONNX Runtime does once, when it loads them.

    From a DequantizeLinear in their place ONNX Runtime would make a product of 8-bit inputs, whatever the inputs.
    """
    node.input[1] = f"{name}_float"
    if not first:
        return [node]
    cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_whole"], to=FLOAT)
    return [cast, helper.make_node("Mul", [f"{name}_whole", f"{name}_scale"], [f"{name}_float"]), node]


def _looked_up(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Only the rows that are looked up become float: (V, D) of int8 and (V, 1) of scales."""
    table, indices, (output,) = node.input[0], node.input[1], node.output
    rows, scales, cast = f"{output}_rows", f"{output}_scales", f"{output}_float"
    return [
        helper.make_node("Gather", [f"{table}_int8", indices], [rows], axis=0),
        helper.make_node("Gather", [f"{table}_scale", indices], [scales], axis=0),
        helper.make_node("Cast", [rows], [cast], to=FLOAT),
        helper.make_node("Mul", [cast, scales], [output]),
    ]


def _in_int8(weight: onnx.TensorProto, axis: int) -> Iterator[onnx.TensorProto]:
    """The rounded weights, and their scales, which broadcast to them."""
    values = numpy_helper.to_array(weight)
    others = tuple(dim for dim in range(values.ndim) if dim != axis)
    scale = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
    yield numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{weight.name}_int8")
    yield numpy_helper.from_array(scale, f"{weight.name}_scale")


def _is_large(weight: onnx.TensorProto) -> bool:
    return weight.data_type == onnx.TensorProto.FLOAT and _bytes(weight) > LARGE_TENSOR and len(weight.dims) > 1


def _bytes(weight: onnx.TensorProto) -> int:
    return math.prod(weight.dims) * helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize


def _arrays(samples: Samples) -> Iterator[dict[str, np.ndarray]]:
    return ({name: tensor.numpy() for name, tensor in sample.items()} for sample in samples)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice to preprocess the model, which is already simplified, from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
