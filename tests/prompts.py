"""Prompts of every script, for all tokenizers."""

from __future__ import annotations

import random


def scripts() -> list[str]:
    """Two strings of each block of 256 code points: a run, and characters apart."""
    texts = []
    for first in range(0, 0x110000, 256):
        points = [point for point in range(first, first + 256) if point and not 0xD800 <= point <= 0xDFFF]
        draw = random.Random(first)
        if points:
            texts += ["".join(map(chr, draw.sample(points, 24))), " ".join(map(chr, draw.sample(points, 12)))]
    return texts
