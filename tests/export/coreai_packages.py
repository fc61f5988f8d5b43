"""Marks tests that need Apple's Core AI packages, which do not exist for every system."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_coreai = pytest.mark.skipif(
    find_spec("coreai") is None or find_spec("coreai_torch") is None,
    reason="Core AI's packages are not installed; they need glibc 2.34 or macOS",
)
