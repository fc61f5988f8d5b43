"""An `.aimodel` as a folder of files, checked without Apple's packages.

The folder holds `main.mlirb` (the program and its weights), `main.hash` (its SHA-256) and `metadata.json`.  A file that
was cut off or changed does not have the hash.  What the program computes is found by running it
(program.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

SUFFIX = ".aimodel"
PROGRAM, HASH, METADATA = "main.mlirb", "main.hash", "metadata.json"
VERSION = "2.0"
"""The version of the format that coreai-core 1.0 writes."""
TOOL = "coreai-core"
_CHUNK = 1 << 20


def check_asset(path: Path) -> dict[str, Any]:
    """Return the metadata of an asset.

    Raises `ExportError` unless `path` is a whole asset of the version and the tool that this program knows.
    """
    if not path.is_dir() or path.suffix != SUFFIX:
        got = "a file" if path.is_file() else "another folder" if path.is_dir() else "nothing of that name"
        raise ExportError(f"{path}: expected an .aimodel folder, got {got}; export it again")
    for name in (PROGRAM, HASH, METADATA):
        if not (path / name).is_file():
            raise ExportError(f"{path}: expected an .aimodel with {name}, got none; export it again")
    metadata = read_metadata(path)
    version, producer = metadata.get("assetVersion"), str(metadata.get("producer", ""))
    if version != VERSION or producer.split()[:1] != [TOOL]:
        expected = f"an asset of version {VERSION} by {TOOL}"
        got = f"version {quoted(str(version))} by {quoted(producer)}"
        raise ExportError(f"{path}: expected {expected}, got {got}; export it again")
    if digest(path / PROGRAM) != (path / HASH).read_bytes():
        raise ExportError(f"{path}: expected a program with the hash in {HASH}, got another; export it again")
    return metadata


def read_metadata(path: Path) -> dict[str, Any]:
    """Return `metadata.json`; raises `ExportError` if it is not a JSON object."""
    try:
        values = parse_json((path / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path / METADATA}: expected JSON, got {type(error).__name__}; export it again") from None
    if not isinstance(values, dict):
        raise ExportError(f"{path / METADATA}: expected a JSON object, got {type(values).__name__}; export it again")
    return values


def digest(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.digest()
