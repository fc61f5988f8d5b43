"""The values inside a Core AI program, by torch module.

Apple's runtime logs them while it runs, and every operation of our assets names the torch module it came from
(export/coreai/sources.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.coreai.lower import lower
from export.coreai.options import CoreAIOptions
from export.coreai.sums import Sums
from export.runners.coreai import CoreAIRunner
from export.stages import ExportStage
from export.studies.departures import Arrays, Inside

Values = Mapping[str, np.ndarray]


def inside_with(sums: Sums) -> Inside:
    """Returns what looks inside an asset whose products of half matrices are added up so."""

    def inside(stage: ExportStage, file: Path, arrays: Arrays) -> tuple[Values, Values]:
        stored = values_inside(file.parent, stage.name, file.name, arrays, sums)
        with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
            path = lower(stage, Path(folder), CoreAIOptions("fp32"))
            return stored, values_inside(Path(folder), stage.name, path, arrays, Sums.FLOAT32)

    return inside


def values_inside(folder: Path, stage: str, file: str, arrays: Arrays, sums: Sums) -> dict[str, np.ndarray]:
    """Run a program once; return the last value of each torch module."""
    return CoreAIRunner.load(folder, {stage: file}, sums=sums, inside=True).run(stage, **arrays)
