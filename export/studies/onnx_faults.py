"""The values inside an ONNX model, by torch module."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.onnx.inside import modules_of, values_inside
from export.onnx.lower import lower
from export.stages import ExportStage
from export.studies.departures import Arrays
from export.studies.faults.modules import enclosing

Values = Mapping[str, np.ndarray]


def inside(stage: ExportStage, file: Path, arrays: Arrays) -> tuple[Values, Values]:
    """Run the model of a stage, and the stage lowered again in float32; return the last value of each torch module."""
    modules = modules_of(stage)
    stored = _by_module(values_inside(file, arrays, modules), modules)
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        path = Path(folder) / lower(stage, Path(folder))
        return stored, _by_module(values_inside(path, arrays, modules), modules)


def _by_module(values: Values, modules: Mapping[str, str]) -> Values:
    """The last value of a module and of its parents, in the order in which they are computed."""
    found: dict[str, np.ndarray] = {}
    for name, value in values.items():
        for module in enclosing(modules[name]):
            found.pop(module, None)
            found[module] = value
    return found
