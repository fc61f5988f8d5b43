"""Reads and checks the structure of a Core ML package: operations, precision, signature.

Only the specification is read, the protobuf message that a phone reads; no weights are needed and nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from export.coreml.naming import package_name
from export.coreml.toolchain import import_coremltools
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

FORBIDDEN = frozenset({"sin", "cos"})
"""A sinusoid in a program would mean that it computes the time embedding, in float16."""


IMAGE = "image"
"""Dtype name of a picture: red, green and blue from 0 to 255, which an app receives as a CVPixelBuffer."""


@dataclass(frozen=True)
class Node:
    """One operation of a program."""

    operation: str
    inputs: tuple[str, ...]
    """Names of the values that the operation reads."""
    outputs: dict[str, str]
    """Names of its results, with their dtypes in MIL's spelling: "FLOAT16", "INT32", "BOOL"."""
    shapes: dict[str, tuple[int | None, ...]]
    """Names of its results, with their shapes; None for an axis of unknown size."""


def nodes(spec: Any) -> Iterator[Node]:
    """Yield the operations of the program's main function, in order, constants included."""
    data_types = import_coremltools().proto.MIL_pb2.DataType
    function = spec.mlProgram.functions["main"]
    for operation in function.block_specializations[function.opset].operations:
        arguments = (argument for bound in operation.inputs.values() for argument in bound.arguments)
        yield Node(
            operation.type,
            tuple(argument.name for argument in arguments if argument.name),
            {out.name: data_types.Name(out.type.tensorType.dataType) for out in operation.outputs},
            {out.name: shape_of(out.type.tensorType) for out in operation.outputs},
        )


def shape_of(tensor: Any) -> tuple[int | None, ...]:
    """Return the shape of a MIL tensor type; None for an axis of unknown size."""
    known = (axis.constant.size if axis.WhichOneof("dimension") == "constant" else None for axis in tensor.dimensions)
    return tuple(known)


def signature(spec: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and outputs of a package, with the package's names."""
    inputs, outputs = spec.description.input, spec.description.output
    return tuple(map(tensor_spec, inputs)), tuple(map(tensor_spec, outputs))


def tensor_spec(value: Any) -> TensorSpec:
    """Return name, dtype and shape of a feature description; a picture has dtype `IMAGE` and shape (H, W, 3)."""
    if value.type.WhichOneof("Type") == "imageType":
        image = value.type.imageType
        return TensorSpec(value.name, IMAGE, (image.height, image.width, 3))
    array = value.type.multiArrayType
    dtypes = import_coremltools().proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    return TensorSpec(value.name, dtypes.Name(array.dataType).lower(), tuple(array.shape))


def check_signature(spec: Any, stage: ExportStage, image: bool = False) -> None:
    """Raise `ExportError` unless names, dtypes and shapes are those of the stage; with `image`, the output is one."""
    outputs = (
        TensorSpec(name, IMAGE, (*spec.shape[2:], 3)) if image else TensorSpec(name, spec.dtype, spec.shape)
        for name, spec in ((package_name(stage, spec), spec) for spec in stage.outputs)
    )
    expected = (stage.inputs, tuple(outputs))
    if signature(spec) != expected:
        raise ExportError(f"{stage.name}: expected the Core ML signature {expected}, got {signature(spec)}")


def check_operations(spec: Any) -> None:
    """Raise `ExportError` if the program computes a sinusoid."""
    found = sorted({node.operation for node in nodes(spec)} & FORBIDDEN)
    if found:
        raise ExportError(f"expected no time embedding inside the program, got operation {quoted(found[0])}")


def update_nodes(spec: Any, output: str) -> list[Node]:
    """Return the operations between the last convolutions (not included) and `output`, without constants."""
    writer = {name: node for node in nodes(spec) for name in node.outputs}
    found: list[Node] = []
    pending = [output]
    while pending:
        node = writer.get(pending.pop(0))
        if node is None or node.operation in ("conv", "const") or node in found:
            continue
        found.append(node)
        pending += node.inputs
    return found


def check_update(spec: Any, output: str) -> None:
    """Raise `ExportError` unless every floating-point value between the last convolution and `output` is float32."""
    update = update_nodes(spec, output)
    for node in update:
        if "FLOAT16" in node.outputs.values():
            names = ", ".join(node.outputs)
            raise ExportError(f"expected the update in float32, got {node.operation} {quoted(names)} in float16")
    convolutions = {name for node in nodes(spec) if node.operation == "conv" for name in node.outputs}
    if not any(name in convolutions for node in update for name in node.inputs):
        raise ExportError(f"expected {quoted(output)} to be computed from a convolution, got none before it")
