"""Constants that are read when they are used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from export.coreml.interpret.weights import Store, Weight, check_finite, held
from mobile_diffusion.errors import ExportError


@pytest.fixture
def counted() -> tuple[list[int], Callable[[], np.ndarray]]:
    """How often it was read, and how to read 100 numbers."""
    reads: list[int] = []

    def read() -> np.ndarray:
        reads.append(1)
        return np.arange(100, dtype=np.float16)

    return reads, read


@pytest.mark.parametrize(("room", "expected"), [(400, 1), (399, 3)])
def test_a_weight_is_kept_where_there_is_room(
    room: int, expected: int, counted: tuple[list[int], Callable[[], np.ndarray]]
) -> None:
    reads, read = counted
    weight = Weight("w", read, Store(room))
    assert not reads, "nothing is read before it is used"
    for _ in range(3):
        assert torch.equal(weight.tensor(), torch.arange(100.0))
    assert len(reads) == expected


def test_room_is_shared(counted: tuple[list[int], Callable[[], np.ndarray]]) -> None:
    reads, read = counted
    store = Store(700)
    first, second = Weight("a", read, store), Weight("b", read, store)
    for _ in range(2):
        first.tensor(), second.tensor()
    assert len(reads) == 1 + 2 and store.left == 300


def test_float32_is_not_copied() -> None:
    array, store = np.ones(100, np.float32), Store(1000)
    weight = Weight("w", lambda: array, store)
    assert weight.tensor().data_ptr() == array.ctypes.data
    assert weight.kept is None and store.left == 1000


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([1.5], np.float16), torch.float32),
        (np.array([-3], np.int8), torch.int32),
        (np.array([65535], np.uint16), torch.int32),
        (np.array(7, np.int32), torch.int32),
        (np.array([True]), torch.bool),
    ],
)
def test_how_numbers_are_held(array: np.ndarray, dtype: torch.dtype) -> None:
    got = held(array)
    assert got.dtype == dtype and got.shape == array.shape
    np.testing.assert_array_equal(got.numpy(), array)


def test_nan_is_refused_and_infinities_unless_they_are_allowed() -> None:
    check_finite("w", torch.full((4,), 3e38), False)  # whose sum is infinite
    check_finite("w", torch.tensor(torch.inf), False)
    check_finite("w", torch.tensor([0.0, -torch.inf]), True)
    with pytest.raises(ExportError, match=r"constant 'w': expected numbers, got NaN"):
        check_finite("w", torch.tensor([torch.inf, torch.nan]), True)
    with pytest.raises(ExportError, match=r"constant 'w': expected finite numbers, got 2 infinite numbers, -inf first"):
        check_finite("w", torch.tensor([0.0, -torch.inf, torch.inf]), False)
