"""Makes packages from parts of others: finds the values of a program, copies records, and writes the manifest.

Weights are copied from file to file without decoding, so compressed packages are treated like any other, and memory use
does not grow with the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from export.coreml.blobs import ALIGNMENT, DESCRIPTION, HEADER, Record, RecordWriter
from export.coreml.package import WEIGHTS, write_package_manifest
from export.coreml.package_archive import MODEL_PATH

WEIGHTS_FILE = "weight.bin"
"""The name of a package's only weights file."""


def create_package(folder: Path) -> None:
    """Create the manifest and the folders of a package in an empty folder, without specification and weights."""
    (folder / WEIGHTS).mkdir(parents=True)
    write_package_manifest(folder)


def file_name(name: str) -> str:
    """Return the name by which a program refers to one of the package's weights files."""
    return f"{MODEL_PATH}{WEIGHTS.name}/{name}"


def file_values(operation: Any) -> Iterator[Any]:
    """Yield the messages `Value` of an operation, and of the blocks inside it, that are stored in a file."""
    for argument in operation.inputs.values():
        for binding in argument.arguments:
            if binding.WhichOneof("binding") == "value":
                yield from in_files(binding.value)
    for value in operation.attributes.values():
        yield from in_files(value)
    for block in operation.blocks:
        for inner in block.operations:
            yield from file_values(inner)


def in_files(value: Any) -> Iterator[Any]:
    """Yield a value, or the values in it if it is a tuple or list, as far as they are stored in a file."""
    if value.WhichOneof("value") == "blobFileValue":
        yield value
        return
    content = value.immediateValue
    for items in (content.list.values, content.tuple.values):
        for item in items:
            yield from in_files(item)
    for pair in content.dictionary.values:
        yield from in_files(pair.key)
        yield from in_files(pair.value)


def stored_bytes(record: Record) -> int:
    """Return the bytes that a record takes in a file, including its description and the padding after it."""
    return DESCRIPTION.size + -(-record.size // ALIGNMENT) * ALIGNMENT


def file_bytes(weights: int) -> int:
    """Return the size in bytes of a file whose records take `weights` bytes."""
    return HEADER.size + weights if weights else 0


class SharedRecords:
    """Copies records into one file; records with the same content are copied once."""

    def __init__(self, writer: RecordWriter) -> None:
        self.writer = writer
        self.written: dict[bytes, list[tuple[Record, int]]] = {}

    def place(self, record: Record) -> tuple[int, bool]:
        """Copy a record if it is new; returns its offset in the file, and whether it was there before."""
        alike = self.written.setdefault(digest(record), [])
        for other, offset in alike:
            if same(record, other):
                return offset, True
        offset = self.writer.copy(record)
        alike.append((record, offset))
        return offset, False


def digest(record: Record) -> bytes:
    """Return the SHA-256 of a record's type and bytes."""
    found = hashlib.sha256(f"{record.kind} {record.padding_bits}".encode())
    found.update(record.bytes().data)
    return found.digest()


def same(first: Record, second: Record) -> bool:
    """Return whether two records are equal byte by byte."""
    kinds = [(record.kind, record.size, record.padding_bits) for record in (first, second)]
    return kinds[0] == kinds[1] and np.array_equal(first.bytes(), second.bytes())
