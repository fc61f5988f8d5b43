"""Runs a runner whose runtime is native code in a process of its own, because a bundle may come from a stranger.

A program that was damaged on purpose can abort ExecuTorch and ONNX Runtime; it then ends one call with one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.runners.process import PATIENCE_S, Process
from export.runners.runner import Runner, check_stage
from export.runners.sequential import release

UNLOAD = ""
"""Sent in the place of a stage."""


@dataclass(frozen=True)
class IsolatedRunner:
    """Another runner, in another process."""

    process: Process
    stages: Mapping[str, str]
    """Stage -> path of its program."""
    name: str
    threads: int

    @classmethod
    def load(
        cls,
        load: Callable[[], Runner],
        stages: Mapping[str, str],
        name: str,
        threads: int,
        patience_s: float = PATIENCE_S,
    ) -> IsolatedRunner:
        """Let the other process load the programs.

        `load` is called there, so it must be possible to send it: a function of a module, or a `partial` of one.
        Raises what `load` raises, and `ExportError` if the process dies or does not answer within `patience_s`.
        """
        process = Process.start(name, partial(open_runner, load), patience_s)
        process.receive("opening " + ", ".join(stages))
        return cls(process, dict(stages), name, threads)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        check_stage(stage, self.stages)
        return dict(self.process.call(stage, arrays))

    def close(self) -> None:
        """Let the other process unload the stage, if it holds one at a time."""
        self.process.call(UNLOAD, {})


def open_runner(load: Callable[[], Runner], work: Path) -> Callable[[str, Mapping[str, Any]], Any]:
    """Load a runner; returns what runs one of its stages."""
    runner = load()

    def answer(stage: str, arrays: Mapping[str, Any]) -> Any:
        return release(runner) if stage == UNLOAD else runner.run(stage, **arrays)

    return answer
