"""A bundle as one zip file, for phones: a bundle always gives the same bytes, so that a download can resume."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import MANIFEST
from mobile_diffusion.errors import ExportError
from mobile_diffusion.units import GB

OLDEST = (1980, 1, 1, 0, 0, 0)
"""The date of every entry: a zip file can hold none that is older."""


def write_archive(bundle: Bundle, out: Path) -> None:
    """Write all files of a bundle to `out`, stored, in order; raises `ExportError` where the disk lacks space."""
    needed = sum(each.size for each in bundle.manifest.files)
    free = shutil.disk_usage(out.parent).free
    if free < 1.01 * needed:
        raise ExportError(f"{out.parent}: expected {needed / GB:.1f} GB of free disk, got {free / GB:.1f}; free some")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in (*(each.path for each in bundle.manifest.files), MANIFEST):
            entry = zipfile.ZipInfo(path, OLDEST)
            entry.external_attr = 0o644 << 16
            entry.file_size = (bundle.path / path).stat().st_size
            with (bundle.path / path).open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
