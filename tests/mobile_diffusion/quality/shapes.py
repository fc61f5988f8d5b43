"""A small data set of coloured shapes, in the layout of the emoji one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mobile_diffusion.data import Sample
from mobile_diffusion.data.dataset import write_dataset

SIDE = 32
STYLES = ("3d", "flat", "noto")
CONCEPTS = {
    # label: (group, family, split)
    "red apple": ("food", "apple", "train"),
    "green apple": ("food", "apple", "train"),
    "pizza": ("food", "pizza", "train"),
    "lion": ("animals", "lion", "train"),
    "heart suit": ("symbols", "card suit", "train"),
    "koala": ("animals", "koala", "held-out"),
    "melon": ("food", "melon", "held-out"),
    "onion": ("food", "onion", "held-out"),
}


def shape(seed: int) -> Image.Image:
    """A rectangle of one colour on white."""
    generator = np.random.default_rng(seed)
    pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
    top, left = generator.integers(2, 12, 2)
    pixels[top : top + 16, left : left + 16] = generator.integers(0, 256, 3)
    return Image.fromarray(pixels)


def write_shapes(folder: Path) -> list[Sample]:
    """Every concept in three styles, written to disk; "pizza" is missing in flat."""
    samples: list[Sample] = []
    for style in STYLES:
        (folder / style).mkdir(parents=True)
        for number, (label, (group, family, split)) in enumerate(CONCEPTS.items()):
            if (label, style) == ("pizza", "flat"):
                continue
            image = f"{style}/{number}.png"
            shape(len(samples)).save(folder / image)
            words = (f"{label} thing",)
            identity = (f"{style}/{number}", style, str(number), "x", label, words, group, family, split)
            samples.append(Sample(*identity, "package", "1", "MIT", image, folder))  # type: ignore[arg-type]
    write_dataset(samples, folder)
    return samples
