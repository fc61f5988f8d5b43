"""What a recipe must know of a weight, whatever the format of its program."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LEAST_NUMBERS = 2048
"""Numbers up to which a weight is not compressed, because its tables would cost as much as they save."""


@dataclass(frozen=True)
class Weight:
    """One compressible weight."""

    name: str
    """Its name in the program; programs of one checkpoint differ in prefixes and suffixes (plan.py)."""
    shape: tuple[int, ...]
    output_axis: int
    input_axis: int
    grouped: bool = field(default=False, kw_only=True)
    """Whether the weight belongs to a grouped convolution."""

    @property
    def count(self) -> int:
        """How many numbers the weight has."""
        return math.prod(self.shape)
