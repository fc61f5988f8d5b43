"""Downloads package archives with npm, checks them against a pinned SHA-512, and reads them without unpacking.

An archive gets its name only after its hash has been checked.  An interrupted download leaves nothing behind; what a
killed one leaves is removed by the next run (preparation.py).
Archives are read in memory, so no path inside one is ever used as a path on disk.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_diffusion.data.emoji_packages import EmojiPackage
from mobile_diffusion.errors import DataError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import scratch_folder
from mobile_diffusion.strict_json import parse_json

_log = logging.getLogger(__name__)

NPM_SECONDS = 600
"""Time limit of one download, in seconds."""


def file_sha512(path: Path) -> str:
    """SHA-512 of a file in Base64, as in npm's `integrity`."""
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def fetch(package: EmojiPackage, folder: Path) -> Path:
    """Download the package's archive to `folder`, unless an intact one is there, and return its path.

    Raises DataError when npm is not installed, the download fails, or the archive's hash is not the pinned one.
    """
    path = folder / package.archive
    if path.is_file():
        if file_sha512(path) == package.sha512:
            return path
        _log.warning("%s is damaged; fetching it again", path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path) as scratch:
            fetched = _pack(package, scratch)
            _check(package, fetched)
            os.replace(fetched, path)
    except OSError as error:
        raise DataError(
            f"expected to write {path}, got {error.strerror or error}; free space or change --out"
        ) from error
    return path


def _pack(package: EmojiPackage, folder: Path) -> Path:
    """Run `npm pack` into `folder`; return the archive's path, or raise DataError."""
    command = [
        "npm",
        "pack",
        "--loglevel=error",
        "--pack-destination",
        str(folder.resolve()),
        package.address,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
    except FileNotFoundError as error:
        raise DataError(
            f"expected npm to fetch {package.address}, got no npm on the PATH; install Node.js 18 or newer"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"expected npm to fetch {package.address}, got nothing in {NPM_SECONDS} s; check the network"
        ) from error
    path = folder / package.archive
    if done.returncode != 0 or not path.is_file():
        reason = _npm_reason(done.stderr or done.stdout) or f"exit status {done.returncode}"
        raise DataError(
            f"expected npm to fetch {package.address}, got {quoted(reason)}; check the network and npm's registry"
        )
    return path


def _npm_reason(output: str) -> str:
    """The first line of npm's output that explains the failure."""
    lines = [line.strip() for line in output.splitlines() if "warn" not in line]
    errors = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in lines if line]
    telling = [line for line in errors if line and not line.startswith(("code", "syscall", "errno"))]
    return (telling or errors or [""])[0][:200]


def _check(package: EmojiPackage, path: Path) -> None:
    """Raise DataError unless the file is the pinned archive."""
    got = file_sha512(path)
    if got != package.sha512:
        raise DataError(
            f"expected {package.address} with SHA-512 {package.sha512[:16]}..., got {got[:16]}...; "
            "the registry serves another file, use a trusted one"
        )


def read_members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield name (below package/) and content of every file in the archive whose name ends in `suffix`.

    Raises DataError when the archive is missing or damaged.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(suffix):
                    file = archive.extractfile(member)
                    if file is not None:
                        yield member.name.partition("/")[2], file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"expected a package archive at {path}, got {error}; delete it and fetch again") from error


def read_json(path: Path, name: str) -> Any:
    """Read the JSON file `name` (below package/) in the archive; raise DataError when it is missing or malformed."""
    content = dict(read_members(path, name)).get(name)
    try:
        return parse_json(content or b"")
    except ValueError as error:
        raise DataError(f"expected {name} in {path}, got {error}; delete it and fetch again") from error
