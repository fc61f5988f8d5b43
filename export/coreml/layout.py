"""How a program is laid out: its operations counted, and checked against the layout that was asked for.

Read from the specification alone (structure.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.coreml.options import NEURAL_ENGINE
from export.coreml.structure import nodes
from mobile_diffusion.errors import ExportError

MAX_RANK = 4
"""Axes of a tensor on the Neural Engine."""
GATHERS = frozenset({"gather", "gather_along_axis", "gather_nd"})
ABSENT = frozenset({"linear", "matmul", "layer_norm"})
"""Operations of the GPU's layout, which work on the last axis."""
EMBEDDING = "encode_text"
"""The stage with one gather in every layout: the words' embedding."""


@dataclass(frozen=True)
class Layout:
    """What a program is made of."""

    operations: Mapping[str, int]
    """How often each operation occurs, constants left out."""
    rank: int
    """The most axes that a computed tensor has."""
    dynamic: tuple[str, ...]
    """Computed values of which an axis is not known before the program runs."""

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self.operations.values())

    @property
    def gathers(self) -> int:
        """Operations that read where an index says."""
        return sum(self.operations.get(name, 0) for name in GATHERS)


def layout_of(spec: Any) -> Layout:
    """The operations of a specification's main function."""
    computed = [node for node in nodes(spec) if node.operation != "const"]
    shapes = {name: shape for node in computed for name, shape in node.shapes.items()}
    return Layout(
        dict(Counter(node.operation for node in computed).most_common()),
        max(map(len, shapes.values()), default=0),
        tuple(name for name, shape in shapes.items() if None in shape),
    )


def check_layout(spec: Any, layout: str, stage: str) -> None:
    """ExportError unless the program's shapes are static and, for the Neural Engine, its layout is the engine's."""
    found = layout_of(spec)
    if found.dynamic:
        raise ExportError(f"{stage}: expected static shapes, got an axis of unknown size in {found.dynamic[0]!r}")
    if layout != NEURAL_ENGINE:
        return
    if found.rank > MAX_RANK:
        raise ExportError(f"{stage}: expected tensors of at most {MAX_RANK} axes, got one of {found.rank}")
    if found.gathers > (stage == EMBEDDING):
        raise ExportError(f"{stage}: expected no gather but that of the words' embedding, got {found.gathers}")
    wrong = sorted(ABSENT & found.operations.keys())
    if wrong:
        raise ExportError(f"{stage}: expected convolutions and einsums only, got operation {wrong[0]!r}")
