"""Files written in one step: afterwards a file holds all of its new content, or what it held before."""

from __future__ import annotations

import os
from pathlib import Path


def write_bytes(content: bytes, path: Path) -> None:
    """Replace `path` by `content`; on an error (a full disk, say) nothing of it is left behind."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
