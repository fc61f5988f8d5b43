"""Stages to Core ML: ML Programs for iOS 17, computing in half precision but for the update.

torch.export, then coremltools.  Everything up to the U-Net's last convolution is float16; the guidance and
the solver's update behind it stay in float32, because their errors would add up over the steps and their
coefficients would be rounded.  Each program is held to that before it is kept (structure.py).
Large weights are read once, while they are written (weights.py).  Compression is not here.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from export.coreml.naming import outputs_metadata, package_name
from export.coreml.norms import group_norm
from export.coreml.package import moved_weights, save_specification
from export.coreml.structure import check_operations, check_signature, check_update
from export.coreml.toolchain import import_coremltools, quiet_logs, without_bars, without_validation
from export.coreml.weights import check_constants, deferrable, deferred_weights
from export.stages import ExportStage, TensorSpec

UPDATED_STAGE = "denoise"
"""The stage whose operations behind the last convolution are computed in float32."""

DESCRIPTIONS = {
    "encode_text": "Token ids of a prompt (and their mask, where it is an input) to the text context of denoise.",
    "denoise": "One sampling step: latents to the latents of the next step; call it for step 0, 1, 2, ...",
    "decode_image": "Latents behind the last step to a picture with values from 0 to 1.",
    "encode_image": "A picture with values from 0 to 1 to latents.",
}
SKIPPED_PASSES = frozenset({"common::const_deduplication"})
"""It compares constants by value, which ours do not have yet; no two of them are equal."""


class HalfUnlessUpdate:
    """Says of each operation whether it is to compute in float16: all but those behind the last convolution.

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


def lower(stage: ExportStage, folder: Path) -> str:
    """Write `<stage>.mlpackage` into `folder`, in place of one that is there; returns that path, relative to it.

    Inputs and outputs are float32 or int32 and named as the stage names them, except that an output named
    like an input gets another name, recorded in the package (naming.py).

    Raises:
        ExportError: coremltools is not installed, or the program has not the structure that was asked for.
    """
    path = folder / f"{stage.name}.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    try:
        spec = convert(stage, path)
        describe(spec, stage)
        check(stage, spec)
        save_specification(spec, path)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path.name


def convert(stage: ExportStage, path: Path) -> Any:
    """Convert a stage to a package at `path`, neither described nor checked yet; returns its specification."""
    ct = import_coremltools()
    outputs = [
        ct.TensorType(name=package_name(stage, spec), dtype=torch_to_numpy(spec.dtype)) for spec in stage.outputs
    ]
    pipeline = ct.PassPipeline()
    pipeline.remove_passes(SKIPPED_PASSES)
    with quiet_logs():
        program = exported(stage)
    deferred, moved = deferred_weights(deferrable(program)), moved_weights(path.parent)
    with quiet_logs(), without_bars(), without_validation(), moved, deferred:
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=precision(stage.name, ct),
            outputs=outputs,
            pass_pipeline=pipeline,
            package_dir=str(path),
            skip_model_load=True,
        )
    check_constants(model._mil_program)
    return model.get_spec()


@torch.no_grad()
def exported(stage: ExportStage) -> torch.export.ExportedProgram:
    """The stage's graph as coremltools takes it.

    A slice that takes all of a constant becomes `alias`, which coremltools does not know: it is left out.
    """
    program = torch.export.export(stage.module, (), stage.example())
    program = program.run_decompositions({torch.ops.aten.group_norm.default: group_norm})
    graph = program.graph_module.graph
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    program.graph_module.recompile()
    return program


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
    names = {package_name(stage, output): output for output in stage.outputs}
    names |= {found.name: found for found in stage.inputs}
    for feature in (*description.input, *description.output):
        if feature.name in names:
            feature.shortDescription = shape_text(names[feature.name])


def shape_text(spec: TensorSpec) -> str:
    """Such as "float32 [1, 4, 64, 64]"."""
    return f"{spec.dtype} {list(spec.shape)}"


def check(stage: ExportStage, spec: Any) -> None:
    """Hold a package's specification to what the stage promises."""
    check_signature(spec, stage)
    check_operations(spec)
    if stage.name == UPDATED_STAGE:
        for output in stage.outputs:
            check_update(spec, package_name(stage, output))
