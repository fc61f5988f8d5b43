"""Runs `.aimodel` programs with Apple's runtime, in a process of its own (process.py), where compiled files are, too.

Nothing here imports torch, so the process starts in half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from export.coreai.asset import check_asset
from export.coreai.program import CompiledProgram, open_program
from export.coreai.sums import Sums
from export.coreai.toolchain import check
from export.runners.process import PATIENCE_S, Process
from export.runners.runner import check_stage, check_threads

FUNCTION = "main"
"""Name of the function in our assets."""


@dataclass(frozen=True)
class CoreAIRunner:
    """Apple's runtime on one thread of this computer; for parity and previews, not for times on a phone."""

    process: Process
    stages: Mapping[str, str]
    """Stage -> path of its asset."""
    name: ClassVar[str] = "coreai"

    @classmethod
    def load(
        cls,
        folder: Path,
        artifacts: Mapping[str, str],
        threads: int = 1,
        sums: Sums = Sums.FLOAT32,
        inside: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> CoreAIRunner:
        """Open the asset of every stage (stage -> path relative to `folder`).

        `threads` has no effect, because the runtime uses one.  With `inside`, `run` returns the last float value of
        every torch module instead of the outputs.

        Raises:
            ExportError: Apple's packages are missing; an asset is damaged or of another tool or has other functions;
                there is no room for compiled files; or the runtime does not answer within `patience_s`, or dies.
            ConfigError: an impossible number of threads.
        """
        check_threads(threads)
        check()
        for path in artifacts.values():
            check_asset(folder / path)
        programs = {stage: ((folder / path).resolve(), FUNCTION) for stage, path in artifacts.items()}
        process = Process.start("Core AI", partial(open_programs, programs, sums, inside), patience_s)
        process.receive("opening " + ", ".join(artifacts))
        return cls(process, dict(artifacts))

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        check_stage(stage, self.stages)
        return dict(self.process.call(stage, arrays))


def open_programs(
    programs: Mapping[str, tuple[Path, str]], sums: Sums, inside: bool, work: Path
) -> Callable[[str, Mapping[str, Any]], Any]:
    """Open the asset and function of every stage; returns what runs one of them.  Runs in the other process."""
    opened: dict[str, CompiledProgram] = {
        stage: open_program(path, stage, function, work, sums, inside) for stage, (path, function) in programs.items()
    }

    def run(stage: str, arrays: Mapping[str, Any]) -> Any:
        return opened[stage].values_inside(arrays) if inside else opened[stage].run(arrays)

    return run
