"""A saved Core ML package, opened: its specification, and the values that its program holds.

The specification is read as the protobuf message that a phone reads, and values from the weights file beside it;
coremltools' own reader, which rebuilds and infers a whole program, takes no part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.coreml.blobs import BLOB_TYPES, PACKED_BITS, SIGNED, Record, read_record, unpack
from export.coreml.package import SPECIFICATION, WEIGHTS
from export.coreml.toolchain import import_coremltools
from mobile_diffusion.errors import ExportError

MODEL_PATH = "@model_path/"
"""What the names of files inside a package begin with."""
DTYPES = {
    1: "bool",
    2: "string",
    10: "fp16",
    11: "fp32",
    12: "fp64",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    25: "int4",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
    35: "uint4",
    36: "uint2",
    37: "uint1",
    38: "uint6",
    39: "uint3",
}
"""Numbers of MIL's data types to their names."""
IN_BYTES = {"fp16": np.float16, "int8": np.int8, "uint8": np.uint8}
"""Types that a specification holds as bytes, besides those of fewer than eight bits."""
IN_LISTS = {
    "bool": np.bool_,
    "fp32": np.float32,
    "fp64": np.float64,
    "int16": np.int16,
    "uint16": np.uint16,
    "int32": np.int32,
    "uint32": np.uint32,
    "int64": np.int64,
    "uint64": np.uint64,
}
"""Types that a specification holds as a list of numbers."""


@dataclass(frozen=True)
class Package:
    """A package on disk."""

    path: Path
    spec: Any
    """The message `Model` of Core ML's protobuf format."""

    @classmethod
    def open(cls, path: Path) -> Package:
        """Read a `.mlpackage`'s specification; weights are read when they are asked for.

        Raises:
            ExportError: there is no such package, or its specification is not one.
        """
        file = path / SPECIFICATION
        try:
            spec = import_coremltools().proto.Model_pb2.Model.FromString(file.read_bytes())
        except OSError as error:
            raise ExportError(f"{path}: expected a Core ML package, got no {SPECIFICATION}: {error.strerror}") from None
        except Exception as error:  # protobuf's own class of it depends on its implementation
            raise ExportError(f"{path}: expected a Core ML specification, got {error}; export it again") from None
        return cls(path, spec)

    def value(self, value: Any) -> Any:
        """A message `Value`: an array of its shape (numpy has no smaller type than 8 bits), a string, or a list."""
        kind = value.WhichOneof("value")
        if kind == "blobFileValue":
            return self.record(value).numbers().reshape(shape_of(value.type.tensorType))
        if kind == "immediateValue":
            return immediate(value)
        raise ExportError(f"{self.path}: expected values inside the specification or in a file, got {kind}")

    def record(self, value: Any) -> Record:
        """The record of a value that is kept in a file.

        Raises:
            ExportError: the record is not of the value's type or size.
        """
        tensor, place = value.type.tensorType, value.blobFileValue
        record = read_record(self.weights_file(place.fileName), place.offset)
        dtype, count = dtype_of(tensor), math.prod(shape_of(tensor))
        if (record.kind, record.count) != (BLOB_TYPES.get(dtype), count):
            where = f"{record.file.name} at byte {place.offset}"
            got = f"{record.count} numbers of type {record.kind}"
            raise ExportError(f"{where}: expected {count} numbers of {dtype}, got {got}; export it again")
        return record

    def weights_file(self, name: str) -> Path:
        """Where a file that the program names lies; raises `ExportError` for one outside the package."""
        if not name.startswith(MODEL_PATH) or ".." in Path(name).parts:
            raise ExportError(f"{self.path}: expected files inside the package, got {name!r}")
        return self.path / WEIGHTS.parent / name.removeprefix(MODEL_PATH)


def dtype_of(tensor: Any) -> str:
    """MIL's name of a tensor type's data type."""
    if tensor.dataType not in DTYPES:
        raise ExportError(f"expected a data type of {', '.join(DTYPES.values())}, got number {tensor.dataType}")
    return DTYPES[tensor.dataType]


def shape_of(tensor: Any) -> tuple[int, ...]:
    """The static shape of a tensor type; raises `ExportError` for one that is not static."""
    sizes = []
    for dimension in tensor.dimensions:
        if dimension.WhichOneof("dimension") != "constant":
            raise ExportError("expected static shapes, got a dimension of any size; export for fixed shapes")
        sizes.append(int(dimension.constant.size))
    return tuple(sizes)


def immediate(value: Any) -> Any:
    """A value inside the specification."""
    content = value.immediateValue
    match content.WhichOneof("value"):
        case "tensor":
            return tensor_value(content.tensor, value.type.tensorType)
        case "list":
            return [immediate(item) for item in content.list.values]
        case "tuple":
            return [immediate(item) for item in content.tuple.values]
        case "dictionary":
            return {immediate(pair.key): immediate(pair.value) for pair in content.dictionary.values}
    raise ExportError("expected a value, got none")


def tensor_value(content: Any, tensor: Any) -> str | NDArray[np.generic]:
    """A tensor inside the specification: a string, or an array of the type's shape."""
    dtype, shape = dtype_of(tensor), shape_of(tensor)
    field = content.WhichOneof("value")
    if dtype == "string":
        return str(content.strings.values[0])
    if field == "bytes":
        return from_bytes(content.bytes.values, dtype, math.prod(shape)).reshape(shape)
    numbers: NDArray[np.generic] = np.array([] if field is None else getattr(content, field).values, IN_LISTS[dtype])
    if numbers.size != math.prod(shape):
        raise ExportError(f"expected {math.prod(shape)} numbers of {dtype}, got {numbers.size}; export it again")
    return numbers.reshape(shape)


def from_bytes(data: bytes, dtype: str, count: int) -> NDArray[np.generic]:
    """Numbers (count,) that a specification holds as bytes."""
    kind = BLOB_TYPES.get(dtype)
    expected = -(-count * PACKED_BITS[kind] // 8) if kind in PACKED_BITS else count * np.dtype(IN_BYTES[dtype]).itemsize
    if len(data) != expected:
        raise ExportError(f"expected {expected} bytes for {count} numbers of {dtype}, got {len(data)}; export it again")
    stream = np.frombuffer(bytearray(data), np.uint8)
    if kind in PACKED_BITS:
        return unpack(stream, PACKED_BITS[kind], count, kind in SIGNED)
    return stream.view(IN_BYTES[dtype])
