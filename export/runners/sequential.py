"""A runner that holds one stage at a time: what a phone with little memory does, and a computer with a large model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from export.runners.memory import give_back_freed
from export.runners.runner import Runner


def release(runner: Runner) -> None:
    """Drop what a `SequentialRunner` has loaded; any other runner keeps its stages."""
    if isinstance(runner, SequentialRunner):
        runner.close()


@dataclass
class SequentialRunner:
    """Loads a stage when it is asked for, and drops the one before."""

    name: str
    threads: int
    load: Callable[[str], Runner]
    """Gives a runner of the one stage."""
    _stage: str = field(default="", init=False)
    _runner: Runner | None = field(default=None, init=False)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        if self._runner is None or stage != self._stage:
            self.close()
            self._runner, self._stage = self.load(stage), stage
        return self._runner.run(stage, **arrays)

    def close(self) -> None:
        """Drop what is loaded, and give its memory back."""
        if self._runner is not None:
            self._runner, self._stage = None, ""
            give_back_freed()
