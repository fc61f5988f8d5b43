"""Files written in one step: afterwards a file holds all of its new content, or what it held before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write into, which takes its place at the end; on an error nothing of it is left."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_bytes(content: bytes, path: Path) -> None:
    """Replace `path` by `content`."""
    with replacing(path) as scratch:
        scratch.write_bytes(content)
