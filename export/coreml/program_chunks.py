"""The model of one part of a program that was cut: its operations, its inputs and outputs, its weights.

Values cross between parts in their own type; booleans and small integers, which no Core ML model takes, as int32.
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
"""MIL's names of the types that cross to those of multi-arrays."""


@dataclass(frozen=True)
class ProgramChunk:
    """A range of a program's steps."""

    program: Steps
    steps: tuple[ProgramStep, ...]
    given: tuple[str, ...]
    """Inputs of the program that it reads."""
    taken: tuple[str, ...]
    """Values of earlier parts that it reads."""
    handed: tuple[str, ...]
    """Its values that later parts read."""
    results: tuple[str, ...]
    """Outputs of the program that it computes."""

    @property
    def operations(self) -> list[int]:
        """Places of its operations in the program, constants included."""
        wanted = {step.number for step in self.steps}.union(*(step.constants for step in self.steps))
        wanted.update(*(self.program.constants.get(name, ()) for name in self.results))
        return sorted(wanted)


def deal(package: CoreMLPackage, program: Steps, joints: Sequence[int]) -> list[ProgramChunk]:
    """The parts of a program between joints."""
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
    """The steps between each edge and the next."""
    return [program.steps[start:end] for start, end in pairwise(edges)]


def part_model(package: CoreMLPackage, part: ProgramChunk) -> Any:
    """The specification of a part, its weights still named as in the whole package."""
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
    """Write the part's inputs, operations and outputs into a message `Function`."""
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
    """Whether a value's type is one that Core ML neither takes nor returns."""
    return dtype_of(kind.tensorType) in CAST


def crossing_name(part: ProgramChunk, name: str) -> str:
    """What a value that crosses is called as an input or output."""
    return f"{name}_as_{BETWEEN}" if is_cast(part.program.types[name]) else name


def fill_type(message: Any, kind: Any, crosses: bool) -> None:
    """Write a type into a message `ValueType`; where it crosses, as what crosses."""
    message.CopyFrom(kind)
    if crosses and is_cast(kind):
        message.tensorType.dataType = import_coremltools().proto.MIL_pb2.DataType.INT32


def fill_feature(feature: Any, name: str, kind: Any) -> None:
    """Write a value that crosses into a message `FeatureDescription`."""
    dtype, array = dtype_of(kind.tensorType), feature.type.multiArrayType
    feature.name = name
    array.shape.extend(shape_of(kind.tensorType))
    array.dataType = array.ArrayDataType.Value(FEATURES[BETWEEN if dtype in CAST else dtype])


def add_cast(block: Any, name: str, result: str, kind: Any, dtype: str | None = None) -> None:
    """Append the operation that turns a value of int32 into one of type `kind`, or (`dtype`) the other way round."""
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
    """A string as a message `Value`."""
    proto = import_coremltools().proto.MIL_pb2
    value = proto.Value()
    value.type.tensorType.dataType = proto.DataType.STRING
    value.immediateValue.tensor.strings.values.append(words)
    return value


def copy_map(source: Any, target: Any) -> None:
    """Copy a map of messages."""
    for key in source:
        target[key].CopyFrom(source[key])


def write_weights(package: CoreMLPackage, model: Any, folder: Path, name: str) -> int:
    """Copy a part's records into a file of a package at `folder` and name them there; returns the file's bytes.

    A part without weights gets no file.
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
