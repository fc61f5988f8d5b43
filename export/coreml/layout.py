"""Counts a program's operations, and checks them against the requested layout.

Only the specification is read (structure.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.coreml.options import NEURAL_ENGINE
from export.coreml.structure import nodes
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

MAX_RANK = 4
"""Most axes of a tensor on the Neural Engine."""
GATHERS = frozenset({"gather", "gather_along_axis", "gather_nd"})
ABSENT = frozenset({"linear", "matmul", "layer_norm"})
"""Operations of the GPU's layout, which must be absent from the Neural Engine's: they work on the last axis."""
EMBEDDING = "encode_text"
"""The stage that has one gather in either layout: the word embedding."""


@dataclass(frozen=True)
class Layout:
    """Operations and shapes of a program."""

    operations: Mapping[str, int]
    """How often each operation occurs, without constants."""
    rank: int
    """The largest number of axes of a computed tensor."""
    dynamic: tuple[str, ...]
    """Names of computed values whose shape is not static."""

    @property
    def total(self) -> int:
        """The number of operations."""
        return sum(self.operations.values())

    @property
    def gathers(self) -> int:
        """The number of gather operations."""
        return sum(self.operations.get(name, 0) for name in GATHERS)


def layout_of(spec: Any) -> Layout:
    """Return the layout of a specification's main function."""
    computed = [node for node in nodes(spec) if node.operation != "const"]
    shapes = {name: shape for node in computed for name, shape in node.shapes.items()}
    return Layout(
        dict(Counter(node.operation for node in computed).most_common()),
        max(map(len, shapes.values()), default=0),
        tuple(name for name, shape in shapes.items() if None in shape),
    )


def check_layout(spec: Any, layout: str, stage: str) -> None:
    """Raise `ExportError` unless shapes are static and, for the Neural Engine, the program has its layout."""
    found = layout_of(spec)
    if found.dynamic:
        raise ExportError(f"{stage}: expected static shapes, got an axis of unknown size in {quoted(found.dynamic[0])}")
    if layout != NEURAL_ENGINE:
        return
    if found.rank > MAX_RANK:
        raise ExportError(f"{stage}: expected tensors of at most {MAX_RANK} axes, got one of {found.rank}")
    if found.gathers > (word_embeddings(spec) if stage == EMBEDDING else 0):
        raise ExportError(f"{stage}: expected no gather except that of the word embedding, got {found.gathers}")
    wrong = sorted(ABSENT & found.operations.keys())
    if wrong:
        raise ExportError(f"{stage}: expected convolutions and einsums only, got operation {quoted(wrong[0])}")


def word_embeddings(spec: Any) -> int:
    """The number of text encoders that a program's tokens (1, L), or (1, 2, L) of SDXL, are for."""
    shapes = [list(each.type.multiArrayType.shape) for each in spec.description.input if each.name == "tokens"]
    return max((shape[1] for shape in shapes if len(shape) == 3), default=1)
