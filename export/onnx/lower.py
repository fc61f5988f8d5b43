"""A stage as an ONNX model, simplified by onnxsim: in float32, or in int8 by ONNX Runtime's quantizer (quantize.py).

A stage's output that has the name of one of its inputs (`latents`) is called `latents_out` in the model, because ONNX
names every value once; the model's metadata maps it back, and a runner returns it under the stage's name.  The weights
never pass through a protobuf (weights.py), so that Stable Diffusion's U-Net needs no more memory than its weights.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxsim
import torch
from onnxscript import ir

from export.onnx import OUTPUTS_KEY
from export.onnx.options import OnnxOptions
from export.onnx.weights import Weights, detach, save, save_whole
from export.rewrites import parted_attention
from export.rewrites.replacement import replaced
from export.signatures import program_outputs
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

OPSET = 18
"""What torch's exporter writes by itself (another one would be a conversion), with LayerNormalization as one node,
and old enough for every ONNX Runtime since 1.14."""
FORBIDDEN = frozenset({"Sin", "Cos"})
"""The schedule is a table: a sinusoid in a graph means that a time embedding is computed on the phone."""


def lower(stage: ExportStage, folder: Path, options: OnnxOptions | None = None) -> str:
    """Write `<stage>.onnx` into `folder`, and `<stage>.onnx.data` if it is large; returns the former's relative path.

    Raises `ExportError` when the stage cannot be converted, or the model that was written is not a valid one.
    """
    program = convert(stage)
    weights = detach(program)
    skeleton = ir.to_proto(program)
    _set_metadata(skeleton, stage)
    path = folder / f"{stage.name}.onnx"
    simplified = simplify(skeleton, stage.name)
    if options is not None and options.precision == "int8":
        save_int8(simplified, weights, stage, path)
    else:
        save(simplified, weights, path)
    check(path)
    return path.name


def save_int8(skeleton: onnx.ModelProto, weights: Weights, stage: ExportStage, path: Path) -> None:
    """Quantise the model on the stage's recorded calls, and write it to `path`."""
    from export.onnx.quantize import quantize

    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        save(skeleton, weights, Path(folder) / path.name)
        whole = onnx.load(Path(folder) / path.name)
    save_whole(quantize(whole, stage.samples, stage.name), path)


def convert(stage: ExportStage) -> ir.Model:
    """The stage as a model, not yet simplified; its initializers are views of the stage's own tensors."""
    with _quiet():
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
    """Fold constants and drop what does nothing; raises `ExportError` if the result computes something else."""
    simplified, same = onnxsim.simplify(model)
    if not same:
        raise ExportError(f"{name}: expected onnxsim to keep what the model computes, got another result from it")
    found = sorted(FORBIDDEN & {node.op_type for node in simplified.graph.node})
    if found:
        raise ExportError(f"{name}: expected a graph without sinusoids, got {', '.join(found)}")
    del simplified.metadata_props[:]  # what onnxsim says about itself
    simplified.metadata_props.extend(model.metadata_props)
    return simplified


def check(path: Path) -> None:
    """Raise `ExportError` unless the model at `path`, with the file of its weights, is a valid one."""
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: expected a valid ONNX model, got one with {str(error).splitlines()[0]}") from error


def _set_metadata(model: onnx.ModelProto, stage: ExportStage) -> None:
    """Our names, and nothing of the exporter's notes on where each node came from: they name local files."""
    for item in (*model.graph.node, model.graph, *model.functions):
        del item.metadata_props[:]
    del model.metadata_props[:]
    names = dict(zip(program_outputs(stage), (spec.name for spec in stage.outputs), strict=True))
    model.metadata_props.add(key=OUTPUTS_KEY, value=json.dumps(names))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines, which it prints, and its notes on torchvision from the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
