"""How a package's specification is read: operands, defaults, attributes, shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.interpret import Program
from mobile_diffusion.errors import ExportError
from tests.export.coreml.interpret.specification import X, constants, found, operations


def refused(path: Path, message: str) -> None:
    """It cannot be opened and run, and one line says why."""
    with pytest.raises(ExportError, match=message) as caught:
        Program.open(path).run(x=X)
    assert "\n" not in str(caught.value)


def test_values_inside_operations_and_defaults(edit: Callable[..., Path], original: Path) -> None:
    """As other converters write them: no constants for parameters, and no parameters with default values."""

    def change(spec: Any) -> None:
        values = constants(spec)
        for operation in operations(spec):
            operation.inputs.pop("mode", None)  # of gelu
            for argument in operation.inputs.values():
                for binding in argument.arguments:
                    if binding.name in values:
                        binding.value.CopyFrom(values[binding.name])
        kept = [each for each in operations(spec) if each.type != "const"]
        del operations(spec)[:]
        operations(spec).extend(kept)

    expected = Program.open(original).run(x=X)
    np.testing.assert_array_equal(list(Program.open(edit(change)).run(x=X).values()), list(expected.values()))


def test_an_attribute_value_is_refused_at_opening(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        for value in constants(spec).values():
            if list(value.immediateValue.tensor.strings.values) == ["EXACT"]:
                value.immediateValue.tensor.strings.values[0] = "FAST"

    with pytest.raises(ExportError, match=r"gelu: expected mode to be one of .*, got 'FAST'"):
        Program.open(edit(change))


def test_an_unknown_attribute_is_refused_at_opening(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        operation = found(spec, "linear")
        operation.attributes["fused"].CopyFrom(operation.attributes["name"])

    with pytest.raises(ExportError, match=r"linear '.*': expected only supported attributes, got 'fused'"):
        Program.open(edit(change))


@pytest.mark.parametrize("output", ["linear", "maximum"])
def test_a_result_of_another_shape_is_refused(output: str, edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        found(spec, output).outputs[0].type.tensorType.dimensions[1].constant.size = 7

    refused(edit(change), rf"{output} '.*': expected shape \(1, 7\), got \(1, 512\); export it again")


def test_a_value_that_nobody_computes_is_refused(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        found(spec, "linear").inputs["x"].arguments[0].name = "z"

    refused(edit(change), r"linear '.*': expected a value that was computed earlier, got 'z'; export it again")


def test_sizes_that_are_left_open_are_refused(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        dimension = spec.mlProgram.functions["main"].inputs[0].type.tensorType.dimensions[0]
        dimension.unknown.variadic = False

    refused(edit(change), "expected static shapes, got a dimension of any size; export for fixed shapes")
