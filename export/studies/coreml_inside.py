"""The values inside a Core ML program, by torch module, as the interpreter computes them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.torch_sources import read_sources
from export.stages import ExportStage
from export.studies.departures import Arrays, Inside
from export.studies.faults.modules import ModuleValues

Values = Mapping[str, np.ndarray]


def inside_for(compute_units: str) -> Inside:
    """Returns what looks inside a package that was lowered for these compute units, which decide about its layout."""

    def inside(stage: ExportStage, file: Path, arrays: Arrays) -> tuple[Values, Values]:
        stored = values_inside(file, arrays, "as-stored")
        with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
            path = Path(folder) / lower(stage, Path(folder), CoreMLOptions(compute_units))
            return stored, values_inside(path, arrays, "float32")

    return inside


def values_inside(path: Path, arrays: Arrays, precision: str) -> dict[str, np.ndarray]:
    """Interpret a package once; return the last float value of each torch module, in the order of the program.

    Raises `ExportError` if the package is damaged or cannot be interpreted.
    """
    package = CoreMLPackage.open(path)
    values = ModuleValues(read_sources(package.spec), halved=False)
    program = Program.open(path, precision)
    program.run(values, **{spec.name: arrays[spec.name] for spec in program.inputs})
    ordered = sorted(values.found.items(), key=lambda item: (item[1].position, -len(item[0])))
    return {module: value.tensor.numpy() for module, value in ordered}
