"""The weights of a package that are worth compressing.

They are the large float16 constants by which activations are multiplied, and the tables of word embeddings.  Left
alone are biases, norms, position embeddings (they are added, and small), tables that are indexed by the sampling step,
and the update, which is in float32.  Weights that several functions or operations share are one weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from mobile_diffusion.errors import ExportError

LEAST_NUMBERS = 2048
"""Smaller weights stay as they are: their tables would cost as much as they save."""
STEP = "step"
"""The input that indexes tables of the schedule."""
AXES = {("linear", "weight"): (0, 1), ("conv", "weight"): (0, 1), ("conv_transpose", "weight"): (1, 0)}
"""Output and input axis of the weight of an operation; those of `matmul` and `gather` are found otherwise."""
COMPRESSED = "constexpr_"
"""What the names of operations begin with that decode a stored weight."""


@dataclass(frozen=True)
class WeightLayer:
    """One weight."""

    name: str
    """Of the constant; that of the first where functions share it."""
    shape: tuple[int, ...]
    output_axis: int
    input_axis: int
    place: tuple[str, int]
    """File and offset of its record, as the program names them."""
    results: tuple[str, ...]
    """Names of the values that are computed with it."""
    grouped: bool = False
    """Whether it belongs to a convolution with groups."""

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Use:
    """One operation that reads a constant."""

    operation: Any
    parameter: str


def layers_of(package: CoreMLPackage) -> tuple[WeightLayer, ...]:
    """The compressible weights, in the program's order.

    Raises:
        ExportError: the package is compressed already, or a pipeline of several programs.
    """
    if package.kind == "pipeline":
        raise ExportError(f"{package.path}: expected one program, got a pipeline; compress it before it is cut")
    found: dict[tuple[str, int], WeightLayer] = {}
    for body in bodies(package.spec):
        known = Function(package, list(operations(body)))
        for constant in known.stored():
            layer = known.layer(constant)
            if layer is not None:
                found[layer.place] = merged(found[layer.place], layer) if layer.place in found else layer
    return tuple(found.values())


def merged(first: WeightLayer, second: WeightLayer) -> WeightLayer:
    """One weight of two functions."""
    return WeightLayer(**{**vars(first), "results": tuple(dict.fromkeys(first.results + second.results))})


def bodies(spec: Any) -> list[Any]:
    """The body of each function, by name."""
    functions = spec.mlProgram.functions
    return [functions[name].block_specializations[functions[name].opset] for name in sorted(functions)]


def operations(block: Any) -> Iterator[Any]:
    """The operations of a block and of the blocks inside them, in order."""
    for operation in block.operations:
        for inner in operation.blocks:
            yield from operations(inner)
        yield operation


def opset_of(spec: Any) -> int:
    """Number of the operation set of a program: 7 for "CoreML7"; raises `ExportError` for another dialect."""
    names = {function.opset for function in spec.mlProgram.functions.values()}
    numbers = [name.removeprefix("CoreML") for name in names]
    if len(names) != 1 or not numbers[0].isdigit():
        raise ExportError(f"expected functions of one operation set of Core ML, got {sorted(names)}; export it again")
    return int(numbers[0])


class Function:
    """Who reads what in one function."""

    def __init__(self, package: CoreMLPackage, body: list[Any]) -> None:
        self.package, self.body = package, body
        self.writers = {output.name: operation for operation in body for output in operation.outputs}
        self.uses: dict[str, list[Use]] = {}
        for operation in body:
            for parameter, argument in operation.inputs.items():
                for binding in argument.arguments:
                    self.uses.setdefault(binding.name, []).append(Use(operation, parameter))
        self.stepped = self._stepped()

    def stored(self) -> Iterator[Any]:
        """Constants whose numbers are in a file."""
        for operation in self.body:
            if operation.type.startswith(COMPRESSED):
                got = f"{operation.type} {operation.outputs[0].name!r}"
                raise ExportError(f"{self.package.path}: expected uncompressed weights, got {got}; take the original")
            if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue":
                yield operation

    def layer(self, constant: Any) -> WeightLayer | None:
        """The weight that a constant is, if it is one that all who read it take in the same way."""
        (output,), value = constant.outputs, constant.attributes["val"]
        tensor = value.type.tensorType
        shape, uses = shape_of(tensor), self.uses.get(output.name, [])
        if dtype_of(tensor) != "fp16" or math.prod(shape) <= LEAST_NUMBERS or len(shape) < 2 or not uses:
            return None
        axes = {self.axes(use, len(shape)) for use in uses}
        if len(axes) != 1 or None in axes:
            return None
        (pair,) = axes
        assert pair is not None
        results = tuple(result.name for use in uses for result in use.operation.outputs)
        grouped = any(int(self.number(use.operation, "groups", 1)) != 1 for use in uses)
        place = (value.blobFileValue.fileName, value.blobFileValue.offset)
        return WeightLayer(output.name, shape, *pair, place, results, grouped)

    def axes(self, use: Use, rank: int) -> tuple[int, int] | None:
        """Output and input axis of a weight where it is used; None where it is not multiplied by, or looked up."""
        operation, parameter = use.operation, use.parameter
        if operation.type == "matmul" and parameter in ("x", "y"):
            turned = bool(self.number(operation, f"transpose_{parameter}", False))
            return (rank - 2, rank - 1) if turned == (parameter == "y") else (rank - 1, rank - 2)
        if (operation.type, parameter) == ("gather", "x"):
            indices = operation.inputs["indices"].arguments[0].name
            return None if indices in self.stepped or rank != 2 else (0, 1)
        return AXES.get((operation.type, parameter))

    def number(self, operation: Any, parameter: str, default: Any) -> Any:
        """A constant operand of an operation."""
        if parameter not in operation.inputs:
            return default
        writer = self.writers.get(operation.inputs[parameter].arguments[0].name)
        return default if writer is None else self.package.value(writer.attributes["val"])

    def _stepped(self) -> set[str]:
        """Names of the values that are computed from the sampling step alone."""
        found = {STEP}
        for operation in self.body:
            names = [binding.name for argument in operation.inputs.values() for binding in argument.arguments]
            varied = [name for name in names if name and not self._is_constant(name)]
            if varied and found.issuperset(varied):
                found |= {output.name for output in operation.outputs}
        return found

    def _is_constant(self, name: str) -> bool:
        return name in self.writers and self.writers[name].type == "const"


def require_layers(package: CoreMLPackage, layers: tuple[WeightLayer, ...]) -> Mapping[str, WeightLayer]:
    """The weights by name.

    Raises:
        ExportError: there are none, or two have one name.
    """
    if not layers:
        raise ExportError(f"{package.path}: expected float16 weights of more than {LEAST_NUMBERS} numbers, got none")
    named = {layer.name: layer for layer in layers}
    if len(named) != len(layers):
        raise ExportError(f"{package.path}: expected a name of its own for every weight, got one name twice")
    return named
