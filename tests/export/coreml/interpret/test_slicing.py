"""Parts of tensors against what coremltools computes for constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., tuple[np.ndarray, ...]]
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
INFERRED: list[tuple[str, dict[str, Any]]] = [
    ("slice_by_index", {"x": CUBE, "begin": [0, 1, 1], "end": [2, 3, 4], "stride": [1, 1, 2]}),
    ("slice_by_index", {"x": CUBE, "begin": [1, -2, 0], "end": [2, -1, 0], "end_mask": [False, False, True]}),
    ("slice_by_index", {"x": CUBE, "begin": [9, 0, 0], "end": [1, 2, 2], "begin_mask": [True, False, False]}),
    (
        "slice_by_index",
        {"x": CUBE, "begin": [1, 0, 0], "end": [0, 2, 2], "squeeze_mask": [True, False, False]},
    ),
    (
        "slice_by_index",
        {"x": CUBE, "begin": [0, 0, -1], "end": [2, 3, 0], "squeeze_mask": [False, False, True]},
    ),
    ("slice_by_index", {"x": CUBE, "begin": [0, 2, 0], "end": [2, 0, 4], "stride": [1, -1, 1]}),
    ("slice_by_size", {"x": CUBE, "begin": [0, 1, -2], "size": [1, -1, 2]}),
]


@pytest.mark.parametrize(("operation", "operands"), INFERRED, ids=lambda value: str(value)[:24])
def test_as_coremltools_infers(operation: str, operands: dict[str, Any], equals_inference: Callable[..., None]) -> None:
    equals_inference(operation, **operands)


UPDATES: list[dict[str, Any]] = [
    {"begin": [0, 1, 1], "end": [2, 3, 3], "update": -CUBE[:, :2, :2]},
    {"begin": [0, 0, 0], "end": [2, 3, 4], "stride": [1, 2, 2], "update": -CUBE[:, :2, :2]},
    {"begin": [1, 0, 0], "end": [0, 0, 0], "squeeze_mask": [True, False, False], "end_mask": [False, True, True]}
    | {"update": -CUBE[0]},
]


@pytest.mark.parametrize("operands", UPDATES, ids=lambda value: str(list(value))[:40])
def test_a_part_is_replaced(operands: dict[str, Any], interpret: Run, infer: Run) -> None:
    got, expected = (run("slice_update", "iOS18", x=CUBE, **operands)[0] for run in (interpret, infer))
    np.testing.assert_array_equal(got, expected, strict=True)
    assert (got < 0).sum() == operands["update"].size - (operands["update"] == 0).sum()
