"""Core ML packages as folders: written once, without copies.

coremltools writes the weights into a folder of its own, copies that into a package, and copies the package to where
it is to be saved.  At 860 million weights each copy takes 1.7 GB of disk and seconds.
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
"""Where a package of coremltools has its files."""
SPECIFICATION = CONTENT / "model.mlmodel"
WEIGHTS = CONTENT / "weights"


def save_specification(spec: Any, path: Path) -> None:
    """Replace the specification of a package."""
    (path / SPECIFICATION).write_bytes(spec.SerializeToString())


@contextmanager
def moved_weights(folder: Path) -> Iterator[None]:
    """While it is open, packages that coremltools creates get their weights by a move instead of a copy.

    Its temporary folder is put into `folder`, where the package is to be: a move needs the same file system, and a
    full disk is then that of the export.  The package's manifest is written by coremltools, for an empty folder.
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
