"""Runs Core ML packages on any machine, through our interpreter of the saved program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from export.coreml.interpret import Program
from export.runners.protocol import check_stage
from export.runners.torch import torch_threads


@dataclass(frozen=True)
class CoreMLInterpreterRunner:
    """Float16 as stored in the packages; for parity and previews, not for timing a phone."""

    programs: Mapping[str, Program]
    threads: int
    name: ClassVar[str] = "coreml-interpreter"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> CoreMLInterpreterRunner:
        """Open the package of every stage (stage -> path relative to `folder`)."""
        return cls({stage: Program.open(folder / path) for stage, path in artifacts.items()}, threads)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The output of one stage by its name."""
        check_stage(stage, self.programs)
        program = self.programs[stage]
        with torch_threads(self.threads):
            outputs = program.run(**arrays)
        return {program.stage_names[name]: array for name, array in outputs.items()}
