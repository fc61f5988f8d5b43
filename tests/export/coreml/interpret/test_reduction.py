"""Reductions, running sums and sorting against numpy, and what coremltools computes for constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret.reduction import cumsum

Run = Callable[..., tuple[np.ndarray, ...]]
Normal = Callable[..., np.ndarray]
REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "reduce_l1_norm": lambda x, **how: np.abs(x).sum(**how),
    "reduce_l2_norm": lambda x, **how: np.sqrt(np.square(x).sum(**how)),
    "reduce_log_sum_exp": lambda x, **how: np.log(np.exp(x).sum(**how)),
    "reduce_log_sum": lambda x, **how: np.log(x.sum(**how)),
    "reduce_max": np.max,
    "reduce_mean": np.mean,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_sum": np.sum,
    "reduce_sum_square": lambda x, **how: np.square(x).sum(**how),
}


@pytest.mark.parametrize("operation", REDUCTIONS)
@pytest.mark.parametrize(("axes", "keep_dims"), [([1], True), ([0, -1], False), (None, False)])
def test_reduction(operation: str, axes: list[int] | None, keep_dims: bool, interpret: Run, normal: Normal) -> None:
    x = np.abs(normal(2, 3, 4))
    chosen = {} if axes is None else {"axes": axes}
    got = interpret(operation, x=x, keep_dims=keep_dims, **chosen)[0]
    expected = REDUCTIONS[operation](x, axis=None if axes is None else tuple(axes), keepdims=keep_dims)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_integer_sums_are_exact(interpret: Run) -> None:
    got = interpret("reduce_sum", x=np.array([16777217, 1], np.int32), axes=[0], keep_dims=True)[0]
    np.testing.assert_array_equal(got, np.array([16777218], np.int32), strict=True)


SORTED: list[tuple[str, dict[str, Any]]] = [
    ("reduce_argmax", {"axis": 1}),
    ("reduce_argmax", {"axis": 0, "keep_dims": True}),
    ("reduce_argmin", {"axis": -1}),
    ("argsort", {"axis": 1, "ascending": True}),
    ("argsort", {}),
    ("topk", {"k": 2, "axis": 1}),
    ("topk", {"k": 3, "axis": -1, "ascending": True}),
    ("cumsum", {"axis": 1}),
    ("cumsum", {"axis": 0, "reverse": True}),
]


@pytest.mark.parametrize(("operation", "operands"), SORTED, ids=lambda value: str(value)[:24])
def test_as_coremltools_infers(
    operation: str, operands: dict[str, Any], interpret: Run, infer: Run, normal: Normal
) -> None:
    x = normal(3, 4, 5)
    got, expected = interpret(operation, x=x, **operands), infer(operation, x=x, **operands)
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_type_of_indices_is_kept(interpret: Run, normal: Normal) -> None:
    x = normal(2, 5)
    np.testing.assert_array_equal(interpret("reduce_argmax", x=x, output_dtype="uint16")[0], x.argmax(-1))
    values, indices = interpret("topk", x=x, k=2, output_indices_dtype="uint16")
    np.testing.assert_array_equal(np.take_along_axis(x, indices, -1), values)
    (alone,) = interpret("topk", x=x, k=2, return_indices=False)
    np.testing.assert_array_equal(alone, values)


@pytest.mark.parametrize("reverse", [False, True])
def test_running_sum_without_the_own(reverse: bool) -> None:
    """Against the definition: coremltools' own inference of it raises."""
    got = cumsum(torch.tensor([[1, 2, 3, 4]]), torch.tensor(1), torch.tensor(True), torch.tensor(reverse))
    assert got.tolist() == [[9, 7, 4, 0] if reverse else [0, 1, 3, 6]]
