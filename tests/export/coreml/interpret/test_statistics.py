"""Statistics of a program's results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from export.cli.coreml import app
from export.coreml.interpret import Program
from export.coreml.interpret.statistics import Statistics, ValueStatistics, largest_first, random_arrays, row
from export.signatures import TensorSpec
from mobile_diffusion.errors import ExportError

Save = Callable[..., Path]


def test_numbers_that_are_not_finite_are_counted_and_left_out() -> None:
    found = row("y", "mul", "fp16", torch.tensor([[0.0, -4.0, 0.5], [torch.inf, torch.nan, 2.0]]))
    assert found == ValueStatistics("y", "mul", "fp16", (2, 3), -4.0, 2.0, 6.5 / 4, 0.5, 2)


@pytest.mark.parametrize("tensor", [torch.full((3,), torch.nan), torch.zeros(0)])
def test_nothing_finite(tensor: torch.Tensor) -> None:
    found = row("y", "mul", "fp16", tensor)
    assert (found.minimum, found.maximum, found.mean_magnitude, found.smallest) == (None,) * 4
    assert found.not_finite == len(tensor)


def test_integers_and_zeros() -> None:
    assert row("y", "shape", "int32", torch.tensor([3, -7], dtype=torch.int32)).minimum == -7
    assert row("y", "less", "bool", torch.tensor(True)).maximum == 1
    assert row("y", "mul", "fp16", torch.zeros(2)).smallest is None


@pytest.fixture
def package(save_program: Save) -> Path:
    """(x / 100)^2 overflows for nothing; x^2 does for 300."""
    from coremltools.converters.mil import Builder

    return save_program(lambda x: Builder.sqrt(x=Builder.square(x=x), name="end"), "FLOAT16", x=(1, 2))


def test_every_result_has_a_row(package: Path) -> None:
    found = Statistics()
    outputs = Program.open(package).run(found, x=np.array([[3.0, 300.0]], np.float32))
    assert [each.operation for each in found.rows] == ["cast", "square", "sqrt", "cast"]
    square = found.rows[1]
    assert (square.dtype, square.shape, square.maximum, square.not_finite) == ("fp16", (1, 2), 9.0, 1)
    assert found.rows[-1].output in outputs and found.rows[-1].dtype == "fp32"
    assert [each.not_finite for each in largest_first(found.rows)] == [1, 1, 1, 0]


def test_observing_changes_nothing_and_sees_what_is_before_rounding(package: Path) -> None:
    program, x = Program.open(package), np.array([[1.2345678, 0.1]], np.float32)
    seen: list[tuple[str, Any, Any, Any]] = []

    def observe(instruction: Any, operands: Any, exact: Any, stored: Any) -> None:
        seen.append((instruction.operation, operands["x"].clone(), exact[0].clone(), stored[0].clone()))

    observed, alone = program.run(observe, x=x), program.run(x=x)
    for name, value in alone.items():
        np.testing.assert_array_equal(observed[name], value)
    for operation, operand, exact, stored in seen:
        if operation == "square":
            assert torch.equal(exact, operand.square()) and torch.equal(stored, exact.half().float())
            assert not torch.equal(stored, exact)


def test_random_inputs_are_of_the_signature() -> None:
    specs = [("a", "float16", (2, 3)), ("b", "int32", (1,)), ("c", "image", (4, 5, 3))]
    found = random_arrays(tuple(TensorSpec(*spec) for spec in specs), 1)
    assert [(array.dtype.name, array.shape) for array in found.values()] == [
        ("float16", (2, 3)),
        ("int32", (1,)),
        ("uint8", (4, 5, 3)),
    ]
    again = random_arrays((TensorSpec(*specs[0]),), 1)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again["a"], found["a"])


def test_the_command(package: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", x=np.array([[3.0, 300.0]], np.float32))
    words = ["statistics", str(package), "--inputs", str(tmp_path / "inputs.npz")]
    result = CliRunner().invoke(app, [*words, "--largest", "2"])
    assert result.exit_code == 0, result.output
    assert "square" in result.output and "inf" not in result.output
    rows = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [each["not_finite"] for each in rows] == [0, 1, 1, 1]
    assert len(json.loads(CliRunner().invoke(app, [*words, "--json", "--largest", "2"]).stdout)) == 2


def test_a_file_that_holds_no_arrays_is_refused(package: Path, tmp_path: Path) -> None:
    (tmp_path / "inputs.npz").write_text("nothing")
    result = CliRunner().invoke(app, ["statistics", str(package), "--inputs", str(tmp_path / "inputs.npz")])
    assert isinstance(result.exception, ExportError)
    assert "expected arrays in a .npz file" in str(result.exception)
