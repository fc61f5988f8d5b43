"""A small bundle that needs no model."""

from __future__ import annotations

from pathlib import Path

from assets.golden.sample import FILES, sample_manifest
from export.bundle.bundle import write_bundle

__all__ = ["FILES", "sample_manifest", "write_sample"]


def write_sample(out: Path, force: bool = False, content: dict[str, bytes] | None = None) -> None:
    """Write a bundle with FILES, or other contents under the same names."""
    with write_bundle(out, lambda folder, files: sample_manifest(files), force) as folder:
        for path, data in (FILES | (content or {})).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
