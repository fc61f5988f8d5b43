"""Plants faults into a copy of a bundle, and makes every hash right again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.bundle.bundle import list_files


def rehash(bundle: Path) -> None:
    """Let the manifest list the files as they are now."""
    edit_json(bundle / "manifest.json", lambda values: values.update(files=[vars(each) for each in list_files(bundle)]))


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the values of a JSON file in place."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=1) + "\n")


def edit_text(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs in a file."""
    text = path.read_text()
    assert old in text, f"{path} has no {old}"
    path.write_text(text.replace(old, new))


def edit_bytes(path: Path, position: int, value: int) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    assert data[position] != value
    data[position] = value
    path.write_bytes(data)
