"""Writes Core ML packages without copying the weights.

coremltools writes the weights to a temporary folder, copies them into a package, and copies the package to its final
place.  With 860 million weights each copy takes 1.7 GB of disk and several seconds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.coreml.toolchain import import_coremltools

CONTENT = Path("Data") / "com.apple.CoreML"
"""The folder in a package in which coremltools stores the files."""
SPECIFICATION = CONTENT / "model.mlmodel"
WEIGHTS = CONTENT / "weights"


def save_specification(spec: Any, path: Path) -> None:
    """Replace the specification of a package."""
    (path / SPECIFICATION).write_bytes(spec.SerializeToString())


@contextmanager
def moved_weights(folder: Path) -> Iterator[None]:
    """Context manager in which coremltools moves weights into a package instead of copying them.

    coremltools' temporary folder is created in `folder`, where the package will be, because a move needs the same file
    system.  coremltools still writes the package's manifest.
    """
    models = import_coremltools().models.model
    create, temporary = models._create_mlpackage, tempfile.tempdir

    def create_and_move(spec: Any, weights: str, package: str | None = None) -> str:
        with tempfile.TemporaryDirectory() as empty:
            created: str = create(spec, empty, package)
        for file in Path(weights).iterdir():
            os.replace(file, Path(created) / WEIGHTS / file.name)
        return created

    models._create_mlpackage, tempfile.tempdir = create_and_move, str(folder)
    try:
        yield
    finally:
        models._create_mlpackage, tempfile.tempdir = create, temporary
