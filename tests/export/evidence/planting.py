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
    before, model = hashlib.sha256(file.read_bytes()).hexdigest(), onnx.load(file)
    (weight,) = (each for each in model.graph.initializer if each.name == name)
    weight.raw_data = change(numpy_helper.to_array(weight).copy()).tobytes()
    onnx.save(model, file)
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    for each in ("provenance.json", "report.html"):
        edit_text(bundle / each, before, after)
    rehash(bundle)
