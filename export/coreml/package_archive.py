"""Opens a saved Core ML package: reads its specification and the values of its program.

The specification is the protobuf message that a phone reads, and values come from the weights file next to it.
coremltools' own reader is not used, because it rebuilds and infers a whole program.  Only ML Programs and pipelines of
them are accepted; the error for any other kind of model names the kind.
"""

from __future__ import annotations

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
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

MODEL_PATH = "@model_path/"
"""Prefix of the names of files inside a package."""
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
"""Maps the numbers of MIL's data types to their names."""
IN_BYTES = {"fp16": np.float16, "int8": np.int8, "uint8": np.uint8, "uint32": np.uint32}
"""Types that a specification stores as bytes, besides those of fewer than eight bits."""
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
"""Types that a specification stores as a list of numbers."""


MANIFEST = "Manifest.json"
"""The file at the top of a package that says which of its files is the model."""
ENCRYPTED = ("*.mlmodelkey", "encryptionInfo*")
"""Files of an encrypted model, which only Apple's systems can read."""
CONVERT = "convert the source again with convert_to='mlprogram'"


@dataclass(frozen=True)
class CoreMLPackage:
    """An opened package on disk."""

    path: Path
    spec: Any
    """The message `Model` of Core ML's protobuf format."""
    content: Path = CONTENT
    """The folder of the model, relative to the package."""

    @classmethod
    def open(cls, path: Path) -> CoreMLPackage:
        """Open a `.mlpackage` and read its specification; weights are read on demand.

        Raises:
            ExportError: the package does not exist, is damaged, or contains another kind of model than ML Programs.
        """
        check_folder(path)
        file = model_file(path)
        package = cls(path, read_specification(path, file), file.parent)
        for model in package.spec.pipeline.models if package.kind == "pipeline" else [package.spec]:
            check_kind(path, model.WhichOneof("Type"))
        return package

    @property
    def kind(self) -> str:
        """Core ML's name for the kind of model, such as "mlProgram"."""
        return str(self.spec.WhichOneof("Type"))

    def value(self, value: Any) -> Any:
        """Return the content of a message `Value`: an array of its shape, a string, or a list.

        Numbers of fewer than 8 bits become int8 or uint8.  Raises `ExportError` if the value is damaged.
        """
        kind = value.WhichOneof("value")
        if kind == "blobFileValue":
            return self.record(value).numbers().reshape(shape_of(value.type.tensorType))
        if kind == "immediateValue":
            return immediate(value)
        got = kind or "none"
        raise ExportError(f"{self.path}: expected values in the specification or a file, got {got}; export it again")

    def record(self, value: Any) -> Record:
        """Return the record of a value that is stored in a weights file.

        Raises:
            ExportError: the record is missing, or its type or size is not that of the value.
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
        """Return the path of a file that the program names; raises `ExportError` for a path outside the package."""
        if not name.startswith(MODEL_PATH) or ".." in Path(name).parts:
            raise ExportError(f"{self.path}: expected files inside the package, got {quoted(name)}; export it again")
        return self.path / self.content / name.removeprefix(MODEL_PATH)


def check_folder(path: Path) -> None:
    """Raise `ExportError` unless the path looks like a package."""
    if path.is_file():
        raise ExportError(f"{path}: expected a .mlpackage folder, got a file (the older format); {CONVERT}")
    if not path.is_dir():
        raise ExportError(f"{path}: expected a Core ML package, got no folder of this name; check the path")
    if any(next(path.rglob(pattern), None) for pattern in ENCRYPTED):
        raise ExportError(f"{path}: expected a model that can be read, got an encrypted one; use the unencrypted model")
    if path.suffix == ".mlmodelc" or (path / "coremldata.bin").exists() or next(path.glob("*.mil"), None):
        raise ExportError(f"{path}: expected a .mlpackage, got a compiled model; use the package it was compiled from")


def model_file(path: Path) -> Path:
    """Return the path of the model's specification relative to the package, as the manifest names it.

    Raises:
        ExportError: there is no manifest, or it does not name a file inside the package.
    """
    try:
        manifest = parse_json((path / MANIFEST).read_bytes())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    except OSError as error:
        raise ExportError(f"{path}: expected a package's {MANIFEST}, got {error.strerror}; export it again") from None
    except (ValueError, LookupError, TypeError):
        raise ExportError(f"{path}: expected a {MANIFEST} that names the model, got another; export it again") from None
    file = Path("Data") / str(entry)
    if file.is_absolute() or ".." in file.parts:
        raise ExportError(f"{path}: expected a model inside the package, got {quoted(str(entry))}; export it again")
    return file


def read_specification(path: Path, file: Path) -> Any:
    """Return the specification in a model file; raises `ExportError` if it is missing or damaged."""
    try:
        data = (path / file).read_bytes()
        return import_coremltools().proto.Model_pb2.Model.FromString(data)
    except OSError as error:
        raise ExportError(f"{path}: expected the model {file}, got {error.strerror}; export it again") from None
    except ExportError:
        raise
    except Exception as error:  # protobuf's error class depends on its implementation
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{path}: expected a Core ML specification, got {reason}; export it again") from None


def check_kind(path: Path, kind: str | None) -> None:
    """Raise `ExportError` unless a model is an ML Program."""
    if kind is None:
        raise ExportError(f"{path}: expected an ML Program, got a specification without a model; export it again")
    if kind == "serializedModel":
        raise ExportError(f"{path}: expected an ML Program, got an encrypted model; use the unencrypted model")
    if kind != "mlProgram":
        raise ExportError(f"{path}: expected an ML Program, got the kind {quoted(kind)}; {CONVERT}")


def dtype_of(tensor: Any) -> str:
    """Return MIL's name of a tensor type's data type; raises `ExportError` for an unknown one."""
    if tensor.dataType not in DTYPES:
        known = ", ".join(DTYPES.values())
        raise ExportError(f"expected a data type of {known}, got number {tensor.dataType}; export it again")
    return DTYPES[tensor.dataType]


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a tensor type; raises `ExportError` if it is not static."""
    sizes = []
    for dimension in tensor.dimensions:
        if dimension.WhichOneof("dimension") != "constant":
            raise ExportError("expected static shapes, got a dimension of any size; export for fixed shapes")
        sizes.append(int(dimension.constant.size))
    return tuple(sizes)


def immediate(value: Any) -> Any:
    """Return a value that is stored inside the specification."""
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
    """Return a tensor that is stored inside the specification: a string, or an array of the type's shape."""
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
    """Return numbers (count,) that a specification stores as bytes."""
    kind = BLOB_TYPES.get(dtype)
    expected = -(-count * PACKED_BITS[kind] // 8) if kind in PACKED_BITS else count * np.dtype(IN_BYTES[dtype]).itemsize
    if len(data) != expected:
        raise ExportError(f"expected {expected} bytes for {count} numbers of {dtype}, got {len(data)}; export it again")
    stream = np.frombuffer(bytearray(data), np.uint8)
    if kind in PACKED_BITS:
        return unpack(stream, PACKED_BITS[kind], count, kind in SIGNED)
    return stream.view(IN_BYTES[dtype])
