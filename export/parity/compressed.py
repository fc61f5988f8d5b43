"""How far compressed weights may take a program from PyTorch with its original weights.

These limits are about loss, not about faults: each compressed weight is checked by itself before a package exists
(export/coreml/compress/verify.py).  The limits are about 10 dB below what the emoji model reached in both layouts.
They refuse a model that has too few bits, or one whose weights are in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted


@dataclass(frozen=True)
class Loss:
    """Least dB per check, for the checks that depend on the U-Net's weights."""

    denoise: float
    prediction: float
    """For an unguided output."""
    free_running: float
    picture: float
    ssim: float
    gave: str
    """What was measured: benchmarks/coreml/variants.py."""


LOSSES: Mapping[int, Loss] = {
    8: Loss(34, 36, 14, 22, 0.7, "8 bits gave 31 (with guidance), 25 free running, pictures 34"),
    6: Loss(26, 25, 12, 20, 0.6, "6 bits gave 21 (with guidance), 24 free running, pictures 34"),
    4: Loss(14, 13, 4, 13, 0.4, "4 bits gave 9 (with guidance), 13 free running, pictures 23"),
    3: Loss(9, 9, 2, 10, 0.3, "between the figures of 4 and 2 bits"),
    2: Loss(5, 6, 1, 8, 0.2, "2 bits gave 1 (with guidance), 4 free running, pictures 14: recognisable at most"),
}
"""Bits per weight of the U-Net -> the limits."""
TEXT, DECODER = 12.0, 30.0
"""For the stages that keep 8 bits; 22 and 59 dB were measured."""


def bits_of(compression: str) -> int:
    """The key in LOSSES for the name of a recipe or plan, such as "palettize-6" or "mixed-4.5".

    Raises:
        ExportError: the name has no number of bits, or fewer than 2.
    """
    number = re.search(r"\d+", compression)
    known = [bits for bits in LOSSES if number is not None and bits <= int(number[0])]
    if not known:
        raise ExportError(
            f"compression: expected a name with 2 bits or more, got {quoted(compression)}; choose another"
        )
    return max(known)
