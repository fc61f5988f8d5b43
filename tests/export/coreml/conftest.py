"""Small MIL programs: single operations, run by us and by coremltools, and saved packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from export.coreml.interpret import Slots, execute
from export.coreml.toolchain import import_coremltools, quiet_logs, without_bars

Run = Callable[..., tuple[np.ndarray, ...]]


@pytest.fixture(scope="session")
def ct() -> Any:
    """coremltools."""
    return import_coremltools()


@pytest.fixture
def build(ct: Any) -> Callable[..., Any]:
    """`build("reshape", x=array, shape=[2, 3])`: that one MIL operation of iOS 17 on constants."""
    from coremltools.converters.mil import Builder

    def make(operation: str, **operands: Any) -> Any:
        found: list[Any] = []

        def body() -> Any:
            result = getattr(Builder, operation)(**operands)
            found.append(result[0].op if isinstance(result, list | tuple) else result.op)
            return result

        Builder.program(input_specs=[], opset_version=ct.target.iOS17)(body)
        return found[0]

    return make


@pytest.fixture
def interpret(build: Callable[..., Any]) -> Run:
    """`interpret("reshape", x=array, ...)`: what the interpreter makes of it, rounding included."""

    def run(operation: str, **operands: Any) -> tuple[np.ndarray, ...]:
        slots = Slots()
        instruction = slots.instruction(build(operation, **operands))
        values = dict(slots.constants)
        execute(instruction, values, rounding=True)
        results = (values[slot] for slot in instruction.results)
        return tuple(result.numpy() for result in results if isinstance(result, Tensor))

    return run


@pytest.fixture
def infer(build: Callable[..., Any]) -> Run:
    """`infer("reshape", x=array, ...)`: what coremltools itself computes for it, in numpy."""

    def run(operation: str, **operands: Any) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(output.val) for output in build(operation, **operands).outputs)

    return run


@pytest.fixture
def save_program(ct: Any, tmp_path: Path) -> Callable[..., Path]:
    """`save_program(function, x=(1, 2))`: a saved package of a MIL function of float32 inputs."""
    from coremltools.converters.mil import Builder

    def save(function: Callable[..., Any], precision: str = "FLOAT32", **shapes: tuple[int, ...]) -> Path:
        specs = [Builder.TensorSpec(shape=shape) for shape in shapes.values()]
        program = Builder.program(input_specs=specs, opset_version=ct.target.iOS17)(function)
        with quiet_logs(), without_bars():
            model = ct.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS17,
                compute_precision=getattr(ct.precision, precision),
                skip_model_load=True,
            )
        path = tmp_path / "program.mlpackage"
        model.save(str(path))
        return path

    return save


@pytest.fixture
def normal() -> Callable[..., np.ndarray]:
    """`normal(2, 3)`: seeded float32 numbers."""
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(shape, generator=generator).numpy()
