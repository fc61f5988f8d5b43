"""Stages to Core ML: ML Programs that compute in half precision but for the update.

torch.export, then coremltools.  Everything up to the U-Net's last convolution is float16; the guidance and
the solver's update after it stay in float32, because their errors would add up over the steps and their
coefficients would be rounded.  Each program is checked for that before it is kept (structure.py, layout.py).
Large weights are read once, while they are written (weights.py).  Compression and chunks are not here.

What `CoreMLOptions` changes:

| option | programs |
|---|---|
| CPU_AND_NE | the Neural Engine's layout, whatever the system: export/rewrites/neural_engine.py |
| otherwise | the GPU's: linear layers over (B, S, C), attention of all heads in one product |
| iOS16 | version 7; a gather takes its index as it is; one table a tensor, or one scale a channel, where compressed |
| iOS17 | version 8; the index of a gather is cast to int16 and guarded (`greater_equal`, `add`, `select`) |
| iOS18 | version 9; in the GPU's layout attention is one operation, `scaled_dot_product_attention`; tables by blocks |
| pixel buffer | `decode_image` returns whole numbers from 0 to 255 as an RGB image, for the app a CVPixelBuffer |
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.coreml.layout import check_layout
from export.coreml.naming import outputs_metadata, package_name
from export.coreml.norms import group_norm, layer_norm
from export.coreml.options import NEURAL_ENGINE, CoreMLOptions
from export.coreml.package import moved_weights, save_specification
from export.coreml.structure import check_operations, check_signature, check_update, tensor_spec
from export.coreml.toolchain import import_coremltools, quiet_logs, without_bars, without_validation
from export.coreml.torch_sources import mark_sources, sources_metadata
from export.coreml.weights import check_constants, deferrable, deferred_weights
from export.rewrites import fused_attention, neural_engine
from export.rewrites.pixels import PICTURE, with_pixels
from export.signatures import TensorSpec
from export.stages import ExportStage

UPDATED_STAGE = "denoise"
"""The stage whose operations after the last convolution are computed in float32."""

FUSED_FROM = "iOS18"
"""The first system with attention as one operation."""
DESCRIPTIONS = {
    "encode_text": "Token ids of a prompt (and their mask, where it is an input) to the text context of denoise.",
    "denoise": "One sampling step: latents to the latents of the next step; call it for step 0, 1, 2, ...",
    "decode_image": "Latents after the last step to a picture with values from 0 to 1.",
    "encode_image": "A picture with values from 0 to 1 to latents.",
}
SKIPPED_PASSES = frozenset({"common::const_deduplication"})
"""It compares constants by value, which ours do not have yet; no two of them are equal."""


class HalfUnlessUpdate:
    """Says of each operation whether it is to compute in float16: all but those after the last convolution.

    They are found by walking from the program's outputs back to the first convolution of each path, once,
    before the first operation is converted: later the graph is in the middle of being rewritten.
    """

    def __init__(self) -> None:
        self.update: set[int] | None = None

    def __call__(self, operation: Any) -> bool:
        """True for float16 (the question that coremltools' FP16ComputePrecision asks)."""
        if self.update is None:
            self.update = {id(found) for found in behind_last_convolution(operation.enclosing_block)}
        return id(operation) not in self.update


def behind_last_convolution(block: Any) -> list[Any]:
    """Operations of a MIL block on a path from a convolution (not included) to an output."""
    found: dict[int, Any] = {}
    pending = [variable.op for variable in block.outputs]
    while pending:
        operation = pending.pop()
        if operation is None or operation.op_type == "conv" or id(operation) in found:
            continue
        found[id(operation)] = operation
        for value in operation.inputs.values():
            pending += [variable.op for variable in (value if isinstance(value, (list, tuple)) else [value])]
    return list(found.values())


def lower(stage: ExportStage, folder: Path, options: CoreMLOptions | None = None) -> str:
    """Write `<stage>.mlpackage` into `folder`, in place of one that is there; returns that path, relative to it.

    Inputs and outputs are float32 or int32 and named as the stage names them, except that an output named
    like an input gets another name, recorded in the package (naming.py), and that a picture may be an image
    (`CoreMLOptions.pixel_buffer`).  Of the options, compression and chunks are not for here.

    Raises:
        ExportError: coremltools is not installed, or the program has not the structure that was asked for.
    """
    chosen = CoreMLOptions() if options is None else options
    path = folder / f"{stage.name}.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    try:
        spec = convert(stage, path, chosen)
        describe(spec, stage)
        check(stage, spec, chosen)
        save_specification(spec, path)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path.name


def convert(stage: ExportStage, path: Path, options: CoreMLOptions) -> Any:
    """Convert a stage to a package at `path`, neither described nor checked yet; returns its specification."""
    ct = import_coremltools()
    pipeline = ct.PassPipeline()
    pipeline.remove_passes(SKIPPED_PASSES)
    with quiet_logs():
        program = exported(stage, options)
    modules = mark_sources(program)
    deferred, moved = deferred_weights(deferrable(program)), moved_weights(path.parent)
    with quiet_logs(), without_bars(), without_validation(), moved, deferred:
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, options.deployment_target),
            compute_precision=precision(stage.name, ct),
            outputs=[output_type(stage, spec, options, ct) for spec in stage.outputs],
            pass_pipeline=pipeline,
            package_dir=str(path),
            skip_model_load=True,
        )
    check_constants(model._mil_program)
    spec = model.get_spec()
    spec.description.metadata.userDefined.update(sources_metadata(model._mil_program, modules))
    return spec


def output_type(stage: ExportStage, spec: TensorSpec, options: CoreMLOptions, ct: Any) -> Any:
    """How coremltools describes an output: a tensor, or an image of the same shape."""
    name = package_name(stage, spec)
    if is_image(stage, options):
        return ct.ImageType(name=name, color_layout=ct.colorlayout.RGB)
    return ct.TensorType(name=name, dtype=torch_to_numpy(spec.dtype))


def is_image(stage: ExportStage, options: CoreMLOptions) -> bool:
    """Whether the stage's output is an image of the app, not a tensor."""
    return options.pixel_buffer and stage.name == PICTURE


@torch.no_grad()
def exported(stage: ExportStage, options: CoreMLOptions | None = None) -> torch.export.ExportedProgram:
    """The stage's graph as coremltools takes it, in the layout of the options.

    A slice that takes all of a constant becomes `alias`, which coremltools does not know: it is left out.
    """
    chosen = CoreMLOptions() if options is None else options
    program = torch.export.export(laid_out(stage, chosen), (), stage.example())
    program = program.run_decompositions(decompositions(chosen.layout))
    graph = program.graph_module.graph
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    program.graph_module.recompile()
    return program


def laid_out(stage: ExportStage, options: CoreMLOptions) -> nn.Module:
    """The stage's module, rewritten as the options want it."""
    module = with_pixels(stage.module) if is_image(stage, options) else stage.module
    if options.layout == NEURAL_ENGINE:
        return neural_engine.rewrite(module)
    return fused_attention.rewrite(module) if options.deployment_target == FUSED_FROM else module


def decompositions(layout: str) -> dict[Any, Callable[..., Any]]:
    """torch's operations that are written in others before coremltools sees them."""
    table: dict[Any, Callable[..., Any]] = {
        torch.ops.aten.group_norm.default: group_norm,
        torch.ops.aten.layer_norm.default: layer_norm,
    }
    if layout == NEURAL_ENGINE:
        table[torch.ops.aten.index_select.default] = neural_engine.look_up
    return table


def torch_to_numpy(dtype: str) -> Any:
    """The numpy type that coremltools wants for a dtype name of `TensorSpec`."""
    return torch.zeros(0, dtype=getattr(torch, dtype)).numpy().dtype.type


def precision(stage: str, ct: Any) -> Any:
    """coremltools' compute precision for a stage."""
    if stage == UPDATED_STAGE:
        return ct.transform.FP16ComputePrecision(op_selector=HalfUnlessUpdate())
    return ct.precision.FLOAT16


def describe(spec: Any, stage: ExportStage) -> None:
    """Set the description that Xcode shows, and the metadata that runners read."""
    description = spec.description
    description.metadata.shortDescription = DESCRIPTIONS.get(stage.name, stage.name)
    description.metadata.userDefined.update(outputs_metadata(stage))
    for feature in (*description.input, *description.output):
        feature.shortDescription = shape_text(tensor_spec(feature))


def shape_text(spec: TensorSpec) -> str:
    """Such as "float32 [1, 4, 64, 64]" or "image [1, 3, 512, 512]"."""
    return f"{spec.dtype} {list(spec.shape)}"


def check(stage: ExportStage, spec: Any, options: CoreMLOptions) -> None:
    """Check a package's specification against what the stage and the options promise."""
    check_signature(spec, stage, image=is_image(stage, options))
    check_operations(spec)
    check_layout(spec, options.layout, stage.name)
    if stage.name == UPDATED_STAGE:
        for output in stage.outputs:
            check_update(spec, package_name(stage, output))
