"""What the server has, by the path of its address.  Nothing else can be asked for, so no path can leave a folder."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import MANIFEST
from export.serving.site import site_files

BUNDLE = "bundle/"
"""Begins the addresses of a bundle's files."""
ARCHIVE = "bundle.zip"
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/json",
}
"""Kinds of files that a system's own table may lack or hold wrongly."""


@dataclass(frozen=True)
class Served:
    """One file that is sent."""

    path: Path
    sha256: str
    """Names the content: a client that has it is sent nothing."""

    @property
    def kind(self) -> str:
        """The media type."""
        return TYPES.get(self.path.suffix) or mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"


def content_of(bundle: Bundle, archive: Path) -> Mapping[str, Served]:
    """Return everything that is sent for a bundle; `archive` is the bundle as a zip file, for phones."""
    listed = {f"{BUNDLE}{each.path}": Served(bundle.path / each.path, each.sha256) for each in bundle.manifest.files}
    others = {**site_files(), f"{BUNDLE}{MANIFEST}": bundle.path / MANIFEST, ARCHIVE: archive}
    return {**listed, **{address: Served(path, file_hash(path)) for address, path in others.items()}}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
