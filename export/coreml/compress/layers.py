"""Finds the weights of a package that are worth compressing.

These are the large float16 constants that multiply activations, and the word embeddings.  Biases, norms, position
embeddings (small, and added), tables indexed by the sampling step, and the float32 update are not compressed.  A weight
that several functions or operations share counts as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from export.compression.weight import LEAST_NUMBERS, Weight
from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

STEP = "step"
"""The input that indexes the schedule's tables."""
AXES = {("linear", "weight"): (0, 1), ("conv", "weight"): (0, 1), ("conv_transpose", "weight"): (1, 0)}
"""Output and input axis of an operation's weight; those of `matmul` and `gather` depend on their other operands."""
COMPRESSED = "constexpr_"
"""Prefix of the names of operations that decode a compressed weight."""


@dataclass(frozen=True)
class WeightLayer(Weight):
    """One compressible weight; if functions share it, it has its name in the first."""

    place: tuple[str, int]
    """File and offset of the record, as the program names them."""
    results: tuple[str, ...]
    """Names of the values that are computed with the weight."""


@dataclass(frozen=True)
class Use:
    """One operation that reads a constant."""

    operation: Any
    parameter: str


def layers_of(package: CoreMLPackage) -> tuple[WeightLayer, ...]:
    """Return the compressible weights, in the program's order.

    Raises:
        ExportError: the package is compressed already, or it is a pipeline.
    """
    if package.kind == "pipeline":
        raise ExportError(f"{package.path}: expected one program, got a pipeline; compress it before cutting it")
    found: dict[tuple[str, int], WeightLayer] = {}
    for body in bodies(package.spec):
        known = Function(package, list(operations(body)))
        for constant in known.stored():
            layer = known.layer(constant)
            if layer is not None:
                found[layer.place] = merged(found[layer.place], layer) if layer.place in found else layer
    return tuple(found.values())


def merged(first: WeightLayer, second: WeightLayer) -> WeightLayer:
    """Return the description of a weight that two functions share."""
    return WeightLayer(**{**vars(first), "results": tuple(dict.fromkeys(first.results + second.results))})


def bodies(spec: Any) -> list[Any]:
    """Return the body of each function, in the order of their names."""
    functions = spec.mlProgram.functions
    return [functions[name].block_specializations[functions[name].opset] for name in sorted(functions)]


def operations(block: Any) -> Iterator[Any]:
    """Yield the operations of a block and of the blocks inside them, in order."""
    for operation in block.operations:
        for inner in operation.blocks:
            yield from operations(inner)
        yield operation


def opset_of(spec: Any) -> int:
    """Return the number of a program's operation set: 7 for "CoreML7".

    Raises `ExportError` for another dialect, or if functions have different operation sets.
    """
    names = {function.opset for function in spec.mlProgram.functions.values()}
    numbers = [name.removeprefix("CoreML") for name in names]
    if len(names) != 1 or not numbers[0].isdigit():
        raise ExportError(f"expected functions of one operation set of Core ML, got {sorted(names)}; export it again")
    return int(numbers[0])


class Function:
    """The operations of one function, with the values that they read."""

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
        """Yield the constants that are stored in a file.

        Raises `ExportError` if a weight is compressed already.
        """
        for operation in self.body:
            if operation.type.startswith(COMPRESSED):
                got = f"{operation.type} {quoted(operation.outputs[0].name)}"
                raise ExportError(f"{self.package.path}: expected uncompressed weights, got {got}; use the original")
            if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue":
                yield operation

    def layer(self, constant: Any) -> WeightLayer | None:
        """Return the weight in a constant, or None if it is not compressible or its readers use it differently."""
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
        return WeightLayer(output.name, shape, *pair, place, results, grouped=grouped)

    def axes(self, use: Use, rank: int) -> tuple[int, int] | None:
        """Return the output and input axis of a weight at one use; None if it is neither multiplied nor looked up."""
        operation, parameter = use.operation, use.parameter
        if operation.type == "matmul" and parameter in ("x", "y"):
            turned = bool(self.number(operation, f"transpose_{parameter}", False))
            return (rank - 2, rank - 1) if turned == (parameter == "y") else (rank - 1, rank - 2)
        if (operation.type, parameter) == ("gather", "x"):
            indices = operation.inputs["indices"].arguments[0].name
            return None if indices in self.stepped or rank != 2 else (0, 1)
        return AXES.get((operation.type, parameter))

    def number(self, operation: Any, parameter: str, default: Any) -> Any:
        """Return a constant operand of an operation."""
        if parameter not in operation.inputs:
            return default
        writer = self.writers.get(operation.inputs[parameter].arguments[0].name)
        return default if writer is None else self.package.value(writer.attributes["val"])

    def _stepped(self) -> set[str]:
        """Return the names of the values that are computed only from the sampling step."""
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
    """Return the weights by name.

    Raises:
        ExportError: there are none, or two have the same name.
    """
    if not layers:
        raise ExportError(f"{package.path}: expected float16 weights of more than {LEAST_NUMBERS} numbers, got none")
    named = {layer.name: layer for layer in layers}
    if len(named) != len(layers):
        raise ExportError(f"{package.path}: expected a unique name for each weight, got one name twice")
    return named
