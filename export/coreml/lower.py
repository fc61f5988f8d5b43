"""Stages to Core ML: three ML Programs for iOS 17, computing in half precision but for the update.

torch.export, then coremltools.  Everything up to the U-Net's last convolution is float16; the guidance and
the update x' = A_i x + B_i m behind it stay in float32, because their errors would add up over the steps and
their coefficients would be rounded.  Each program is held to that before it is written (structure.py).
Compression is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from export.coreml.naming import outputs_metadata, package_output
from export.coreml.structure import check_operations, check_signature, check_update
from export.coreml.toolchain import import_coremltools, quiet_logs, without_bars
from export.stages import ExportStage

UPDATED_STAGE = "denoise"
"""The stage whose operations behind the last convolution are computed in float32."""

DESCRIPTIONS = {
    "encode_text": "Token ids and mask of a prompt to the text context of denoise.",
    "denoise": "One sampling step: latents to the latents of the next step; call it for step 0, 1, 2, ...",
    "decode_image": "Latents behind the last step to a picture with values from 0 to 1.",
}


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


def lower(stages: Mapping[str, ExportStage], folder: Path) -> dict[str, str]:
    """Write `<stage>.mlpackage` for every stage into `folder`; returns stage -> path relative to it.

    Inputs and outputs are float32 or int32 and named as the stage names them, except that an output named
    like an input gets another name, recorded in the package (naming.py).

    Raises:
        ExportError: coremltools is not installed, or a program has not the structure that was asked for.
    """
    artifacts = {name: f"{name}.mlpackage" for name in stages}
    for name, stage in stages.items():
        convert(stage).save(str(folder / artifacts[name]))
    return artifacts


def convert(stage: ExportStage) -> Any:
    """One stage as a coremltools `MLModel`, described and checked but not saved."""
    ct = import_coremltools()
    with quiet_logs(), without_bars(), torch.no_grad():
        model = ct.convert(
            exported(stage),
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=precision(stage.name, ct),
            outputs=[ct.TensorType(name=package_output(stage), dtype=torch_to_numpy(stage.output.dtype))],
            skip_model_load=True,
        )
    describe(model, stage)
    check(stage, model.get_spec())
    return model


def exported(stage: ExportStage) -> torch.export.ExportedProgram:
    """The stage's graph as coremltools takes it.

    A slice that takes all of a constant becomes `alias`, which coremltools does not know: it is left out.
    """
    program = torch.export.export(stage.module, stage.example()).run_decompositions({})
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


def describe(model: Any, stage: ExportStage) -> None:
    """Set the description that Xcode shows, and the metadata that runners read."""
    model.short_description = DESCRIPTIONS.get(stage.name, stage.name)
    model.user_defined_metadata.update(outputs_metadata(stage))
    for spec in stage.inputs:
        model.input_description[spec.name] = f"{spec.dtype} {list(spec.shape)}"
    model.output_description[package_output(stage)] = f"{stage.output.dtype} {list(stage.output.shape)}"


def check(stage: ExportStage, spec: Any) -> None:
    """Hold a package's specification to what the stage promises."""
    check_signature(spec, stage)
    check_operations(spec)
    if stage.name == UPDATED_STAGE:
        check_update(spec, package_output(stage))
