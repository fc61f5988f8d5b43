"""Element-wise operations against numpy, and against what coremltools computes for constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.coreml.interpret.elementwise import BINARY, UNARY
from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[np.ndarray, ...]]
VALUES = np.array([-3.0, -1.5, -0.5, -0.0, 0.25, 1.0, 2.5, 6.5], np.float32)
POSITIVE = np.abs(VALUES) + np.float32(0.125)
SPECIAL = {
    "acos": VALUES / 8,
    "asin": VALUES / 8,
    "atanh": VALUES / 8,
    "logical_not": np.array([True, False]),
    "sqrt": POSITIVE,
}


@pytest.mark.parametrize("operation", sorted(UNARY))
def test_unary(operation: str, interpret: Run, infer: Run) -> None:
    x = SPECIAL.get(operation, VALUES)
    np.testing.assert_allclose(interpret(operation, x=x), infer(operation, x=x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("operation", sorted(set(BINARY) - {"logical_and", "logical_or", "logical_xor"}))
def test_binary_broadcasts(operation: str, interpret: Run, infer: Run) -> None:
    operands = {"x": VALUES.reshape(2, 4), "y": np.array([[2.0], [3.0]], np.float32)}
    got, expected = interpret(operation, **operands)[0], infer(operation, **operands)[0]
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=2e-6)


@pytest.mark.parametrize("operation", ["logical_and", "logical_or", "logical_xor"])
def test_logical(operation: str, interpret: Run, infer: Run) -> None:
    operands = {"x": np.array([True, True, False, False]), "y": np.array([True, False, True, False])}
    np.testing.assert_array_equal(interpret(operation, **operands), infer(operation, **operands))


@pytest.mark.parametrize("operation", ["add", "sub", "mul", "floor_div", "mod", "maximum", "greater_equal"])
def test_integers_are_exact(operation: str, interpret: Run, infer: Run) -> None:
    operands = {"x": np.array([16777217, -7, 5], np.int32), "y": np.array([3, 2, -2], np.int32)}
    got, expected = interpret(operation, **operands)[0], infer(operation, **operands)[0]
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == (bool if operation == "greater_equal" else np.int32)


@pytest.mark.parametrize("operation", ["add", "sub", "mul", "real_div"])
def test_half_precision_is_rounded_as_ieee_does(operation: str, interpret: Run) -> None:
    x, y = (np.random.default_rng(seed).normal(size=500).astype(np.float16) for seed in (1, 2))
    numpy_operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "real_div": np.divide}[operation]
    np.testing.assert_array_equal(interpret(operation, x=x, y=y)[0].astype(np.float16), numpy_operation(x, y))


@pytest.mark.filterwarnings("ignore:overflow")
def test_half_precision_overflows(interpret: Run) -> None:
    x = np.array([255.0, 256.0, 300.0], np.float16)
    np.testing.assert_array_equal(interpret("square", x=x)[0], [65024.0, np.inf, np.inf])


WITH_PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("clip", {"x": VALUES, "alpha": -1.0, "beta": 2.0}),
    ("select", {"cond": VALUES > 0, "a": VALUES, "b": 2 * VALUES}),
    ("inverse", {"x": POSITIVE, "epsilon": 0.5}),
    ("log", {"x": POSITIVE, "epsilon": 0.5}),
    ("rsqrt", {"x": POSITIVE, "epsilon": 0.5}),
    ("rsqrt", {"x": POSITIVE}),
    ("inverse", {"x": POSITIVE}),
    ("log", {"x": POSITIVE}),
    ("threshold", {"x": VALUES, "alpha": 0.3}),
    ("quantize", {"input": VALUES, "scale": np.float32(0.05), "output_dtype": "int8", "zero_point": np.int8(3)}),
    ("cast", {"x": VALUES, "dtype": "int32"}),
    ("cast", {"x": VALUES, "dtype": "bool"}),
    ("cast", {"x": np.array([0, 65535], np.int32), "dtype": "uint16"}),
    ("cast", {"x": np.array([1.0009765625, 70000.0], np.float32), "dtype": "fp16"}),
]


@pytest.mark.parametrize(("operation", "operands"), WITH_PARAMETERS, ids=lambda value: str(value)[:24])
@pytest.mark.filterwarnings("ignore:overflow")
def test_operation_with_parameters(operation: str, operands: dict[str, Any], interpret: Run, infer: Run) -> None:
    np.testing.assert_allclose(interpret(operation, **operands)[0], infer(operation, **operands)[0], rtol=2e-6)


@pytest.mark.parametrize(("value", "dtype"), [(-1, "uint16"), (65536, "uint16"), (32768, "int16"), (256, "uint8")])
def test_a_cast_that_loses_the_number_is_refused(value: int, dtype: str, interpret: Run) -> None:
    with pytest.raises(ExportError, match=rf"cast: expected values from .* \({dtype}\), got {value}"):
        interpret("cast", x=np.array([value, 1], np.int32), dtype=dtype)


def test_dequantization_has_a_scale_for_every_channel(interpret: Run) -> None:
    x, scale = np.arange(-6, 6, dtype=np.int8).reshape(2, 2, 3), np.array([0.5, 0.25], np.float32)
    got = interpret("dequantize", input=x, scale=scale, zero_point=np.array([1, -2], np.int8), axis=1)[0]
    expected = (x.astype(np.float32) - np.array([1, -2])[:, None]) * scale[:, None]
    np.testing.assert_array_equal(got, expected)


def test_integers_wrap(interpret: Run) -> None:
    x = np.array([2**31 - 1, -(2**31)], np.int32)
    np.testing.assert_array_equal(interpret("add", x=x, y=np.array([1, -1], np.int32))[0], x[::-1])


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_division_of_integers_by_zero_is_refused(interpret: Run) -> None:
    with pytest.raises(ExportError, match=r"floor_div '.*': expected valid operands, got ZeroDivisionError"):
        interpret("floor_div", x=np.array([1], np.int32), y=np.array([0], np.int32))
