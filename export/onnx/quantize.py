"""Quantizes a model to int8 with ONNX Runtime's static quantizer, independently of our quantization for XNNPACK.

Convolutions and matrix products with weights get 8-bit inputs (QDQ, per-channel weights, scales from the samples).
These parts keep float arithmetic, with weights stored in 8 bits: layers whose input would have a signal-to-noise ratio
below SENSITIVE_DB when rounded over its whole range; attention, which multiplies two activations; the last resolution
level of the U-Net; and the text encoder.
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
"""Signal-to-rounding ratio in dB that an input needs to be quantized.  A higher limit keeps more layers in float; with
the emoji model's `denoise` that cost speed and gained nothing."""
FLOAT_STAGES = frozenset({"encode_text"})
"""Stages that keep float arithmetic.  A few activations of a text encoder are a hundred times as large as the others:
MiniLM had 8 dB with every product in int8, and 15 dB without the sensitive ones.  It runs once per picture."""
UPSAMPLING = "Resize"
"""Upsampling operation; layers of the U-Net after the last one keep float arithmetic.  The worst step of the emoji
model had 25 dB with these layers in int8 and 35 dB with them in float, at the cost of a fifth of the speed."""
LARGEST = 2 * GB
"""Bytes of weights that a protobuf can hold; the quantizer needs the whole model in one."""
QUANTIZED = ("Conv", "Gemm", "MatMul")
"""Operations with weights that are quantized."""
LEVELS = 255
DELICATE_DB = 37.0
"""Least SNR in dB of a text encoder's output with one weight in 8 bits; weights below it are stored in float16."""
DELICATE_CALLS = 4
"""Number of samples on which this SNR is measured."""
FLOAT = onnx.TensorProto.FLOAT


class Calls(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the samples to the quantizer, one after another."""

    def __init__(self, samples: Samples) -> None:
        self._calls = _arrays(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._calls, None)


def quantize(model: onnx.ModelProto, samples: Samples, name: str) -> onnx.ModelProto:
    """Return the model in int8, calibrated with recorded calls.

    Raises `ExportError` if there are no calls, if an input is not finite or constant over all calls, or if the weights
    are larger than LARGEST.
    """
    check_samples(samples, name)
    size = size_of(model)
    if size > LARGEST:
        raise ExportError(
            f"{name}: expected at most {LARGEST / GB:.0f} GB of weights for ONNX Runtime's quantizer, got "
            f"{size / GB:.1f} GB; choose --precision fp32 or w8a16, or --runtime xnnpack for int8"
        )
    nodes = [node.name for node in model.graph.node]
    kept = nodes if name in FLOAT_STAGES else [*sensitive(model, samples), *_last_stage(model, name)]
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder, quiet():
        whole, changed = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(model, whole)
        quantize_static(
            whole,
            changed,
            Calls(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=kept,
        )
        result = onnx.load(changed)
    store_weights(result, delicate(model, samples) if name in FLOAT_STAGES else ())
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


def size_of(model: onnx.ModelProto) -> int:
    """Bytes of a model's constants."""
    return sum(_bytes(weight) for weight in model.graph.initializer)


def check_samples(samples: Samples, name: str) -> None:
    """Raise `ExportError` unless there are recorded calls whose values are finite and not constant."""
    if not samples:
        raise ExportError(f"{name}: expected recorded calls for the calibration, got none")
    for key, value in samples[0].items():
        tensors = [sample[key].float() for sample in samples]
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise ExportError(f"{name}: expected finite recorded calls, got NaN or infinity in {key}")
        if value.numel() > 1 and value.is_floating_point() and max(float(tensor.std()) for tensor in tensors) == 0.0:
            raise ExportError(f"{name}: expected recorded calls that differ, got a constant {key}")


def sensitive(model: onnx.ModelProto, samples: Samples) -> list[str]:
    """Return the names of the nodes that keep float arithmetic."""
    constants = {weight.name for weight in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in QUANTIZED]
    of_weights = [node for node in nodes if node.input[1] in constants]
    heard = signal_to_rounding(model, {node.input[0] for node in of_weights}, samples)
    kept = [node.name for node in of_weights if not heard[node.input[0]] >= SENSITIVE_DB]
    return kept + [node.name for node in nodes if node.input[1] not in constants]


def _last_stage(model: onnx.ModelProto, name: str) -> list[str]:
    """Return the names of the U-Net's nodes after its last upsampling."""
    kinds = [node.op_type for node in model.graph.node]
    if name != "denoise" or UPSAMPLING not in kinds:
        return []
    last = len(kinds) - 1 - kinds[::-1].index(UPSAMPLING)
    return [node.name for node in list(model.graph.node)[last:]]


def signal_to_rounding(model: onnx.ModelProto, values: set[str], samples: Samples) -> dict[str, float]:
    """Return the signal-to-rounding ratio of each value in dB, the lowest over the samples.

    The value is rounded to 8 bits over its whole range.  A value that is always zero has NaN and is not quantized.
    """
    names = sorted(values)
    session = onnxruntime.InferenceSession(_observed(model, names).SerializeToString(), _options())
    found = np.array([session.run(None, call) for call in _arrays(samples)], np.float64)  # (calls, 3 * values)
    least, most, square = found.reshape(len(found), len(names), 3).transpose(2, 1, 0)  # (values, calls) each
    step = (np.maximum(most.max(1), 0) - np.minimum(least.min(1), 0)) / LEVELS
    rounding = np.square(step) / 12  # mean square of an error that is uniform over one step
    pairs = zip(square.min(1), rounding, strict=True)
    levels = [ratio_db(signal, error) if error else math.nan for signal, error in pairs]
    return dict(zip(names, levels, strict=True))


def _observed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with the minimum, maximum and mean square of the named values as outputs."""
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
    """Return the names of the large weights that bring the output below DELICATE_DB when only they are in 8 bits.

    The weights become inputs of one session, so that one weight at a time can be replaced.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    matrices = {node.input[1] for node in model.graph.node if node.op_type in QUANTIZED}
    weights = {each.name: each for each in model.graph.initializer if _is_large(each) and each.name in matrices}
    others = [each for each in opened.graph.initializer if each.name not in weights]
    del opened.graph.initializer[:]
    opened.graph.initializer.extend(others)
    opened.graph.input.extend(helper.make_tensor_value_info(name, FLOAT, each.dims) for name, each in weights.items())
    session = onnxruntime.InferenceSession(opened.SerializeToString(), _options())
    values = {name: numpy_helper.to_array(each) for name, each in weights.items()}
    calls = list(_arrays(samples))[:DELICATE_CALLS]
    exact = [session.run(None, call | values)[0] for call in calls]
    axes = {node.input[1]: _axis(node) for node in model.graph.node if node.op_type in QUANTIZED}
    result = set()
    for name, weight in weights.items():
        rounded, scale = (numpy_helper.to_array(each) for each in _in_int8(weight, axes[name]))
        changed = values | {name: (rounded * scale).astype(np.float32)}
        found = [session.run(None, call | changed)[0] for call in calls]
        if not worst(map(snr_db, exact, found)) >= DELICATE_DB:
            result.add(name)
    return result


def store_weights(model: onnx.ModelProto, in_half: Collection[str] = ()) -> None:
    """Store the remaining large float weights in int8, with one scale per output channel or row, in place.

    Arithmetic stays in float.  Weights named in `in_half` are stored in float16 instead.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer if _is_large(weight)}
    nodes, stored = list(graph.node), set[str]()
    del graph.node[:]
    for node in nodes:
        place = 0 if node.op_type == "Gather" else 1
        name = node.input[place] if len(node.input) > place else ""
        if name not in weights or node.op_type not in (*QUANTIZED, "Gather"):
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
    """Return the output axis of a node's weights, or the row axis of a table."""
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 1 if node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned) else 0


def _multiplied(node: onnx.NodeProto, name: str, first: bool) -> list[onnx.NodeProto]:
    """Return two nodes that turn the weights into float, followed by the node itself.

    ONNX Runtime folds the two when it loads the model.  A single DequantizeLinear would not do: ONNX Runtime would fuse
    it into an 8-bit product, even where the inputs are to stay in float.
    """
    node.input[1] = f"{name}_float"
    if not first:
        return [node]
    cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_whole"], to=FLOAT)
    return [cast, helper.make_node("Mul", [f"{name}_whole", f"{name}_scale"], [f"{name}_float"]), node]


def _looked_up(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return nodes that turn only the looked-up rows into float; the table is int8 (V, D) with scales (V, 1)."""
    table, indices, (output,) = node.input[0], node.input[1], node.output
    rows, scales, cast = f"{output}_rows", f"{output}_scales", f"{output}_float"
    return [
        helper.make_node("Gather", [f"{table}_int8", indices], [rows], axis=0),
        helper.make_node("Gather", [f"{table}_scale", indices], [scales], axis=0),
        helper.make_node("Cast", [rows], [cast], to=FLOAT),
        helper.make_node("Mul", [cast, scales], [output]),
    ]


def _in_int8(weight: onnx.TensorProto, axis: int) -> Iterator[onnx.TensorProto]:
    """Yield the rounded weights, then their scales, which broadcast against the weights."""
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
def quiet() -> Iterator[None]:
    """Keep the quantizer's advice to preprocess the model off the terminal; the model is already simplified."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
