"""Lowers stages to Core ML: ML Programs that compute in float16, except for the sampler's update and chosen modules.

torch.export traces a stage and coremltools converts it.  Everything up to the U-Net's last convolution is float16.
Guidance and the solver's update after it stay in float32, because rounded coefficients and errors would add up over the
steps.  Each program is checked for this before it is kept (structure.py, layout.py).  Large weights are read only once,
while they are written (weights.py).  Compression (compress/) and chunks (chunks.py) are not here.

What `CoreMLOptions` changes:

| option | programs |
|---|---|
| CPU_AND_NE | the Neural Engine's layout, on every system: export/rewrites/neural_engine.py |
| otherwise | the GPU's layout: linear layers over (B, S, C), attention of all heads in one product |
| iOS16 | version 7; a gather takes its index unchanged; compression: one table per tensor or one scale per channel |
| iOS17 | version 8; the index of a gather is cast to int16 and guarded (`greater_equal`, `add`, `select`) |
| iOS18 | version 9; GPU layout: fused `scaled_dot_product_attention`; compression: tables and scales per block |
| mixed precision | the operations of the named modules compute in float32 (export/mixed/names.py) |
| pixel buffer | `decode_image` returns whole numbers from 0 to 255 as an RGB image (in an app a CVPixelBuffer) |
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.coreml.layout import check_layout
from export.coreml.naming import outputs_metadata, package_name
from export.coreml.norms import group_norm, layer_norm
from export.coreml.options import NEURAL_ENGINE, CoreMLOptions
from export.coreml.package import moved_weights, save_specification, write_package_manifest
from export.coreml.structure import check_operations, check_signature, check_update, tensor_spec
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools, without_bars, without_validation
from export.coreml.torch_sources import mark_sources, module_number, sources_metadata
from export.coreml.weights import check_constants, deferrable, deferred_weights
from export.mixed.names import covers, names_of
from export.quiet import errors_only
from export.rewrites import fused_attention, neural_engine
from export.rewrites.pixels import PICTURE, with_pixels
from export.signatures import TensorSpec
from export.stages import ExportStage

UPDATED_STAGE = "denoise"
"""The stage that computes the operations after its last convolution in float32."""

FUSED_FROM = "iOS18"
"""The first system that supports attention as one operation."""
DESCRIPTIONS = {
    "encode_text": "Token ids of a prompt (and their mask, where it is an input) to the text context of denoise.",
    "denoise": "One sampling step: latents to the latents of the next step; call it for step 0, 1, 2, ...",
    "decode_image": "Latents after the last step to a picture with values from 0 to 1.",
    "encode_image": "A picture with values from 0 to 1 to latents.",
    "encode_hint": "The hint pictures of ControlNets, with values from 0 to 1, to what denoise reads of them.",
}
SKIPPED_PASSES = frozenset({"common::const_deduplication"})
"""Passes that are not run: this one compares constants by value, but deferred weights have no values yet."""
CROSSING_PASSES = frozenset({"common::fuse_conv_scale", "common::fuse_conv_bias"})
"""Passes that are not run if modules are named: they make one operation of a convolution and of what another module
does to its result, and that operation then counts as the other module's."""


class HalfUnless:
    """Selects the operations that compute in float16: all except those of chosen modules and those of the update.

    The update is what comes after the last convolution of `denoise`.  It is found once, before the first operation is
    converted and the graph changes: the search walks from the program's outputs back to the first convolution on each
    path.
    """

    def __init__(self, stage: str, options: CoreMLOptions, modules: Sequence[str]) -> None:
        names = names_of(options.mixed_precision)
        self.updated = stage == UPDATED_STAGE
        self.wide = frozenset(number for number, module in enumerate(modules) if covers(names, stage, module))
        self.update: set[int] | None = None

    def __call__(self, operation: Any) -> bool:
        """Return True if the operation is to compute in float16; the `op_selector` of FP16ComputePrecision."""
        if self.update is None:
            found = after_last_convolution(operation.enclosing_block) if self.updated else []
            self.update = {id(each) for each in found}
        return id(operation) not in self.update and module_number(operation) not in self.wide


def after_last_convolution(block: Any) -> list[Any]:
    """Return the operations of a MIL block on the paths from the last convolutions (not included) to the outputs."""
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
    """Write `<stage>.mlpackage` into `folder`, replacing an existing one; returns its path relative to `folder`.

    Inputs and outputs are float32 or int32 and have the stage's names, with two exceptions: an output with the name of
    an input gets another name, which the package records (naming.py), and a picture may be an image
    (`CoreMLOptions.pixel_buffer`).  This function ignores the options for compression and chunks.

    Raises:
        ExportError: coremltools is not installed, or the program does not have the requested structure.
    """
    chosen = CoreMLOptions() if options is None else options
    path = folder / f"{stage.name}.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    try:
        spec = convert(stage, path, chosen)
        describe(spec, stage)
        check(stage, spec, chosen)
        save_specification(spec, path)
        write_package_manifest(path)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path.name


def convert(stage: ExportStage, path: Path, options: CoreMLOptions) -> Any:
    """Convert a stage to a package at `path`; returns its specification, without description and not yet checked."""
    ct = import_coremltools()
    pipeline = ct.PassPipeline()
    pipeline.remove_passes(SKIPPED_PASSES | (CROSSING_PASSES if names_of(options.mixed_precision) else frozenset()))
    with errors_only(NOISY_LOGGERS):
        program = exported(stage, options)
    modules = mark_sources(program)
    deferred, moved = deferred_weights(deferrable(program)), moved_weights(path.parent)
    with errors_only(NOISY_LOGGERS), without_bars(), without_validation(), moved, deferred:
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, options.deployment_target),
            compute_precision=precision(stage.name, options, modules, ct),
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
    """Return coremltools' type of an output: a tensor, or an image of the same shape."""
    name = package_name(stage, spec)
    if is_image(stage, options):
        return ct.ImageType(name=name, color_layout=ct.colorlayout.RGB)
    return ct.TensorType(name=name, dtype=torch_to_numpy(spec.dtype))


def is_image(stage: ExportStage, options: CoreMLOptions) -> bool:
    """Return whether the stage's output is an image instead of a tensor."""
    return options.pixel_buffer and stage.name == PICTURE


@torch.no_grad()
def exported(stage: ExportStage, options: CoreMLOptions | None = None) -> torch.export.ExportedProgram:
    """Return the stage's graph for coremltools, in the layout of the options.

    torch turns a slice of a whole constant into `alias`, which coremltools does not know; it is removed.
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
    """Return the stage's module, rewritten for the options."""
    module = with_pixels(stage.module) if is_image(stage, options) else stage.module
    if options.layout == NEURAL_ENGINE:
        return neural_engine.rewrite(module)
    return fused_attention.rewrite(module) if options.deployment_target == FUSED_FROM else module


def decompositions(layout: str) -> dict[Any, Callable[..., Any]]:
    """Return the decompositions of torch operations that are applied before coremltools converts the graph."""
    table: dict[Any, Callable[..., Any]] = {
        torch.ops.aten.group_norm.default: group_norm,
        torch.ops.aten.layer_norm.default: layer_norm,
    }
    if layout == NEURAL_ENGINE:
        table[torch.ops.aten.index_select.default] = neural_engine.look_up
    return table


def torch_to_numpy(dtype: str) -> Any:
    """Return the numpy type for a dtype name of `TensorSpec`."""
    return torch.zeros(0, dtype=getattr(torch, dtype)).numpy().dtype.type


def precision(stage: str, options: CoreMLOptions, modules: Sequence[str], ct: Any) -> Any:
    """Return coremltools' compute precision for a stage, whose program came from these modules (`mark_sources`)."""
    return ct.transform.FP16ComputePrecision(op_selector=HalfUnless(stage, options, modules))


def describe(spec: Any, stage: ExportStage) -> None:
    """Set the description that Xcode shows, and the metadata that runners read."""
    description = spec.description
    description.metadata.shortDescription = DESCRIPTIONS.get(stage.name, stage.name)
    description.metadata.userDefined.update(outputs_metadata(stage))
    for feature in (*description.input, *description.output):
        feature.shortDescription = shape_text(tensor_spec(feature))


def shape_text(spec: TensorSpec) -> str:
    """Return a text such as "float32 [1, 4, 64, 64]" or "image [1, 3, 512, 512]"."""
    return f"{spec.dtype} {list(spec.shape)}"


def check(stage: ExportStage, spec: Any, options: CoreMLOptions) -> None:
    """Check a package's specification against the stage and the options; raises `ExportError` if they disagree."""
    check_signature(spec, stage, image=is_image(stage, options))
    check_operations(spec)
    check_layout(spec, options.layout, stage.name)
    if stage.name == UPDATED_STAGE:
        for output in stage.outputs:
            check_update(spec, package_name(stage, output))
