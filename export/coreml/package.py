"""Writes Core ML packages without copying the weights, and so that the same program gives the same bytes.

coremltools writes the weights to a temporary folder, copies them into a package, and copies the package to its final
place.  With 860 million weights each copy takes 1.7 GB of disk and several seconds.  Its manifest has random
identifiers, and protobuf writes maps in any order: here both are fixed.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.coreml.toolchain import import_coremltools

CONTENT = Path("Data") / "com.apple.CoreML"
"""The folder in a package in which coremltools stores the files."""
SPECIFICATION = CONTENT / "model.mlmodel"
WEIGHTS = CONTENT / "weights"


AUTHOR = CONTENT.name
ITEMS = {SPECIFICATION.name: "CoreML Model Specification", WEIGHTS.name: "CoreML Model Weights"}
"""The files that a package's manifest lists, with the descriptions that coremltools writes."""


def save_specification(spec: Any, path: Path) -> None:
    """Write or replace the specification of a package, with its maps in the order of their keys."""
    (path / SPECIFICATION).write_bytes(spec.SerializeToString(deterministic=True))


def write_package_manifest(path: Path) -> None:
    """Write or replace the manifest of a package; its identifiers follow from the names."""
    identifiers = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{AUTHOR}/{name}")) for name in ITEMS}
    entries = {
        identifiers[name]: {"author": AUTHOR, "description": text, "name": name, "path": f"{AUTHOR}/{name}"}
        for name, text in ITEMS.items()
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": identifiers[SPECIFICATION.name],
    }
    (path / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n", encoding="utf-8")


@contextmanager
def moved_weights(folder: Path) -> Iterator[None]:
    """Context manager in which coremltools moves weights into a package instead of copying them.

    coremltools' temporary folder is created in `folder`, where the package will be, because a move needs the same file
    system.
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
