"""What the tests of several processes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch import distributed


@pytest.fixture(autouse=True)
def left_group() -> Iterator[None]:
    """A group of one that a test has made is not there for the next."""
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()
