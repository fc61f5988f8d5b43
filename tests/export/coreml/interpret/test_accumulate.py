"""Sums in float16 against loops in numpy's float16, and against their bound in float64."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret import OPS
from export.coreml.interpret.accumulate import ACCUMULATED, PART, mean_over, product, running_sum

Run = Callable[..., tuple[np.ndarray, ...]]
Normal = Callable[..., np.ndarray]


def in_order(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x (M, K) y (K, N) with numpy's own float16 for the sums of parts and the running sum."""
    total = np.zeros((x.shape[0], y.shape[1]), np.float16)
    for first in range(0, x.shape[1], PART):
        part = x[:, first : first + PART].astype(np.float64) @ y[first : first + PART].astype(np.float64)
        total = total + part.astype(np.float16)
    return total


def halves(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.float16) for array in arrays]


def test_products_are_summed_in_order(interpret: Run, normal: Normal) -> None:
    x, weight = halves(normal(6, 200), normal(5, 200))
    expected = in_order(x, weight.T)
    operations: list[tuple[str, dict[str, Any]]] = [
        ("linear", {"x": x, "weight": weight}),
        ("matmul", {"x": x, "y": weight, "transpose_y": True}),
        ("einsum", {"values": (x[:, None].copy(), weight.T[:, None].copy()), "equation": "chw,whr->chr"}),
        ("conv", {"x": x[:, :, None], "weight": weight[:, :, None]}),
    ]
    for operation, operands in operations:
        got = interpret(operation, precision="fp16-accumulate", **operands)[0]
        np.testing.assert_array_equal(got.reshape(expected.shape), expected, err_msg=operation)


@pytest.mark.parametrize("size", [64, 1000, 20000])
def test_the_error_is_within_its_bound(size: int, normal: Normal) -> None:
    x, y = halves(normal(8, size), normal(size, 8))
    exact, sizes = (a.astype(np.float64) @ b.astype(np.float64) for a, b in ((x, y), (np.abs(x), np.abs(y))))
    got = product(torch.from_numpy(x).float(), torch.from_numpy(y).float()).numpy()
    error, bound = np.abs(got - exact), -(-size // PART) * 2.0**-10 * sizes
    assert (error <= bound).all()
    assert error.max() > np.abs(exact.astype(np.float16) - exact).max(), "one rounding at the end is better"


def test_a_running_sum_overflows_where_the_result_does_not(interpret: Run) -> None:
    x = np.repeat(np.array([[1000.0, -1000.0]], np.float16), 96, axis=1)
    weight = np.ones((1, 192), np.float16)
    assert interpret("linear", x=x, weight=weight)[0] == 0
    assert not np.isfinite(interpret("linear", precision="fp16-accumulate", x=x, weight=weight)[0]).any()
    assert not np.isfinite(interpret("reduce_sum", precision="fp16-accumulate", x=x, axes=[1])[0]).any()


def test_a_mean_overflows_only_where_the_result_does() -> None:
    x = torch.full((2, 3, 100000), 3.0)
    torch.testing.assert_close(mean_over(x, [0, 2]), torch.full((1, 3, 1), 3.0))


def test_integers_and_float32_are_summed_as_ever(interpret: Run, normal: Normal) -> None:
    whole = np.array([16777217, 1], np.int32)
    got = interpret("reduce_sum", precision="fp16-accumulate", x=whole, axes=[0])[0]
    np.testing.assert_array_equal(got, np.int32(16777218))
    x, weight = normal(2, 300), normal(3, 300)
    got, expected = (interpret("linear", precision=each, x=x, weight=weight) for each in ("fp16-accumulate", "float32"))
    np.testing.assert_array_equal(got, expected)


@pytest.fixture
def cases(normal: Normal) -> dict[str, dict[str, Any]]:
    """Operands of every operation that sums."""
    x, channels = normal(2, 40, 6, 7), normal(40)
    scores = {"query": normal(2, 9, 64), "key": normal(2, 70, 64), "value": normal(2, 70, 8)}
    reduced = {"x": np.abs(x), "axes": [0, 1, 2], "keep_dims": True}
    found: dict[str, dict[str, Any]] = {
        "conv": {"x": x, "weight": normal(6, 20, 3, 2), "bias": normal(6), "groups": 2, "pad_type": "same"},
        "conv_transpose": {"x": x, "weight": normal(40, 3, 3, 2), "bias": normal(3), "strides": [2, 1]},
        "einsum": {"values": (normal(2, 3, 4, 70), normal(2, 70, 4, 5)), "equation": "nchw,nwhu->nchu"},
        "instance_norm": {"x": x, "gamma": channels, "beta": channels},
        "l2_norm": {"x": x},
        "layer_norm": {"x": x, "axes": [1], "gamma": channels, "beta": channels},
        "linear": {"x": normal(3, 300), "weight": normal(5, 300), "bias": normal(5)},
        "matmul": {"x": normal(2, 3, 300), "y": normal(2, 5, 300), "transpose_y": True},
        "scaled_dot_product_attention": {**scores, "attn_mask": normal(9, 70) > -1},
        "softmax": {"x": x, "axis": 1},
    }
    found |= {name: reduced for name in ACCUMULATED if name.startswith("reduce_")}
    return {name: {key: half_of(value) for key, value in operands.items()} for name, operands in found.items()}


def half_of(value: Any) -> Any:
    """Numbers in float16; what is none as it is."""
    if isinstance(value, tuple):
        return tuple(map(half_of, value))
    return value.astype(np.float16) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


@pytest.mark.parametrize("operation", ACCUMULATED)
def test_it_is_near_what_is_summed_in_float32(operation: str, cases: dict[str, dict[str, Any]], interpret: Run) -> None:
    opset = "iOS18" if operation.startswith("scaled") else "iOS17"
    got, wanted = (
        interpret(operation, opset, precision, **cases[operation])[0] for precision in ("fp16-accumulate", "float32")
    )
    np.testing.assert_allclose(got, wanted, atol=0.02 * np.abs(wanted).max())
    exact = interpret(operation, opset, "as-stored", **cases[operation])[0]
    assert np.square(got - wanted).sum() > np.square(exact - wanted).sum()


@pytest.mark.parametrize("operation", ACCUMULATED)
def test_parameters_are_the_same(operation: str) -> None:
    ours, whole = (inspect.signature(table[operation]).parameters for table in (ACCUMULATED, OPS))
    if operation == "conv_transpose":  # hands its others on
        assert list(ours)[:3] == list(whole)[:3]
    else:
        named = [[(each.name, each.default) for each in names.values()] for names in (ours, whole)]
        assert dict(named[0]) == dict(named[1])


def test_a_part_may_be_all() -> None:
    assert torch.equal(running_sum([torch.tensor([1.0, 70000.0])]), torch.tensor([1.0, torch.inf]))
