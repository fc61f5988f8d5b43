"""How far compressed weights may take a program from PyTorch with its original weights.

These limits are about loss, not about faults: each compressed weight is checked by itself before a program exists
(verify.py of export/coreml/compress and export/coreai/compress).  The limits are about 10 dB below what the emoji model
reached in both layouts of Core ML and, within 0.4 dB of that, on Apple's Core AI runtime.  They refuse a model that has
too few bits, or one whose weights are in the wrong place.
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
    """What was measured of the prediction and the drawing: benchmarks/coreml/variants.py and coreai/compression.py."""


LOSSES: Mapping[int, Loss] = {
    8: Loss(34, 22, 12, 22, 0.7, "8 bits gave 32, 21 free running, pictures 31"),
    6: Loss(26, 12, 11, 20, 0.6, "6 bits gave 22, 26 free running, pictures 37"),
    4: Loss(14, 3, 4, 13, 0.4, "4 bits gave 10, 13 free running, pictures 25"),
    3: Loss(9, 2, 2, 10, 0.3, "between the figures of 4 and 2 bits"),
    2: Loss(5, 1, 1, 8, 0.2, "2 bits gave 1.3, 4 free running, pictures 16: recognisable at most"),
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
