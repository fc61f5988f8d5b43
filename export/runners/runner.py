"""What all ways to run an artifact have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.quoting import quoted

MOST_THREADS = 256
"""The same limit as in the C++ runner and the command line."""


class Runner(Protocol):
    """Runs stages, with PyTorch or from artifacts; all are interchangeable in drawing, parity and latency."""

    @property
    def name(self) -> str:
        """For tables: "torch", "xnnpack", "onnx", ..."""

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name; raises `ExportError` unless `arrays` are exactly its inputs."""


def check_threads(count: int) -> None:
    """Raise `ConfigError` unless `count` is a possible number of threads."""
    if type(count) is not int or not 1 <= count <= MOST_THREADS:
        raise ConfigError(f"threads: expected a whole number from 1 to {MOST_THREADS}, got {quoted(count)}")


def check_stage(stage: str, known: Mapping[str, object]) -> None:
    """Raise `ExportError` unless the runner has the stage."""
    if stage not in known:
        raise ExportError(f"expected a stage of {', '.join(known)}, got {quoted(stage)}")
