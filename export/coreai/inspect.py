"""What a saved program consists of, as coreai-core reads it from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.coreai.toolchain import import_coreai


def storage(path: Path) -> dict[str, int]:
    """Return how many numbers of each type (Core AI's name, such as "Float16") the constants of an asset hold."""
    return dict(summary(path).storage_types)


def operations(path: Path) -> dict[str, int]:
    """Return the number of operations of each kind (Core AI's name, such as "conv2d") in an asset."""
    return dict(summary(path).operation_distribution)


def summary(path: Path) -> Any:
    """Return coreai-core's AIModelAssetSummary with statistics."""
    return import_coreai("coreai.authoring").AIModelAsset.load(str(path)).summary(include_statistics=True)
