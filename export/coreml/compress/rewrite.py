"""Rewrites a program's weights files and its constants together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from export.coreml.blobs import RecordWriter
from export.coreml.compress.constexpr import Replacement, replace_constant, replacement
from export.coreml.compress.encode import Encoded
from export.coreml.compress.layers import bodies, operations
from export.coreml.package_archive import CoreMLPackage

Place = tuple[str, int]
"""A record: the name of its file in the program, and its offset."""


def values_of(operation: Any) -> Iterator[Any]:
    """Yield the values of an operation that are stored in a file, in the order of their names."""
    values = [operation.attributes[name] for name in sorted(operation.attributes)]
    arguments = [operation.inputs[name] for name in sorted(operation.inputs)]
    values += [binding.value for argument in arguments for binding in argument.arguments]
    yield from (value for value in values if value.WhichOneof("value") == "blobFileValue")


def place_of(value: Any) -> Place:
    """Return the record of a value."""
    return value.blobFileValue.fileName, value.blobFileValue.offset


def places(spec: Any) -> dict[Place, Any]:
    """Return all records that a program refers to, in its order, each with the first value that refers to it."""
    found: dict[Place, Any] = {}
    for body in bodies(spec):
        for operation in operations(body):
            for value in values_of(operation):
                found.setdefault(place_of(value), value)
    return found


class Rewriting:
    """The new weights files while they are written, with the changes to make in the program."""

    def __init__(self, package: CoreMLPackage, folder: Path) -> None:
        self.package, self.folder = package, folder
        self.files = ExitStack()
        self.writers: dict[str, RecordWriter] = {}
        self.values = places(package.spec)
        self.copied: dict[Place, int] = {}
        self.replaced: dict[Place, Replacement] = {}

    def writer(self, name: str) -> RecordWriter:
        """Return the writer of the new file that replaces one of the program's files."""
        if name not in self.writers:
            file = self.folder / self.package.weights_file(name).relative_to(self.package.path)
            file.parent.mkdir(parents=True, exist_ok=True)
            self.writers[name] = self.files.enter_context(RecordWriter(file))
        return self.writers[name]

    def copy(self, place: Place) -> None:
        """Copy a record unchanged."""
        self.copied[place] = self.writer(place[0]).copy(self.package.record(self.values[place]))

    def put(self, place: Place, made: Encoded) -> None:
        """Write a compressed weight in place of a record."""
        self.replaced[place] = replacement(made.made, place[0], self.writer(place[0]).append)

    def finish(self) -> None:
        """Complete the files, and make the program refer to the new records."""
        for body in bodies(self.package.spec):
            rename(body, dict(self._renamed(body)))

    def _renamed(self, body: Any) -> Iterator[tuple[str, str]]:
        for operation in operations(body):
            values = list(values_of(operation))
            if operation.type == "const" and values and place_of(values[0]) in self.replaced:
                yield operation.outputs[0].name, replace_constant(operation, self.replaced[place_of(values[0])])
                continue
            for value in values:
                value.blobFileValue.offset = self.copied[place_of(value)]


def rename(block: Any, names: Mapping[str, str]) -> None:
    """Rename the values that a block and the blocks inside it read."""
    for operation in block.operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.name in names:
                    binding.name = names[binding.name]
        for inner in operation.blocks:
            rename(inner, names)
    block.outputs[:] = [names.get(name, name) for name in block.outputs]
