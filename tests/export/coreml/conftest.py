"""Small MIL programs: single operations, run by us and by coremltools, and saved packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret.decompress import DECOMPRESSIONS
from export.coreml.interpret.execute import execute
from export.coreml.interpret.instruction import Instruction
from export.coreml.interpret.operations import check_attributes, interpreted
from export.coreml.interpret.weights import held
from export.coreml.toolchain import import_coremltools
from tests.export.coreml.conversion import convert

Run = Callable[..., tuple[np.ndarray, ...]]


@pytest.fixture(scope="session")
def ct() -> Any:
    """coremltools."""
    return import_coremltools()


@pytest.fixture
def build(ct: Any) -> Callable[..., Any]:
    """`build("reshape", x=array, shape=[2, 3])`: that one MIL operation of iOS 17 (or `opset`) on constants."""
    from coremltools.converters.mil import Builder

    def make(operation: str, opset: str = "iOS17", **operands: Any) -> Any:
        found: list[Any] = []

        def body() -> Any:
            result = getattr(Builder, operation)(**operands)
            found.append(result[0].op if isinstance(result, list | tuple) else result.op)
            return result

        Builder.program(input_specs=[], opset_version=getattr(ct.target, opset))(body)
        return found[0]

    return make


def operands_of(operation: Any, given: set[str] | None) -> dict[str, Any]:
    """A MIL operation's parameters as the interpreter has them; all, or those that are given."""
    found = {}
    for name, variable in operation.inputs.items():
        if variable is None or (given is not None and name not in given):
            continue
        several = isinstance(variable, list | tuple)
        values = [one.val for one in (variable if several else [variable])]
        kept = tuple(value if isinstance(value, str) else held(np.array(value)) for value in values)
        found[name] = kept if several else kept[0]
    return found


def interpreted_once(operation: Any, opset: str, precision: str, given: set[str] | None) -> tuple[np.ndarray, ...]:
    """A MIL operation's results."""
    from coremltools.converters.mil.mil import types

    function = interpreted(operation.op_type, operation.name, {"iOS16": "CoreML6"}.get(opset, "CoreML7"))
    operands = operands_of(operation, given)
    check_attributes(operation.op_type, operation.name, function, operands)
    values: dict[int, Any] = {}
    slots: dict[str, int | tuple[int, ...]] = {}
    for name, value in operands.items():
        several = value if isinstance(value, tuple) else (value,)
        places = tuple(range(len(values), len(values) + len(several)))
        values.update(zip(places, several, strict=True))
        slots[name] = places if isinstance(value, tuple) else places[0]
    results = tuple(range(len(values), len(values) + len(operation.outputs)))
    dtypes = tuple(types.builtin_to_string(output.dtype) for output in operation.outputs)
    shapes = tuple(tuple(map(int, output.shape)) for output in operation.outputs)
    instruction = Instruction(operation.name, operation.op_type, function, slots, results, dtypes, shapes)
    execute(instruction, values, precision)
    return tuple(values[slot].numpy() for slot in results)


@pytest.fixture
def interpret(build: Callable[..., Any]) -> Run:
    """`interpret("reshape", x=array, ...)`: what the interpreter makes of it, rounding included.

    Once with the parameters that are given and once with coremltools' defaults for the others: they are the same.
    """

    def run(
        operation: str, opset: str = "iOS17", precision: str = "as-stored", **operands: Any
    ) -> tuple[np.ndarray, ...]:
        made = build(operation, opset, **operands)
        got = interpreted_once(made, opset, precision, set(operands))
        for ours, whole in zip(got, interpreted_once(made, opset, precision, None), strict=True):
            np.testing.assert_array_equal(ours, whole)
        return got

    return run


@pytest.fixture
def decompress(build: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """`decompress("constexpr_lut_to_dense", "iOS18", ...)`: what we make of it, and what coremltools does."""

    def run(operation: str, opset: str, **operands: Any) -> tuple[Any, Any]:
        made = build(operation, opset, **operands)
        parts = {name: variable.val for name, variable in made.inputs.items() if variable is not None}
        parts = {name: value if isinstance(value, str) else np.asarray(value) for name, value in parts.items()}
        return DECOMPRESSIONS[operation](**parts), made.materialized_val_inference()

    return run


@pytest.fixture
def infer(build: Callable[..., Any]) -> Run:
    """`infer("reshape", x=array, ...)`: what coremltools itself computes for it, in numpy."""

    def run(operation: str, opset: str = "iOS17", **operands: Any) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(output.val) for output in build(operation, opset, **operands).outputs)

    return run


@pytest.fixture
def equals_inference(interpret: Run, infer: Run) -> Callable[..., None]:
    """`equals_inference("reshape", x=array, ...)`: our results have coremltools' values, shapes and dtypes."""

    def check(operation: str, **operands: Any) -> None:
        for ours, theirs in zip(interpret(operation, **operands), infer(operation, **operands), strict=True):
            np.testing.assert_array_equal(ours, theirs, strict=True)

    return check


@pytest.fixture
def save_program(ct: Any, tmp_path: Path) -> Callable[..., Path]:
    """`save_program(function, x=(1, 2))`: a saved package of a MIL function of float32 inputs."""
    from coremltools.converters.mil import Builder

    def save(
        function: Callable[..., Any], precision: str = "FLOAT32", target: str = "iOS17", **shapes: tuple[int, ...]
    ) -> Path:
        specs = [Builder.TensorSpec(shape=shape) for shape in shapes.values()]
        program = Builder.program(input_specs=specs, opset_version=getattr(ct.target, target))(function)
        path = tmp_path / "program.mlpackage"
        convert(ct, program, precision, target).save(str(path))
        return path

    return save


@pytest.fixture
def normal() -> Callable[..., np.ndarray]:
    """`normal(2, 3)`: seeded float32 numbers."""
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(shape, generator=generator).numpy()
