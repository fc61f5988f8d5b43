"""A saved Core ML package, opened: its specification, and the values that its program holds.

The specification is read as the protobuf message that a phone reads, and values from the weights file beside it;
coremltools' own reader, which rebuilds and infers a whole program, takes no part.  Models of other kinds than
ML Programs, and pipelines of them, are refused by name.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.coreml.blobs import BLOB_TYPES, PACKED_BITS, SIGNED, Record, read_record, unpack
from export.coreml.package import CONTENT
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
IN_BYTES = {"fp16": np.float16, "int8": np.int8, "uint8": np.uint8, "uint32": np.uint32}
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


MANIFEST = "Manifest.json"
"""What a package has at its top: which of its files is the model."""
ENCRYPTED = ("*.mlmodelkey", "encryptionInfo*")
"""Files of a model that only Apple's systems can read."""
CONVERT = "convert the source again with convert_to='mlprogram'"


@dataclass(frozen=True)
class CoreMLPackage:
    """A package on disk."""

    path: Path
    spec: Any
    """The message `Model` of Core ML's protobuf format."""
    content: Path = CONTENT
    """The folder of the model, relative to the package."""

    @classmethod
    def open(cls, path: Path) -> CoreMLPackage:
        """Read a `.mlpackage`'s specification; weights are read when they are asked for.

        Raises:
            ExportError: there is no such package, or it is damaged, or holds another kind of model than ML Programs.
        """
        check_folder(path)
        file = model_file(path)
        package = cls(path, read_specification(path, file), file.parent)
        for model in package.spec.pipeline.models if package.kind == "pipeline" else [package.spec]:
            check_kind(path, model.WhichOneof("Type"))
        return package

    @property
    def kind(self) -> str:
        """Core ML's name of the kind of model, such as "mlProgram"."""
        return str(self.spec.WhichOneof("Type"))

    def value(self, value: Any) -> Any:
        """A message `Value`: an array of its shape (numpy has no smaller type than 8 bits), a string, or a list."""
        kind = value.WhichOneof("value")
        if kind == "blobFileValue":
            return self.record(value).numbers().reshape(shape_of(value.type.tensorType))
        if kind == "immediateValue":
            return immediate(value)
        got = kind or "none"
        raise ExportError(f"{self.path}: expected values in the specification or a file, got {got}; export it again")

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
            raise ExportError(f"{self.path}: expected files inside the package, got {name!r}; export it again")
        return self.path / self.content / name.removeprefix(MODEL_PATH)


def check_folder(path: Path) -> None:
    """Refuse what is no package to look at."""
    if path.is_file():
        raise ExportError(f"{path}: expected a folder .mlpackage, got a file, as older models are; {CONVERT}")
    if not path.is_dir():
        raise ExportError(f"{path}: expected a Core ML package, got no folder of this name; check the path")
    if any(next(path.rglob(pattern), None) for pattern in ENCRYPTED):
        raise ExportError(f"{path}: expected a model that can be read, got an encrypted one; use it as it was before")
    if path.suffix == ".mlmodelc" or (path / "coremldata.bin").exists() or next(path.glob("*.mil"), None):
        raise ExportError(f"{path}: expected a .mlpackage, got a compiled model; use the package it was compiled from")


def model_file(path: Path) -> Path:
    """The model's specification relative to the package, as its manifest names it.

    Raises:
        ExportError: there is no manifest, or it names no file inside the package.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    except OSError as error:
        raise ExportError(f"{path}: expected a package's {MANIFEST}, got {error.strerror}; export it again") from None
    except (ValueError, KeyError, TypeError):
        raise ExportError(f"{path}: expected a {MANIFEST} that names the model, got another; export it again") from None
    file = Path("Data") / str(entry)
    if file.is_absolute() or ".." in file.parts:
        raise ExportError(f"{path}: expected a model inside the package, got {str(entry)!r}; export it again")
    return file


def read_specification(path: Path, file: Path) -> Any:
    """The message of a model's file; raises `ExportError` where it is absent or no such message."""
    try:
        data = (path / file).read_bytes()
        return import_coremltools().proto.Model_pb2.Model.FromString(data)
    except OSError as error:
        raise ExportError(f"{path}: expected the model {file}, got {error.strerror}; export it again") from None
    except ExportError:
        raise
    except Exception as error:  # protobuf's own class of it depends on its implementation
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{path}: expected a Core ML specification, got {reason}; export it again") from None


def check_kind(path: Path, kind: str | None) -> None:
    """Refuse every kind of model but an ML Program."""
    if kind is None:
        raise ExportError(f"{path}: expected an ML Program, got a specification without a model; export it again")
    if kind == "serializedModel":
        raise ExportError(f"{path}: expected an ML Program, got an encrypted model; use it as it was before")
    if kind != "mlProgram":
        raise ExportError(f"{path}: expected an ML Program, got the kind {kind!r}; {CONVERT}")


def dtype_of(tensor: Any) -> str:
    """MIL's name of a tensor type's data type."""
    if tensor.dataType not in DTYPES:
        known = ", ".join(DTYPES.values())
        raise ExportError(f"expected a data type of {known}, got number {tensor.dataType}; export it again")
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
    raise ExportError("expected a value, got none; export it again")


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
