"""How far rounded weights and activations may take a program from PyTorch in float32.

As in compressed.py the limits are about loss: they are about 10 dB below the worst that the emoji model reached
(benchmarks/android/precisions.py), and far above what a wrong scale, layout or weight leaves (at most 5 dB).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rounding:
    """Least dB per check, for one precision."""

    text: float
    denoise: float
    prediction: float
    """For an unguided output."""
    decoder: float
    """Further below what was measured: with random weights it gave 34 to 41."""
    free_running: float
    picture: float
    ssim: float
    gave: str
    """What was measured, with the model's guidance scale of 3."""


ROUNDINGS: Mapping[str, Rounding] = {
    "int8": Rounding(
        10, 24, 12, 25, 7, 16, 0.75, "int8 gave text 20, denoise 34 (prediction 21), decoder 44, 16 free running, 26"
    ),
    "w8a16": Rounding(
        34, 36, 22, 45, 23, 33, 0.95, "w8a16 gave text 44, denoise 46 (prediction 32), decoder 56, 33 free running, 43"
    ),
    "int8-dynamic": Rounding(
        10, 24, 21, 30, 11, 20, 0.8, "int8-dynamic gave text 20, denoise 34 (17), decoder 54, 21 free running, 31"
    ),
    "int4-dynamic": Rounding(
        10, 20, 18, 30, 4, 14, 0.7, "int4-dynamic gave text 20, denoise 30 (15), decoder 54, 13 free running, 24"
    ),
}
