"""Quantizes a whole stage for Qualcomm's NPU: weights int8 with a scale per output channel, activations uint16 (W8A16).

The NPU runs an operation only if all its inputs and outputs are quantized, so nothing is left in float but the model's
own inputs and outputs.  The quantizer, its settings and its rewrites are those of ONNX Runtime for its QNN provider
(onnxruntime.quantization.execution_providers.qnn).  The steps of the schedule and the scales of norms are uint16.

A range is twice what was seen in the recorded calls: a value beyond its range is cut off, which costs far more than the
one bit of sixteen.  MiniLM, 16-bit weights, other prompts than the calls': worst of seven 25 dB without, 44 with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization import quantize as quantize_by
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config, qnn_preprocess_model

from export.onnx.quantize import FLOAT_STAGES, LARGEST, Calls, Samples, check_samples, quiet, size_of

MASKED = -128.0
"""What a mask adds to a score that it hides.  The scores share their 16 bits with it: with BERT's -10,000 their steps
are 0.15, and MiniLM has 34 dB in place of 53 (weights in 16 bits); e^-128 is as good as nothing."""
HEADROOM = 2.0
"""The range of an activation over what it was in the recorded calls."""
FIXED_RANGE = frozenset({"Sigmoid", "Softmax", "Tanh"})
"""Operations whose range is known."""
HIDING = -1024.0
"""A constant with a value below this is a mask; a bias or a scale of a norm is far from it."""
UNIQUE = "_constant"
Range = Mapping[str, np.float32]


def quantize_for_npu(model: onnx.ModelProto, samples: Samples, name: str) -> onnx.ModelProto:
    """Return the model in W8A16, its ranges those of recorded calls; it may share memory with `model`.

    A text encoder has 16-bit weights, too: MiniLM has 22 dB with weights of 8 bits and 44 with 16, and runs once per
    picture.  Raises `ExportError` if there are no calls, or if an input is not finite or constant over all calls.
    """
    check_samples(samples, name)
    rename_constants(model)
    limit_masks(model)
    kept = list(model.metadata_props)
    del model.metadata_props[:]  # the quantizer cannot read a model that has some
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder, quiet():
        plain, fused, changed = (Path(folder) / f"{kind}.onnx" for kind in ("plain", "fused", "w8a16"))
        apart = size_of(model) > LARGEST  # weights beside the model, as a protobuf cannot hold them
        onnx.save_model(model, plain, save_as_external_data=apart)
        source = fused if qnn_preprocess_model(plain, fused, save_as_external_data=apart) else plain
        weights = QuantType.QInt16 if name in FLOAT_STAGES else QuantType.QInt8
        settings = get_qnn_qdq_config(
            source,
            Calls(samples[:1]),  # the ranges are known, but the quantizer looks at one call at least
            activation_type=QuantType.QUInt16,
            weight_type=weights,
            per_channel=True,
            keep_removable_activations=True,  # else a clamp is left to its range, which is wider here
            init_overrides={name: [range_] for name, range_ in ranges(source, samples).items()},
        )
        quantize_by(source, changed, settings)
        result = onnx.load(changed)
    _drop_unused_domains(result)
    del result.metadata_props[:]
    result.metadata_props.extend(kept)
    return result


def ranges(path: Path, samples: Samples) -> dict[str, Range]:
    """Least and greatest value of every activation in the recorded calls, times HEADROOM; the model is at `path`."""
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        observer = create_calibrator(path, augmented_model_path=f"{folder}/observed.onnx")
        observer.collect_data(Calls(samples))
        seen = observer.compute_data()
    fixed = {name for node in onnx.load(path, load_external_data=False).graph.node for name in _fixed(node)}
    return {name: _widened(*seen[name].range_value) for name in seen.keys() if name not in fixed}  # noqa: SIM118


def _fixed(node: onnx.NodeProto) -> Sequence[str]:
    return node.output if node.op_type in FIXED_RANGE else ()


def _widened(least: np.ndarray, greatest: np.ndarray) -> Range:
    low, high = min(float(np.min(least)), 0.0), max(float(np.max(greatest)), 0.0)
    return {"rmin": np.float32(low * HEADROOM), "rmax": np.float32(high * HEADROOM)}


def rename_constants(model: onnx.ModelProto) -> None:
    """Give the constants names that no value has with a number behind it, in place.

    The quantizer copies a constant that several norms share and names the copies by numbers: `val_12` becomes
    `val_126`, which may be another value (ONNX Runtime 1.31).
    """
    names = {each.name: f"{each.name}{UNIQUE}" for each in model.graph.initializer}
    for each in model.graph.initializer:
        each.name = names[each.name]
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)


def limit_masks(model: onnx.ModelProto) -> None:
    """Raise the values of masks (HIDING) that are below MASKED to it, in place; a mask is added or multiplied."""
    added = set(_factors(model.graph.node))
    for each in model.graph.initializer:
        if each.name not in added or each.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(each)
        if values.size and values.min() < HIDING:
            each.CopyFrom(numpy_helper.from_array(np.maximum(values, np.float32(MASKED)), each.name))


def _factors(nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        if node.op_type in ("Add", "Mul"):
            yield from node.input


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """Remove the operator sets that no node is of; older versions of ONNX Runtime refuse those they do not know."""
    used = {node.domain for node in model.graph.node}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
