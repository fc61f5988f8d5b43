"""A package to damage and to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.package import SPECIFICATION
from tests.export.coreml.conversion import convert
from tests.export.coreml.interpret.specification import SIZE


@pytest.fixture(scope="session")
def original(ct: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a large weight, a small one, a mask and a bound."""
    from coremltools.converters.mil import Builder

    weight, bias, mask = np.full((SIZE, 64), 0.5, np.float32), np.full(SIZE, 0.25, np.float32), np.zeros((1, SIZE))

    def body(x: Any) -> Any:
        x = Builder.linear(x=x, weight=weight, bias=bias)
        x = Builder.minimum(x=Builder.maximum(x=x, y=mask.astype(np.float32) - 2), y=1000.0)
        return Builder.gelu(x=x, mode="EXACT")

    spec = Builder.TensorSpec(shape=(1, 64))
    program = Builder.program(input_specs=[spec], opset_version=ct.target.iOS17)(lambda x: body(x))
    path = tmp_path_factory.mktemp("bad") / "original.mlpackage"
    convert(ct, program, "FLOAT32", "iOS17").save(str(path))
    return path


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    found: Path = shutil.copytree(original, tmp_path / "model.mlpackage")
    return found


@pytest.fixture
def edit(package: Path, ct: Any) -> Callable[..., Path]:
    """`edit(change)`: the copy with its specification changed."""

    def apply(change: Callable[[Any], None]) -> Path:
        spec = ct.proto.Model_pb2.Model.FromString((package / SPECIFICATION).read_bytes())
        change(spec)
        (package / SPECIFICATION).write_bytes(spec.SerializeToString())
        return package

    return apply
