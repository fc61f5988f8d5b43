"""Plants faults into a copy of a bundle, and makes every hash right again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

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


def edit_weight(bundle: Path, name: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Change a weight of the ONNX model of `denoise`; every hash, in all files of the bundle, is right again."""
    file = bundle / "onnx" / "denoise.onnx"
    model = onnx.load(file)
    (weight,) = (each for each in model.graph.initializer if each.name == name)
    old = bytes(weight.raw_data)
    edit_program(bundle, "onnx/denoise.onnx", old, change(numpy_helper.to_array(weight).copy()).tobytes())


def edit_program(bundle: Path, program: str, old: bytes, new: bytes) -> None:
    """Replace bytes that occur once in a program of a bundle; every hash, in all its files, is right again."""
    before, after = edit_stored(bundle / program, old, new)
    for each in ("provenance.json", "report.html"):
        edit_text(bundle / each, before, after)
    rehash(bundle)


def edit_stored(program: Path, old: bytes, new: bytes) -> tuple[str, str]:
    """Replace bytes that occur once in a program, which may be a folder; returns the SHA-256 before and after."""
    files = [program] if program.is_file() else [each for each in program.rglob("*") if each.is_file()]
    (file,) = (each for each in files if old in each.read_bytes())
    data = file.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    changed = data.replace(old, new)
    file.write_bytes(changed)
    before, after = (hashlib.sha256(each).hexdigest() for each in (data, changed))
    return before, after
