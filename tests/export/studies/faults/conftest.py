"""Programs with faults that were put there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.coreml.conftest import ct, normal, save_program

__all__ = ["ct", "faulty", "normal", "save_program"]


@pytest.fixture
def faulty(save_program: Callable[..., Path]) -> Path:
    """A half-precision program of x (1, 8): squares, a difference, a quotient, a sum of infinities."""
    from coremltools.converters.mil import Builder as mb

    def function(x: Any) -> Any:
        square = mb.mul(x=x, y=x, name="square")  # 300 overflows, 1e-4 underflows
        back = mb.sub(x=mb.add(x=x, y=np.float32(1000.0), name="raised"), y=np.float32(1000.5), name="back")
        ratio = mb.real_div(x=x, y=mb.sub(x=x, y=x, name="nothing"), name="ratio")
        return mb.add(x=mb.sub(x=square, y=square, name="lost"), y=mb.mul(x=back, y=ratio, name="mixed"), name="y")

    return save_program(function, precision="FLOAT16", x=(1, 8))
