"""What the tests of quality share: a small data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mobile_diffusion.data import Sample
from tests.mobile_diffusion.quality.shapes import write_shapes


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Sample]:
    """The samples of a data set of coloured shapes."""
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="session")
def shapes_folder(shapes: Sequence[Sample]) -> Path:
    """Its folder."""
    return shapes[0].folder
