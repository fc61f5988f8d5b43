"""Entries by indices against what coremltools computes for constants, numpy and torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret.gathering import gather_nd
from export.coreml.interpret.operations import interpreted
from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[np.ndarray, ...]]
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
INFERRED: list[tuple[str, dict[str, Any]]] = [
    ("gather", {"x": CUBE, "indices": np.array([2, 0, 2], np.int32), "axis": 1}),
    ("gather", {"x": CUBE, "indices": np.array([[1, 0], [0, 1]], np.int32), "axis": 0}),
    ("gather", {"x": CUBE, "indices": np.int32(1), "axis": -1}),
    ("gather_along_axis", {"x": CUBE, "indices": np.array([[[2, 0, 1, 1]]] * 2, np.int32), "axis": 1}),
    ("gather", {"x": CUBE, "indices": np.array([[1, 0], [2, 2]], np.int32), "axis": 1, "batch_dims": 1}),
    ("gather", {"x": CUBE, "indices": np.array([[3], [0]], np.int32), "axis": 2, "batch_dims": 1}),
    ("gather", {"x": CUBE, "indices": np.array([1], np.int32)}),
    ("non_zero", {"x": np.array([[0.0, 2.0], [3.0, 0.0]], np.float32)}),
]


@pytest.mark.parametrize(("operation", "operands"), INFERRED, ids=lambda value: str(value)[:24])
def test_as_coremltools_infers(operation: str, operands: dict[str, Any], equals_inference: Callable[..., None]) -> None:
    equals_inference(operation, **operands)


@pytest.mark.parametrize(("operation", "wrong"), [("gather", -1), ("gather", 3), ("gather_along_axis", 3)])
def test_an_index_out_of_range_is_refused(operation: str, wrong: int) -> None:
    shape = (2,) if operation == "gather" else (1, 1, 1)
    indices = np.full(shape, wrong, np.int32)
    with pytest.raises(ExportError, match=f"{operation}: expected indices from 0 to 2, got {wrong}"):
        interpreted(operation, "x", "CoreML7")(torch.from_numpy(CUBE), torch.from_numpy(indices), axis=torch.tensor(1))


@pytest.mark.parametrize("operation", ["gather", "gather_along_axis"])
def test_indices_from_the_end_up_to_ios_16(operation: str, interpret: Run, infer: Run) -> None:
    indices = np.array([-1, 0], np.int32) if operation == "gather" else np.full((2, 1, 4), -1, np.int32)
    operands = {"x": CUBE, "indices": indices, "axis": 1}
    got, expected = (run(operation, "iOS16", **operands)[0] for run in (interpret, infer))
    np.testing.assert_array_equal(got, expected)


def test_places_on_several_axes(interpret: Run) -> None:
    indices = np.array([[1, 2], [0, 0]], np.int32)
    np.testing.assert_array_equal(interpret("gather_nd", x=CUBE, indices=indices)[0], CUBE[[1, 0], [2, 0]])
    each = np.array([[[2, 3]], [[0, 1]]], np.int32)
    got = interpret("gather_nd", x=CUBE, indices=each, batch_dims=1)[0]
    np.testing.assert_array_equal(got, [[CUBE[0, 2, 3]], [CUBE[1, 0, 1]]])
    with pytest.raises(ExportError, match=r"gather_nd: expected indices from 0 to 2, got 3"):
        gather_nd(torch.from_numpy(CUBE), torch.tensor([[0, 3]]))


MODES: dict[str, Callable[[np.ndarray, Any, np.ndarray], None]] = {
    "add": np.add.at,
    "div": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
    "mul": np.multiply.at,
    "sub": np.subtract.at,
}


@pytest.mark.parametrize("mode", MODES)
def test_updates_of_slices(mode: str, interpret: Run) -> None:
    indices = np.array([2, 0, 2], np.int32)
    updates = np.linspace(1, 9, 24, dtype=np.float32).reshape(2, 3, 4)
    got = interpret("scatter", data=CUBE, indices=indices, updates=updates, axis=1, mode=mode)[0]
    expected = CUBE.copy()
    MODES[mode](expected, (slice(None), indices), updates)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_updates_of_places(mode: str, interpret: Run) -> None:
    indices = np.array([[1, 2], [0, 0], [1, 2]], np.int32)
    updates = np.linspace(1, 9, 12, dtype=np.float32).reshape(3, 4)
    got = interpret("scatter_nd", data=CUBE, indices=indices, updates=updates, mode=mode)[0]
    expected = CUBE.copy()
    MODES[mode](expected, tuple(indices.T), updates)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_updates_add_unless_they_say_otherwise(interpret: Run) -> None:
    indices, updates = np.array([[[1], [0], [1]]] * 2, np.int32), np.ones((2, 3, 1), np.float32)
    got = interpret("scatter_along_axis", data=CUBE, indices=indices, updates=updates, axis=2)[0]
    expected = CUBE.copy()
    for row, place in enumerate([1, 0, 1]):
        expected[:, row, place] += 1
    np.testing.assert_array_equal(got, expected)
    got = interpret("scatter_along_axis", data=CUBE, indices=indices, updates=updates, axis=2, mode="update")[0]
    np.put_along_axis(expected := CUBE.copy(), indices, updates, axis=2)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis: int, interpret: Run) -> None:
    indices = np.array([2, 0], np.int32)
    got = interpret("one_hot", indices=indices, one_hot_vector_size=3, axis=axis)[0]
    expected = np.moveaxis(np.eye(3, dtype=np.int32)[indices], -1, axis)
    np.testing.assert_array_equal(got, expected, strict=True)
    got = interpret("one_hot", indices=indices, one_hot_vector_size=3, on_value=2.5, off_value=-1.0)[0]
    np.testing.assert_array_equal(got, [[-1, -1, 2.5], [2.5, -1, -1]])
