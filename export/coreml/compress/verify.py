"""Verifies a compressed package: decodes each weight from the file and compares it with the original.

The interpreter decodes; it shares no code with the writer except the reading of records.  If the error of a weight is
not the one that the clustering computed, a table, an index or a position is wrong, and the package is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.compression.recipes import Recipe
from export.compression.store import reconstruction_snr
from export.coreml.compress.constexpr import SUFFIXES
from export.coreml.compress.layers import COMPRESSED, WeightLayer, bodies, operations
from export.coreml.compress.rewrite import places
from export.coreml.interpret.decompress import DECOMPRESSIONS
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress
from mobile_diffusion.quoting import quoted

TOLERANCE_DB = 1e-3
ADVICE = "compress it again, and report it if it happens twice"


@dataclass(frozen=True)
class Promise:
    """The result for a weight that the writer promises."""

    layer: WeightLayer
    recipe: Recipe
    operation: str
    snr_db: float

    @property
    def name(self) -> str:
        """Name of the decoded weight in the new program."""
        return self.layer.name + SUFFIXES[self.operation]


@dataclass(frozen=True)
class Reconstruction:
    """A weight as decoded from the file."""

    name: str
    shape: tuple[int, ...]
    recipe: str
    snr_db: float
    """Energy of the original divided by the energy of the error, in dB."""
    stored_bytes: int
    """Stored bytes of all operands from which the weight is decoded."""


def verify(source: Path, folder: Path, promised: Sequence[Promise], progress: Progress) -> tuple[Reconstruction, ...]:
    """Decode each compressed weight of the package in `folder`, and compare it with the weight in `source`.

    Raises:
        ExportError: a weight is missing, or its error is not the promised one (larger or smaller).
    """
    original, written = CoreMLPackage.open(source), CoreMLPackage.open(folder)
    values = places(original.spec)
    stored = {operation.outputs[0].name: operation for operation in compressed(written.spec)}
    found = []
    for number, promise in enumerate(promised):
        progress("reading the weights back", number / len(promised))
        if promise.name not in stored:
            raise ExportError(
                f"{promise.layer.name}: expected {quoted(promise.name)} in the package, got none; {ADVICE}"
            )
        weight = original.value(values[promise.layer.place])
        operands = operands_of(written, stored[promise.name])
        decoded = decode(stored[promise.name].type, operands)
        found.append(rebuilt(promise, weight, decoded, sum(packed_bytes(written, stored[promise.name]))))
    return tuple(found)


def compressed(spec: Any) -> Iterator[Any]:
    """Yield the operations of a program that decode a weight."""
    for body in bodies(spec):
        yield from (operation for operation in operations(body) if operation.type.startswith(COMPRESSED))


def stored_fields(operation: Any) -> dict[str, Any]:
    """Return the messages `Value` of a decoding operation by operand, from its attributes or its inputs."""
    fields = {name: value for name, value in operation.attributes.items() if name != "name"}
    return fields | {name: argument.arguments[0].value for name, argument in operation.inputs.items()}


def operands_of(package: CoreMLPackage, operation: Any) -> dict[str, Any]:
    """Return the operands of a decoding operation."""
    return {name: package.value(value) for name, value in stored_fields(operation).items()}


def packed_bytes(package: CoreMLPackage, operation: Any) -> Iterator[int]:
    """Yield the bytes of each operand that is stored in the file."""
    for value in stored_fields(operation).values():
        if value.WhichOneof("value") == "blobFileValue":
            yield package.record(value).size


def decode(operation: str, operands: dict[str, Any]) -> NDArray[np.float16]:
    """Return the weight that a decoding operation computes; raises `ExportError` for an unknown operation."""
    if operation not in DECOMPRESSIONS:
        raise ExportError(f"expected one of {', '.join(DECOMPRESSIONS)}, got {operation}")
    decoded = DECOMPRESSIONS[operation](**operands)
    return np.asarray(decoded)


def rebuilt(promise: Promise, weight: NDArray[np.float16], decoded: NDArray[np.float16], size: int) -> Reconstruction:
    """Return the reconstruction; raises `ExportError` unless it is the promised one."""
    layer = promise.layer
    if decoded.shape != layer.shape or decoded.dtype != np.float16:
        got = f"{decoded.dtype} {decoded.shape}"
        raise ExportError(f"{layer.name}: expected float16 {layer.shape} from the file, got {got}; {ADVICE}")
    found = reconstruction_snr(weight, decoded)
    exact = found == promise.snr_db == math.inf
    if not exact and not abs(found - promise.snr_db) <= TOLERANCE_DB:
        wanted = f"{promise.snr_db:.4f} dB from the original"
        raise ExportError(f"{layer.name}: expected a weight in the file {wanted}, got {found:.4f} dB; {ADVICE}")
    return Reconstruction(layer.name, layer.shape, promise.recipe.name, found, size)
