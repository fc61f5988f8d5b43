"""Lowers a stage to an ONNX model and simplifies it with onnxsim.

Weights are float32 or float16 (half.py), or weights and activations are int8 (quantize.py) or W8A16 (w8a16.py).

In ONNX no two values may share a name.  An output with the name of an input (`latents`) is therefore called
`latents_out` in the model; the metadata maps it back, and a runner returns it under the stage's name.  The float32
export never serializes the weights into a protobuf in memory (weights.py), so it holds only one copy of them.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import onnx
import onnxsim
import torch
from onnxscript import ir

from export.onnx import OUTPUTS_KEY
from export.onnx.half import in_half
from export.onnx.options import W8A16, OnnxOptions
from export.onnx.weights import Weights, detach, save, save_whole
from export.quiet import errors_only
from export.rewrites import parted_attention
from export.rewrites.replacement import replaced
from export.signatures import program_outputs
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

NOISY_LOGGERS = ("onnxscript", "torch.onnx")
"""They write progress lines and notes on torchvision."""
OPSET = 18
"""torch's exporter writes this opset without a conversion.  It has LayerNormalization as one node, and every ONNX
Runtime since 1.14 reads it."""
FORBIDDEN = frozenset({"Sin", "Cos"})
"""The schedule is a table, so a sinusoid in the graph would mean that the phone computes a time embedding."""


def lower(stage: ExportStage, folder: Path, options: OnnxOptions | None = None) -> str:
    """Write `<stage>.onnx` into `folder`; returns its path relative to `folder`.

    A large model keeps its weights in `<stage>.onnx.data` and further files.  Raises `ExportError` if the stage cannot
    be converted, or if the written model is not valid.
    """
    program = convert(stage)
    weights = detach(program)
    skeleton = ir.to_proto(program)
    _set_metadata(skeleton, stage)
    path = folder / f"{stage.name}.onnx"
    simplified = simplify(skeleton, stage.name)
    if options is not None and options.calibrated:
        save_quantized(simplified, weights, stage, path, options.precision)
    elif options is not None and options.precision == "fp16":
        save(simplified, in_half(simplified, weights), path)
    else:
        save(simplified, weights, path)
    check(path)
    return path.name


def save_quantized(skeleton: onnx.ModelProto, weights: Weights, stage: ExportStage, path: Path, precision: str) -> None:
    """Quantize the model, calibrated on the stage's samples, and write it to `path`."""
    from export.onnx.quantize import quantize
    from export.onnx.w8a16 import quantize_for_npu

    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        save(skeleton, weights, Path(folder) / path.name)
        whole = onnx.load(Path(folder) / path.name)
    change = quantize_for_npu if precision == W8A16 else quantize
    save_whole(change(whole, stage.samples, stage.name), path)


def convert(stage: ExportStage) -> ir.Model:
    """Return the stage as an ONNX model, not yet simplified; its initializers are views of the stage's tensors."""
    with errors_only(NOISY_LOGGERS, prints=True):
        program = torch.onnx.export(
            replaced(stage.module, parted_attention.replacement),
            kwargs=stage.example(),
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in stage.inputs],
            output_names=program_outputs(stage),
            verbose=False,
        )
    if program is None:
        raise ExportError(f"{stage.name}: expected an ONNX program, got none from torch.onnx.export")
    return program.model


def simplify(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return the model with constants folded and no-ops removed.

    Raises `ExportError` if the simplified model computes something else, or contains a sinusoid.
    """
    simplified, same = onnxsim.simplify(model)
    if not same:
        raise ExportError(f"{name}: expected onnxsim to preserve the results of the model, got different ones")
    found = sorted(FORBIDDEN & {node.op_type for node in simplified.graph.node})
    if found:
        raise ExportError(f"{name}: expected a graph without sinusoids, got {', '.join(found)}")
    del simplified.metadata_props[:]  # onnxsim's notes about itself
    simplified.metadata_props.extend(model.metadata_props)
    return simplified


def check(path: Path) -> None:
    """Raise `ExportError` unless the model at `path` and its weights file are valid."""
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: expected a valid ONNX model, got one with {str(error).splitlines()[0]}") from error


def _set_metadata(model: onnx.ModelProto, stage: ExportStage) -> None:
    """Write our metadata, and remove the exporter's notes on the origin of each node, which name local files."""
    for item in (*model.graph.node, model.graph, *model.functions):
        del item.metadata_props[:]
    del model.metadata_props[:]
    names = dict(zip(program_outputs(stage), (spec.name for spec in stage.outputs), strict=True))
    model.metadata_props.add(key=OUTPUTS_KEY, value=json.dumps(names))
