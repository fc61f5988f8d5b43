"""Runs Core ML packages on any machine, with our interpreter of the saved program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from export.coreml.interpret import Observer, Program
from export.coreml.structure import IMAGE
from export.rewrites.pixels import fractions
from export.runners.runner import check_stage
from export.runners.torch import torch_threads


@dataclass(frozen=True)
class CoreMLInterpreterRunner:
    """Float16 as in the packages; for parity and previews, not for estimating times on a phone."""

    programs: Mapping[str, Program]
    threads: int
    observers: Mapping[str, Observer] = field(default_factory=dict)
    """Stage -> what is called after each of its operations."""
    name: ClassVar[str] = "coreml-interpreter"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> CoreMLInterpreterRunner:
        """Open the package of every stage (stage -> path relative to `folder`)."""
        return cls({stage: Program.open(folder / path) for stage, path in artifacts.items()}, threads)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name; a picture that the program returns as an image is scaled to [0, 1]."""
        check_stage(stage, self.programs)
        program = self.programs[stage]
        with torch_threads(self.threads):
            outputs = program.run(self.observers.get(stage), **arrays)
        images = {spec.name for spec in program.outputs if spec.dtype == IMAGE}
        return {
            program.stage_names[name]: fractions(array) if name in images else array for name, array in outputs.items()
        }
