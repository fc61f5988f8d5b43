"""Measures the numbers that a program computes, per operation: range, magnitude, and how many are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.coreml.interpret.instruction import Instruction
from export.coreml.structure import IMAGE
from export.signatures import TensorSpec


@dataclass(frozen=True)
class ValueStatistics:
    """Statistics of one result of one operation, as stored."""

    output: str
    """Name of the result in the program."""
    operation: str
    dtype: str
    """MIL's name of the dtype."""
    shape: tuple[int, ...]
    minimum: float | None
    """Minimum of the finite numbers, to which the next three also refer; None if there are none."""
    maximum: float | None
    mean_magnitude: float | None
    smallest: float | None
    """Smallest magnitude other than 0."""
    not_finite: int
    """How many numbers are infinite or NaN."""


class Statistics:
    """An observer that keeps one row per result, and inside a loop one row per iteration."""

    def __init__(self) -> None:
        self.rows: list[ValueStatistics] = []

    def __call__(
        self,
        instruction: Instruction,
        operands: Mapping[str, Any],
        exact: tuple[Tensor, ...],
        stored: tuple[Tensor, ...],
    ) -> None:
        """Add rows for the stored results of an instruction."""
        for name, dtype, tensor in zip(instruction.outputs, instruction.dtypes, stored, strict=True):
            self.rows.append(row(name, instruction.operation, dtype, tensor))


def row(output: str, operation: str, dtype: str, tensor: Tensor) -> ValueStatistics:
    """Return the statistics of a tensor."""
    numbers = tensor.reshape(-1).float()
    finite = numbers[numbers.isfinite()]
    lost = numbers.numel() - finite.numel()
    shape = tuple(tensor.shape)
    if not finite.numel():
        return ValueStatistics(output, operation, dtype, shape, None, None, None, None, lost)
    sizes = finite.abs()
    present = sizes[sizes > 0]
    smallest = present.min().item() if present.numel() else None
    mean = sizes.mean(dtype=torch.float64).item()
    return ValueStatistics(
        output, operation, dtype, shape, finite.min().item(), finite.max().item(), mean, smallest, lost
    )


def largest_first(rows: list[ValueStatistics]) -> list[ValueStatistics]:
    """Return the rows sorted: first those with numbers that are not finite, then by magnitude, largest first."""

    def size(found: ValueStatistics) -> tuple[bool, float]:
        return found.not_finite > 0, max(abs(found.minimum or 0.0), abs(found.maximum or 0.0))

    return sorted(rows, key=size, reverse=True)


def random_arrays(inputs: tuple[TensorSpec, ...], seed: int) -> dict[str, NDArray[Any]]:
    """Return arrays for a program's inputs: normal random numbers, zeros for integers, random bytes for pictures."""
    generator = np.random.default_rng(seed)

    def array(spec: TensorSpec) -> NDArray[Any]:
        if spec.dtype == IMAGE:
            return generator.integers(0, 256, spec.shape).astype(np.uint8)
        if spec.dtype.startswith("float"):
            return generator.standard_normal(spec.shape).astype(spec.dtype)
        return np.zeros(spec.shape, spec.dtype)

    return {spec.name: array(spec) for spec in inputs}
