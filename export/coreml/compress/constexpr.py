"""Writes compressed weights as MIL's `constexpr` operations, in the same form as coremltools.

iOS 16 and 17 store everything in attributes: packed indices with a table and a shape, or int8 numbers with one scale
per channel.  iOS 18 uses operands, with types of 1 to 8 bits, and with tables and scales of the weight's rank.  Ten
numbers or more are stored in the weights file, fewer in the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.compression.linear import Linear
from export.compression.palettes import Palette
from export.compression.recipes import LARGE_OPSET
from export.coreml.blobs import BLOB_TYPES, pack
from export.coreml.compress.layers import WeightLayer
from export.coreml.package_archive import DTYPES
from export.coreml.toolchain import import_coremltools

LEAST_IN_FILE = 10
NUMBERS = {name: number for number, name in DTYPES.items()}
LUT, AFFINE, BLOCKWISE = "constexpr_lut_to_dense", "constexpr_affine_dequantize", "constexpr_blockwise_shift_scale"
SUFFIXES = {LUT: "_palettized", AFFINE: "_quantized", BLOCKWISE: "_quantized"}
"""Suffix that a decoded weight's name has in addition to the constant's name."""


@dataclass(frozen=True, eq=False)
class Field:
    """One operand of a `constexpr` operation."""

    name: str
    dtype: str
    """MIL's name of the type."""
    numbers: NDArray[Any]

    @property
    def in_file(self) -> bool:
        """Whether the operand is stored in the weights file (coremltools' rule)."""
        return self.numbers.size >= LEAST_IN_FILE and self.dtype in BLOB_TYPES and not self.dtype.endswith("32")


@dataclass(frozen=True, eq=False)
class Constexpr:
    """The operation that decodes a compressed weight."""

    operation: str
    fields: tuple[Field, ...]
    """The operands, in the order in which their numbers are written."""
    operands: bool
    """True if the operands are inputs (iOS 18), False if they are attributes."""


def constexpr(stored: Palette | Linear, layer: WeightLayer, bits: int, opset: int) -> Constexpr:
    """Return the operation of an operation set that decodes a weight."""
    if isinstance(stored, Palette):
        return (lut_of_groups if opset >= LARGE_OPSET else packed_lut)(stored, layer, bits)
    return (blockwise if opset >= LARGE_OPSET else affine)(stored, layer, bits)


def packed_lut(stored: Palette, layer: WeightLayer, bits: int) -> Constexpr:
    """Return iOS 16's palette operation: indices packed into bytes."""
    codes = stored.codes.reshape(-1) if bits == 8 else pack(stored.codes, bits)
    shape = np.array(layer.shape, np.uint32)
    fields = (Field("indices", "uint8", codes), Field("lut", "fp16", stored.table.reshape(-1)))
    return Constexpr(LUT, (*fields, Field("shape", "uint32", shape)), False)


def lut_of_groups(stored: Palette, layer: WeightLayer, bits: int) -> Constexpr:
    """Return iOS 18's palette operation: indices of a small type, tables per group, vectors along the output axis."""
    fields = [Field("indices", f"uint{bits}", stored.codes), Field("lut", "fp16", stored.table)]
    if stored.table.shape[-1] > 1:
        fields.append(Field("vector_axis", "int32", np.array(layer.output_axis, np.int32)))
    return Constexpr(LUT, tuple(fields), True)


def affine(stored: Linear, layer: WeightLayer, bits: int) -> Constexpr:
    """Return iOS 16's linear operation: int8 numbers with one scale per channel."""
    scale = stored.scale.reshape(-1)
    fields = (
        Field("quantized_data", "int8", stored.codes),
        Field("zero_point", "int8", np.zeros(scale.shape, np.int8)),
        Field("scale", "fp16", scale),
        Field("axis", "int32", np.array(layer.output_axis, np.int32)),
    )
    return Constexpr(AFFINE, fields, False)


def blockwise(stored: Linear, layer: WeightLayer, bits: int) -> Constexpr:
    """Return iOS 18's linear operation: int8 or int4 numbers with one scale per block."""
    return Constexpr(BLOCKWISE, (Field("data", f"int{bits}", stored.codes), Field("scale", "fp16", stored.scale)), True)


@dataclass(frozen=True, eq=False)
class Replacement:
    """What replaces a constant in a program, after its numbers were written to the file."""

    operation: str
    operands: bool
    values: Mapping[str, Any]
    """Messages `Value`, by the names of the operands."""


def replacement(made: Constexpr, file: str, append: Callable[[str, NDArray[Any]], int]) -> Replacement:
    """Write a weight's numbers with `append`, which returns their offset in the file; returns the replacement."""
    values = {}
    for field in made.fields:
        if field.in_file:
            values[field.name] = file_value(field, file, append(field.dtype, field.numbers))
        else:
            values[field.name] = immediate_value(field)
    return Replacement(made.operation, made.operands, values)


def replace_constant(operation: Any, by: Replacement) -> str:
    """Turn a `const` operation of a program into a `constexpr` one; returns the new name of its value."""
    (output,) = operation.outputs
    name = output.name + SUFFIXES[by.operation]
    fresh = type(operation)(type=by.operation, outputs=[type(output)(name=name, type=output.type)])
    fresh.attributes["name"].CopyFrom(text_value(name))
    for key, value in by.values.items():
        if by.operands:
            fresh.inputs[key].arguments.add().value.CopyFrom(value)
        else:
            fresh.attributes[key].CopyFrom(value)
    operation.CopyFrom(fresh)
    return name


def file_value(field: Field, file: str, offset: int) -> Any:
    """Return a message `Value` that refers to the weights file."""
    value = typed_value(field)
    value.blobFileValue.fileName, value.blobFileValue.offset = file, offset
    return value


def immediate_value(field: Field) -> Any:
    """Return a message `Value` that is stored in the specification."""
    value = typed_value(field)
    tensor = value.immediateValue.tensor
    if field.dtype == "int32":
        tensor.ints.values.extend(int(number) for number in field.numbers.reshape(-1))
    else:
        tensor.bytes.values = np.ascontiguousarray(field.numbers).tobytes()
    return value


def text_value(text: str) -> Any:
    """Return a string as a message `Value`."""
    value = import_coremltools().proto.MIL_pb2.Value()
    value.type.tensorType.dataType = NUMBERS["string"]
    value.immediateValue.tensor.strings.values.append(text)
    return value


def typed_value(field: Field) -> Any:
    """Return a message `Value` with its type but without content."""
    value = import_coremltools().proto.MIL_pb2.Value()
    tensor = value.type.tensorType
    tensor.dataType, tensor.rank = NUMBERS[field.dtype], field.numbers.ndim
    for size in field.numbers.shape:
        tensor.dimensions.add().constant.size = size
    return value
