"""Tensors that are made of sizes and bounds, against what coremltools computes for constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
INFERRED: list[tuple[str, dict[str, Any]]] = [
    ("fill", {"shape": [2, 3], "value": 1.5}),
    ("fill", {"shape": [2], "value": 7}),
    ("shape", {"x": CUBE}),
    ("fill_like", {"ref_tensor": CUBE, "value": np.int32(3)}),
    ("range_1d", {"start": np.int32(1), "end": np.int32(8), "step": np.int32(3)}),
    ("range_1d", {"start": np.float32(0), "end": np.float32(1), "step": np.float32(0.25)}),
    ("band_part", {"x": CUBE, "lower": 0, "upper": -1}),
    ("band_part", {"x": CUBE, "lower": -1, "upper": 0}),
    ("band_part", {"x": CUBE, "lower": 1, "upper": 1}),
]


@pytest.mark.parametrize(("operation", "operands"), INFERRED, ids=lambda value: str(value)[:24])
def test_as_coremltools_infers(operation: str, operands: dict[str, Any], equals_inference: Callable[..., None]) -> None:
    equals_inference(operation, **operands)
