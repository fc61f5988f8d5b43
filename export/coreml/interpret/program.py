"""Opens a package and runs its programs on arrays, by the names of its inputs.

A package contains one program, or a pipeline of several that pass arrays on.  A program contains one or more functions,
one of which is chosen.  With precision "as-stored", each float16 result is rounded to float16 after its operation, so
the results show the overflow and rounding that the program itself specifies.  They do not show how a device accumulates
inside an operation; the precision "fp16-accumulate" models that (accumulate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.coreml.interpret.control import StateBag
from export.coreml.interpret.execute import PRECISIONS, run_block, wide
from export.coreml.interpret.features import Feature, array_of, feature, tensor_of
from export.coreml.interpret.instruction import Block, Instruction, Observer, Shape
from export.coreml.interpret.reader import Reader
from export.coreml.interpret.weights import Value, Weight
from export.coreml.naming import stage_outputs
from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from export.signatures import TensorSpec, check_arrays
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

MAIN = "main"
"""The function of a package that does not name a default."""
DAMAGED = (ArithmeticError, LookupError, TypeError, ValueError)
"""The exceptions that reading a damaged program raises."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Routine:
    """One function of one model."""

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    block: Block
    constants: dict[int, Value]
    """The values of the constant slots."""
    names: tuple[str, ...]
    """The name in the program of each slot."""
    input_slots: dict[str, int]
    input_dtypes: dict[str, str]
    """MIL dtypes of the inputs."""
    output_slots: dict[str, int]
    states: dict[str, Shape]
    """Shapes of the states; each state also has an input slot."""

    def run(self, features: Arrays, precision: str, observer: Observer | None, bag: StateBag) -> Arrays:
        """Run the function; returns the arrays of its outputs."""
        values: dict[int, Value] = dict(self.constants)
        for name in self.states:
            values[self.input_slots[name]] = bag.cells[name]
        for each in self.inputs:
            name = each.spec.name
            array = features[name]
            values[self.input_slots[name]] = tensor_of(each, array, self.input_dtypes[name], precision != "float32")
        run_block(self.block, values, precision, observer)
        return {each.spec.name: self.output(each, values) for each in self.outputs}

    def output(self, found: Feature, values: dict[int, Value]) -> NDArray[Any]:
        """Return one output as an array."""
        value = wide(values[self.output_slots[found.spec.name]])
        assert isinstance(value, Tensor)
        return array_of(found, value)


@dataclass(frozen=True)
class Program:
    """An opened package; `run` calls it with arrays."""

    name: str
    """Name of the package, for messages."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """The outputs, with the package's names; the dtype of a picture is "image"."""
    stage_names: dict[str, str]
    """Maps the package's output names to the stage's output names (naming.py)."""
    routines: tuple[Routine, ...]
    """In the order in which they run."""
    array_specs: tuple[TensorSpec, ...]
    """What arrays for the inputs must satisfy."""
    precision: str = "as-stored"
    """One of `PRECISIONS`."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ExportError(f"precision: expected one of {PRECISIONS}, got {quoted(self.precision)}")

    @classmethod
    def open(
        cls, path: Path, precision: str = "as-stored", function: str | None = None, infinite_constants: bool = False
    ) -> Program:
        """Open a saved `.mlpackage`; `function` names one of its functions, the default if it is None.

        Raises:
            ExportError: it is not a package of ML Programs, it is damaged, or it has an unsupported operation,
                parameter or constant.  Infinite constants are allowed only with `infinite_constants`.
        """
        package = CoreMLPackage.open(path)
        description = description_of(package, function)
        chosen = function or package.spec.description.defaultFunctionName or MAIN
        parts = [CoreMLPackage(path, model, package.content) for model in models(package)]
        try:
            routines = tuple(read_routine(part, chosen, infinite_constants) for part in parts)
        except DAMAGED as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{path}: expected a whole program, got {reason}; export it again") from error
        inputs, outputs = (tuple(map(feature, each)) for each in (description.input, description.output))
        return cls(
            path.stem,
            tuple(each.spec for each in inputs),
            tuple(each.spec for each in outputs),
            stage_outputs(with_description(package.spec, description)),
            routines,
            tuple(each.array_spec for each in inputs),
            precision,
        )

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """All instructions in order, without those inside branches and loops."""
        return tuple(each for routine in self.routines for each in routine.block.instructions)

    @property
    def constants(self) -> dict[str, Tensor | str]:
        """Return the constants by their names in the program; reads all weights."""
        return dict(self.each_constant())

    def each_constant(self) -> Iterator[tuple[str, Tensor | str]]:
        """Yield the constants with their names, one at a time."""
        for routine in self.routines:
            for slot, value in routine.constants.items():
                yield routine.names[slot], value.tensor() if isinstance(value, Weight) else value

    def new_states(self) -> StateBag:
        """Return new states, filled with zeros, for `run_with`."""
        return StateBag({name: shape for routine in self.routines for name, shape in routine.states.items()})

    def run(self, observer: Observer | None = None, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by the package's names; inputs must have the declared names, dtypes and shapes.

        The program's states start as zeros.

        Raises:
            ExportError: an input is missing, unknown, or of another dtype or shape; an index is out of range; or a
                weight has NaN.
        """
        return self.run_with(self.new_states(), arrays, observer)

    def run_with(
        self, states: StateBag, arrays: Mapping[str, np.ndarray], observer: Observer | None = None
    ) -> dict[str, np.ndarray]:
        """Like `run`, but read and write `states`, which keep their content for the next run."""
        ordered = check_arrays(self.name, self.array_specs, arrays)
        features: Arrays = {spec.name: array for spec, array in zip(self.inputs, ordered, strict=True)}
        with torch.inference_mode():
            for routine in self.routines:
                features |= routine.run(features, self.precision, observer, states)
        return {spec.name: features[spec.name] for spec in self.outputs}


def models(package: CoreMLPackage) -> list[Any]:
    """Return the specifications of a package's programs, in the order in which they run."""
    return list(package.spec.pipeline.models) if package.kind == "pipeline" else [package.spec]


def description_of(package: CoreMLPackage, function: str | None) -> Any:
    """Return the description of the inputs and outputs of the package, or of one function.

    Raises:
        ExportError: there is no such function.
    """
    description = package.spec.description
    functions = {each.name: each for each in description.functions}
    chosen = function or description.defaultFunctionName or MAIN
    if chosen not in (functions or {MAIN: None}):
        raise ExportError(
            f"{package.path}: expected a function of {', '.join(functions) or MAIN}, got {quoted(chosen)}"
        )
    return functions.get(chosen, description)


def with_description(spec: Any, description: Any) -> Any:
    """Return a specification that has only a function's outputs and the package's metadata."""
    small = type(spec)()
    small.description.metadata.CopyFrom(spec.description.metadata)
    small.description.output.extend(description.output)
    return small


def read_routine(package: CoreMLPackage, function: str, infinite: bool) -> Routine:
    """Read a function of a program.

    Raises:
        ExportError: there is no such function, or it has something that is not supported.
    """
    functions = package.spec.mlProgram.functions
    chosen = function if function in functions else MAIN
    description = description_of(package, chosen if package.spec.description.functions else None)
    if chosen not in functions:
        raise ExportError(f"{package.path}: expected a function of {', '.join(functions)}, got {quoted(function)}")
    message = functions[chosen]
    if message.opset not in message.block_specializations:
        raise ExportError(f"{package.path}: expected a body for {quoted(message.opset)}, got none; export it again")
    reader = Reader(package, message.opset, infinite)
    body = message.block_specializations[message.opset]
    names = [each.name for each in message.inputs]
    block = reader.block(body, names, {})
    inputs, outputs = (tuple(map(feature, each)) for each in (description.input, description.output))
    states = {
        each.name: shape_of(each.type.stateType.wrappedType.tensorType)
        for each in message.inputs
        if each.type.WhichOneof("type") == "stateType"
    }
    check_names(package, {each.spec.name for each in inputs} | states.keys(), names, "inputs")
    check_names(package, {each.spec.name for each in outputs}, list(body.outputs), "outputs")
    return Routine(
        inputs,
        outputs,
        block,
        reader.constants,
        tuple(reader.names),
        dict(zip(names, block.inputs, strict=True)),
        {each.name: static_dtype(each.type.tensorType) for each in message.inputs if each.name not in states},
        dict(zip(body.outputs, block.outputs, strict=True)),
        states,
    )


def static_dtype(tensor: Any) -> str:
    """Return the data type of an input; raises `ExportError` if its shape is not static."""
    shape_of(tensor)
    return dtype_of(tensor)


def check_names(package: CoreMLPackage, described: set[str], found: list[str], kind: str) -> None:
    """Check a function's inputs or outputs against the package's description."""
    if described != set(found):
        expected, got = ", ".join(sorted(described)), ", ".join(found)
        raise ExportError(f"{package.path}: expected the {kind} {expected}, got {got}; export it again")
