"""Builds the model of each chunk of a program: its operations, inputs, outputs and weights.

Values cross between chunks in their own type, except for booleans and small integers.  A Core ML model cannot take
these, so they cross as int32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from export.coreml.blobs import RecordWriter
from export.coreml.package import WEIGHTS
from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from export.coreml.repack import file_name, file_values
from export.coreml.steps import BETWEEN, CAST, MAIN, Place, ProgramStep, Steps, main_function
from export.coreml.toolchain import import_coremltools

FEATURES = {"fp16": "FLOAT16", "fp32": "FLOAT32", "int32": "INT32"}
"""Maps MIL's names of the types that may cross to Core ML's names of array types."""


@dataclass(frozen=True)
class ProgramChunk:
    """A range of a program's steps."""

    program: Steps
    steps: tuple[ProgramStep, ...]
    given: tuple[str, ...]
    """Inputs of the program that this chunk reads."""
    taken: tuple[str, ...]
    """Values of earlier chunks that this chunk reads."""
    handed: tuple[str, ...]
    """Values of this chunk that later chunks read."""
    results: tuple[str, ...]
    """Outputs of the program that this chunk computes."""

    @property
    def operations(self) -> list[int]:
        """Return the positions of the chunk's operations in the program, constants included."""
        wanted = {step.number for step in self.steps}.union(*(step.constants for step in self.steps))
        wanted.update(*(self.program.constants.get(name, ()) for name in self.results))
        return sorted(wanted)


def deal(package: CoreMLPackage, program: Steps, joints: Sequence[int]) -> list[ProgramChunk]:
    """Return the chunks of a program between joints."""
    inputs = [value.name for value in main_function(package).inputs]
    edges = [0, *joints, len(program.steps)]
    home = {name: number for number, part in enumerate(cut(program, edges)) for step in part for name in step.writes}
    readers: dict[str, set[int]] = {}
    for number, part in enumerate(cut(program, edges)):
        for name in set[str]().union(*(step.reads for step in part)):
            readers.setdefault(name, set()).add(number)
    last = len(edges) - 2
    return [
        ProgramChunk(
            program,
            tuple(part),
            tuple(name for name in inputs if number in readers.get(name, ())),
            tuple(name for name, where in home.items() if where < number and number in readers.get(name, ())),
            tuple(name for name, where in home.items() if where == number < max(readers.get(name, {-1}))),
            tuple(name for name in program.block.outputs if home.get(name, last) == number),
        )
        for number, part in enumerate(cut(program, edges))
    ]


def cut(program: Steps, edges: Sequence[int]) -> list[tuple[ProgramStep, ...]]:
    """Return the steps between each edge and the next."""
    return [program.steps[start:end] for start, end in pairwise(edges)]


def part_model(package: CoreMLPackage, part: ProgramChunk) -> Any:
    """Return the specification of a chunk, which still refers to the weights of the whole package."""
    whole, source = package.spec, main_function(package)
    model = import_coremltools().proto.Model_pb2.Model(specificationVersion=whole.specificationVersion)
    known = {feature.name: feature for feature in (*whole.description.input, *whole.description.output)}
    for name in part.given:
        model.description.input.add().CopyFrom(known[name])
    for name in part.taken:
        fill_feature(model.description.input.add(), crossing_name(part, name), part.program.types[name])
    for name in part.results:
        model.description.output.add().CopyFrom(known[name])
    for name in part.handed:
        if name not in part.results:
            fill_feature(model.description.output.add(), crossing_name(part, name), part.program.types[name])
    program = model.mlProgram
    program.version = whole.mlProgram.version
    program.docString = whole.mlProgram.docString
    copy_map(whole.mlProgram.attributes, program.attributes)
    fill_function(part, source, program.functions[MAIN])
    return model


def fill_function(part: ProgramChunk, source: Any, function: Any) -> None:
    """Write the chunk's inputs, operations and outputs into a message `Function`."""
    program = part.program
    function.opset = source.opset
    copy_map(source.attributes, function.attributes)
    for name in (*part.given, *part.taken):
        value = function.inputs.add(name=crossing_name(part, name) if name in part.taken else name)
        fill_type(value.type, program.types[name], name in part.taken)
    block = function.block_specializations[source.opset]
    copy_map(program.block.attributes, block.attributes)
    for name in part.taken:
        if is_cast(program.types[name]):
            add_cast(block, crossing_name(part, name), name, program.types[name])
    for number in part.operations:
        block.operations.add().CopyFrom(program.block.operations[number])
    for name in part.handed:
        if is_cast(program.types[name]) and name not in part.results:
            add_cast(block, name, crossing_name(part, name), program.types[name], BETWEEN)
    handed = [crossing_name(part, name) for name in part.handed if name not in part.results]
    block.outputs.extend([*part.results, *handed])


def is_cast(kind: Any) -> bool:
    """Return whether a value must be cast to cross, because Core ML models cannot take or return its type."""
    return dtype_of(kind.tensorType) in CAST


def crossing_name(part: ProgramChunk, name: str) -> str:
    """Return the name of a crossing value as an input or output of the chunk."""
    return f"{name}_as_{BETWEEN}" if is_cast(part.program.types[name]) else name


def fill_type(message: Any, kind: Any, crosses: bool) -> None:
    """Write a type into a message `ValueType`; if it `crosses`, write the type in which it crosses."""
    message.CopyFrom(kind)
    if crosses and is_cast(kind):
        message.tensorType.dataType = import_coremltools().proto.MIL_pb2.DataType.INT32


def fill_feature(feature: Any, name: str, kind: Any) -> None:
    """Describe a crossing value in a message `FeatureDescription`."""
    dtype, array = dtype_of(kind.tensorType), feature.type.multiArrayType
    feature.name = name
    array.shape.extend(shape_of(kind.tensorType))
    array.dataType = array.ArrayDataType.Value(FEATURES[BETWEEN if dtype in CAST else dtype])


def add_cast(block: Any, name: str, result: str, kind: Any, dtype: str | None = None) -> None:
    """Append a cast from int32 to the type `kind`, or from it to `dtype` if that is not None."""
    constant, operation = block.operations.add(type="const"), block.operations.add(type="cast")
    parameter = f"{result}_dtype"
    constant.outputs.add(name=parameter).type.CopyFrom(text("").type)
    constant.attributes["name"].CopyFrom(text(parameter))
    constant.attributes["val"].CopyFrom(text(dtype or dtype_of(kind.tensorType)))
    operation.inputs["x"].arguments.add(name=name)
    operation.inputs["dtype"].arguments.add(name=parameter)
    operation.attributes["name"].CopyFrom(text(result))
    written = operation.outputs.add(name=result)
    fill_type(written.type, kind, dtype is not None)


def text(words: str) -> Any:
    """Return a string as a message `Value`."""
    proto = import_coremltools().proto.MIL_pb2
    value = proto.Value()
    value.type.tensorType.dataType = proto.DataType.STRING
    value.immediateValue.tensor.strings.values.append(words)
    return value


def copy_map(source: Any, target: Any) -> None:
    """Copy the entries of a map of messages to another map."""
    for key in source:
        target[key].CopyFrom(source[key])


def write_weights(package: CoreMLPackage, model: Any, folder: Path, name: str) -> int:
    """Copy a chunk's records to a weights file of the package at `folder` and update the references to them.

    Returns the size of the file in bytes.  A chunk without weights gets no file.
    """
    function = model.mlProgram.functions[MAIN]
    operations = function.block_specializations[function.opset].operations
    values = [value for operation in operations for value in file_values(operation)]
    if not values:
        return 0
    offsets: dict[Place, int] = {}
    path = folder / WEIGHTS / name
    with RecordWriter(path) as writer:
        for value in values:
            place = value.blobFileValue.fileName, value.blobFileValue.offset
            if place not in offsets:
                offsets[place] = writer.copy(package.record(value))
            value.blobFileValue.fileName, value.blobFileValue.offset = file_name(name), offsets[place]
    return path.stat().st_size
