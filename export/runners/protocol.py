"""What every way of running an artifact has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from export.stages import TensorSpec
from mobile_diffusion.errors import ConfigError, ExportError

MOST_THREADS = 256
"""As the C++ runner and the command line have it."""


class Runner(Protocol):
    """Runs stages, on PyTorch or from artifacts; all are interchangeable in pipeline, parity and latency."""

    @property
    def name(self) -> str:
        """For tables: "torch", "xnnpack", "onnx", ..."""

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name; raises `ExportError` unless `arrays` are exactly its inputs."""


def check_arrays(stage: str, inputs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The arrays in the order of `inputs`, contiguous; raises `ExportError` where one does not fit."""
    names = [spec.name for spec in inputs]
    if set(names) != set(arrays):
        raise ExportError(f"{stage}: expected the inputs {', '.join(names)}, got {', '.join(arrays) or 'none'}")
    for spec in inputs:
        dtype, shape = _describe(arrays[spec.name])
        if (dtype, shape) != (spec.dtype, tuple(spec.shape)):
            raise ExportError(f"{stage}: expected {spec.name} as {spec.dtype} {tuple(spec.shape)}, got {dtype} {shape}")
    return [np.ascontiguousarray(arrays[name]) for name in names]


def check_threads(count: int) -> None:
    """Raise `ConfigError` unless `count` is a whole number that a pool of threads can have."""
    if type(count) is not int or not 1 <= count <= MOST_THREADS:
        raise ConfigError(f"threads: expected a whole number from 1 to {MOST_THREADS}, got {count!r}")


def check_stage(stage: str, known: Mapping[str, object]) -> None:
    """Raise `ExportError` unless the runner has the stage."""
    if stage not in known:
        raise ExportError(f"expected a stage of {', '.join(known)}, got {stage!r}")


def _describe(value: object) -> tuple[str, tuple[int, ...]]:
    array = value if isinstance(value, np.ndarray) else None
    return (str(array.dtype), array.shape) if array is not None else (type(value).__name__, ())
