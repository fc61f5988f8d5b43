"""The pieces in which a bundle travels to a phone, so that no second copy of it lies there.

Dozens of small files go as one archive, because each transfer takes a second; a large program goes as it is.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

SMALL = 4 << 20
"""Bytes; a larger file travels alone."""


def split(files: Iterable[tuple[str, int]]) -> tuple[list[str], list[str]]:
    """Paths of small files, and of large ones; `files` has the path and the size of each."""
    small: list[str] = []
    large: list[str] = []
    for path, size in files:
        (small if size <= SMALL else large).append(path)
    return small, large


def archive(bundle: Path, paths: Sequence[str], place: Path) -> None:
    """Write files of a bundle to a tar file, by their paths in it."""
    with tarfile.open(place, "w", format=tarfile.GNU_FORMAT) as file:
        for path in paths:
            file.add(bundle / path, path, recursive=False)
