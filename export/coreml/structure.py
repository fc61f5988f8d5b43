"""What the specification of a Core ML package says of its structure: operations, precision, signature.

Read from the protobuf message alone, so it sees what a phone will see, without weights and without running
anything.
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

FORBIDDEN = frozenset({"sin", "cos"})
"""A sinusoid in a program would be the time embedding, computed in half precision."""


IMAGE = "image"
"""Instead of a dtype: red, green and blue from 0 to 255, which an app receives as a CVPixelBuffer."""


@dataclass(frozen=True)
class Node:
    """One operation of a program."""

    operation: str
    inputs: tuple[str, ...]
    """Names of the values it reads."""
    outputs: dict[str, str]
    """Names of the values it writes, with their dtypes as MIL spells them: "FLOAT16", "INT32", "BOOL"."""
    shapes: dict[str, tuple[int | None, ...]]
    """The same with their shapes; None for an axis whose size is not known."""


def nodes(spec: Any) -> Iterator[Node]:
    """The operations of the program's main function, in order, constants included."""
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
    """The shape of a MIL tensor type."""
    known = (axis.constant.size if axis.WhichOneof("dimension") == "constant" else None for axis in tensor.dimensions)
    return tuple(known)


def signature(spec: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a package, named as the package names them."""
    inputs, outputs = spec.description.input, spec.description.output
    return tuple(map(tensor_spec, inputs)), tuple(map(tensor_spec, outputs))


def tensor_spec(value: Any) -> TensorSpec:
    """A feature description as name, dtype and shape; a picture is of dtype `IMAGE` and shape (H, W, 3)."""
    if value.type.WhichOneof("Type") == "imageType":
        image = value.type.imageType
        return TensorSpec(value.name, IMAGE, (image.height, image.width, 3))
    array = value.type.multiArrayType
    dtypes = import_coremltools().proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    return TensorSpec(value.name, dtypes.Name(array.dataType).lower(), tuple(array.shape))


def check_signature(spec: Any, stage: ExportStage, image: bool = False) -> None:
    """ExportError unless names, dtypes and shapes are those of the stage; its picture may be wanted as an image."""
    outputs = (
        TensorSpec(name, IMAGE, (*spec.shape[2:], 3)) if image else TensorSpec(name, spec.dtype, spec.shape)
        for name, spec in ((package_name(stage, spec), spec) for spec in stage.outputs)
    )
    expected = (stage.inputs, tuple(outputs))
    if signature(spec) != expected:
        raise ExportError(f"{stage.name}: expected the Core ML signature {expected}, got {signature(spec)}")


def check_operations(spec: Any) -> None:
    """ExportError if the program computes a sinusoid."""
    found = sorted({node.operation for node in nodes(spec)} & FORBIDDEN)
    if found:
        raise ExportError(f"expected no time embedding inside the program, got operation {found[0]!r}")


def update_nodes(spec: Any, output: str) -> list[Node]:
    """Operations on a path from a convolution (not included) to `output`, constants left out."""
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
    """ExportError unless every floating-point value between the last convolution and `output` is float32."""
    update = update_nodes(spec, output)
    for node in update:
        if "FLOAT16" in node.outputs.values():
            names = ", ".join(node.outputs)
            raise ExportError(f"expected the update in float32, got {node.operation} {names!r} in float16")
    convolutions = {name for node in nodes(spec) if node.operation == "conv" for name in node.outputs}
    if not any(name in convolutions for node in update for name in node.inputs):
        raise ExportError(f"expected {output!r} to be computed from a convolution, found none before it")
