"""Observes a program while it runs: faults by operation, the worst over all inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from export.coreml.interpret import Instruction
from export.coreml.torch_sources import source_of
from export.studies.faults.counts import ROUNDOFFS, Counts, all_finite, count_cancelled, count_result
from export.studies.faults.inside import INSIDE

MOVES = frozenset(
    {
        "concat",
        "depth_to_space",
        "expand_dims",
        "flatten2d",
        "gather",
        "gather_along_axis",
        "identity",
        "pad",
        "pixel_shuffle",
        "pixel_unshuffle",
        "reshape",
        "reverse",
        "select",
        "slice_by_index",
        "slice_by_size",
        "space_to_depth",
        "split",
        "squeeze",
        "stack",
        "tile",
        "transpose",
        "upsample_nearest_neighbor",
    }
)
"""Operations that only move numbers; their faults belong to the operation that computed the numbers."""


@dataclass(frozen=True)
class OperationFaults:
    """One arithmetic operation of a program."""

    position: int
    """Index in the order of the program."""
    name: str
    operation: str
    """MIL's name of its kind."""
    module: str | None
    """The torch module it came from; None if the package does not say."""
    counts: Counts
    """The worst over all inputs."""
    case: str
    """Name of the input on which it was worst."""
    leaves: bool = False
    """Whether on some input its error exceeds the bound and reaches an output (lockstep.py)."""


@dataclass
class FaultObserver:
    """Counts faults over several runs of a program; `case` names the input of a run."""

    sources: Mapping[str, str]
    """Name of a value to its module (export/coreml/torch_sources.py)."""
    roundoffs: Mapping[str, Mapping[str, float]]
    """Roundoff that the operands of sums carry (roundoff.py)."""
    case: str = ""
    found: dict[str, OperationFaults] = field(default_factory=dict)

    def __call__(
        self,
        instruction: Instruction,
        operands: Mapping[str, Any],
        exact: tuple[Tensor, ...],
        stored: tuple[Tensor, ...],
    ) -> None:
        """The interpreter calls this after every instruction."""
        if instruction.operation in MOVES or not set(instruction.dtypes) & set(ROUNDOFFS):
            return
        counts = self.count(instruction, operands, exact, stored)
        name, position = instruction.name, len(self.found)
        module = source_of(instruction.outputs, self.sources)
        new = OperationFaults(position, name, instruction.operation, module, counts, self.case)
        old = self.found.setdefault(name, new)
        case = self.case if severity(counts) > severity(old.counts) else old.case
        self.found[name] = replace(old, counts=old.counts.worst(counts), case=case)

    def count(
        self,
        instruction: Instruction,
        operands: Mapping[str, Any],
        exact: tuple[Tensor, ...],
        stored: tuple[Tensor, ...],
    ) -> Counts:
        """Faults of one instruction, the worst of its results."""
        counts = Counts()
        for dtype, wanted, got in zip(instruction.dtypes, exact, stored, strict=True):
            if dtype in ROUNDOFFS:
                found = count_result(wanted, got, lambda: all_finite(operands))
                counts = counts.worst(found if dtype == "fp16" else without_range(found))
        if instruction.operation in INSIDE and instruction.dtypes[0] == "fp16":
            counts = replace(counts, inside=INSIDE[instruction.operation](operands))
        roundoffs = self.roundoffs.get(instruction.outputs[0])
        if roundoffs is not None:
            counts = replace(counts, cancelled=count_cancelled(operands, exact[0], roundoffs))
        return counts


def without_range(counts: Counts) -> Counts:
    """Counts of a float32 result, to which float16's limits do not apply."""
    return replace(counts, overflow=0, underflow=0, subnormal=0, saturated=0)


def severity(counts: Counts) -> tuple[float, ...]:
    """The key that chooses the worst input of an operation."""
    return (counts.broken, counts.inside, counts.saturated, counts.cancelled, counts.underflow, counts.highest)
