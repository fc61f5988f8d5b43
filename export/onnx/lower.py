"""The stages as three ONNX models in float32, simplified by onnxsim.

A stage's output that has the name of one of its inputs (`latents`) is called `latents_out` in the model, because ONNX
names every value once; the model's metadata maps it back, and a runner gives it under the stage's name.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxsim
import torch

from export.onnx import OUTPUTS_KEY
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

OPSET = 18
"""What torch's exporter writes by itself (another one would be a conversion), with LayerNormalization as one node,
and old enough for every ONNX Runtime since 1.14."""
FORBIDDEN = frozenset({"Sin", "Cos"})
"""The schedule is a table: a sinusoid in a graph means that a time embedding is computed on the phone."""
SINGLE_FILE_LIMIT = 2**31 - 2**20
"""Bytes of a protobuf file, less room for the graph; a larger model gets its weights in a file beside it."""


def lower(stages: Mapping[str, ExportStage], folder: Path) -> dict[str, str]:
    """Write `<stage>.onnx` of every stage into `folder`; gives the relative paths."""
    for name, stage in stages.items():
        _save(simplify(convert(stage), name), folder / f"{name}.onnx")
    return {name: f"{name}.onnx" for name in stages}


def output_name(stage: ExportStage) -> str:
    """What the stage's output is called in its model."""
    name = stage.output.name
    return f"{name}_out" if name in {spec.name for spec in stage.inputs} else name


def convert(stage: ExportStage) -> onnx.ModelProto:
    """The stage as a model, not yet simplified."""
    with _quiet():
        program = torch.onnx.export(
            stage.module,
            stage.example(),
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in stage.inputs],
            output_names=[output_name(stage)],
            verbose=False,
        )
    if program is None:
        raise ExportError(f"{stage.name}: expected an ONNX program, got none from torch.onnx.export")
    model = program.model_proto
    _set_metadata(model, stage)
    return model


def simplify(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Fold constants and drop what does nothing; raises `ExportError` if the result computes something else."""
    simplified, same = onnxsim.simplify(model)
    if not same:
        raise ExportError(f"{name}: expected onnxsim to keep what the model computes, got another result from it")
    found = sorted(FORBIDDEN & {node.op_type for node in simplified.graph.node})
    if found:
        raise ExportError(f"{name}: expected a graph without sinusoids, got {', '.join(found)}")
    if not simplified.metadata_props:
        simplified.metadata_props.extend(model.metadata_props)
    return simplified


def _set_metadata(model: onnx.ModelProto, stage: ExportStage) -> None:
    """Our names, and nothing of the exporter's notes on where each node came from: they name local files."""
    for item in (*model.graph.node, model.graph, *model.functions):
        del item.metadata_props[:]
    del model.metadata_props[:]
    model.metadata_props.add(key=OUTPUTS_KEY, value=json.dumps({output_name(stage): stage.output.name}))


def _save(model: onnx.ModelProto, path: Path) -> None:
    """One file, or a second one with the weights where the first would be too large."""
    external: dict[str, Any] = {"save_as_external_data": True, "location": f"{path.name}.data"}
    onnx.save_model(model, path, **(external if model.ByteSize() > SINGLE_FILE_LIMIT else {}))


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
