"""A runner that holds one stage at a time, like a phone with little memory, or a computer with a large model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from export.runners.memory import give_back_freed
from export.runners.runner import Runner


@runtime_checkable
class Unloads(Protocol):
    """A runner that can unload its stage, and loads it again when it is called."""

    def close(self) -> None:
        """Unload the stage and return its memory."""


def release(runner: Runner) -> None:
    """Unload the stage of a runner that holds one at a time; any other keeps its stages."""
    if isinstance(runner, Unloads):
        runner.close()


@dataclass
class SequentialRunner:
    """Loads a stage when it is called, and unloads the one before."""

    name: str
    threads: int
    load: Callable[[str], Runner]
    """Stage -> a runner of this stage."""
    _stage: str = field(default="", init=False)
    _runner: Runner | None = field(default=None, init=False)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        if self._runner is None or stage != self._stage:
            self.close()
            self._runner, self._stage = self.load(stage), stage
        return self._runner.run(stage, **arrays)

    def close(self) -> None:
        """Unload the stage and return its memory."""
        if self._runner is not None:
            self._runner, self._stage = None, ""
            give_back_freed()
