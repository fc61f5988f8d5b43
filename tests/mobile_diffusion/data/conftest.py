"""A registry of tiny packages on a stand-in for npm, and a progress callback that remembers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.robustness.packages import Registry, publish_tiny
from mobile_diffusion.progress import Progress


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Tiny packages; the product's package tables point at them."""
    made = publish_tiny(tmp_path)
    monkeypatch.setenv("PATH", f"{made.tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for module, name, value in made.tables:
        monkeypatch.setattr(module, name, value)
    return made


@pytest.fixture
def steps() -> tuple[list[tuple[str, float]], Progress]:
    """A list, and a progress callback that fills it."""
    seen: list[tuple[str, float]] = []
    return seen, lambda what, part: seen.append((what, part))
