"""Captions as people type them: the label with an article, a style as an adjective, the picture's main colour.

The stored captions are "red apple, 3d" and keywords; a model that saw no others draws "a red apple" worse.  The colour
is measured on the picture, so it is true in every style.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from mobile_diffusion.data.dataset import Sample, captions

LABEL_FORMS = 6
"""Captions at the beginning of the list that say the label; the first is that of `captions`."""
EXAMPLES = {
    "red": ((220, 30, 40), (170, 25, 35), (245, 65, 65)),
    "orange": ((255, 140, 30), (235, 115, 30), (255, 165, 60)),
    "yellow": ((255, 215, 50), (250, 195, 30), (255, 225, 120), (240, 185, 60)),
    "green": ((60, 160, 60), (140, 200, 70), (30, 100, 50), (0, 170, 110)),
    "blue": ((40, 110, 220), (90, 180, 240), (30, 60, 130), (60, 140, 255)),
    "purple": ((130, 60, 180), (90, 50, 120), (160, 120, 220), (70, 45, 95)),
    "pink": ((255, 130, 180), (255, 180, 190), (230, 60, 140), (250, 150, 160)),
    "brown": ((130, 80, 50), (90, 55, 40), (165, 105, 70), (110, 65, 60)),
    "grey": ((130, 130, 130), (185, 185, 190), (90, 95, 100), (215, 210, 220)),
    "black": ((25, 25, 30), (45, 42, 50)),
}
"""sRGB values of each name; a pixel has the name of the nearest one."""
NAMES = tuple(name for name, values in EXAMPLES.items() for _ in values)
COLOURS = frozenset({*EXAMPLES, "white", "gray"})
BACKGROUND = 240
"""Pixels whose least channel is at least this are background."""
LEAST_SHARE = 0.5
"""Of the picture's pixels without the background: with less, no colour is the main one."""


def oklab(colours: np.ndarray) -> np.ndarray:
    """sRGB 0..255 (N, 3) -> Oklab (N, 3), in which distances are those that people see (Ottosson 2020)."""
    scaled = colours / 255.0
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [[0.4122214708, 0.2119034982, 0.0883024619], [0.5363325363, 0.6806995451, 0.2817188376],
         [0.0514459929, 0.1073969566, 0.6299787005]]
    )  # fmt: skip
    return np.cbrt(cones) @ np.array(
        [[0.2104542553, 1.9779984951, 0.0259040371], [0.7936177850, -2.4285922050, 0.7827717662],
         [-0.0040720468, 0.4505937099, -0.8086757660]]
    )  # fmt: skip


def main_colour(picture: np.ndarray) -> str | None:
    """The name of the colour that covers most of a picture uint8 (H, W, 3) on white; None when none covers half."""
    pixels = picture[::4, ::4].reshape(-1, 3)
    pixels = pixels[pixels.min(-1) < BACKGROUND]
    examples = oklab(np.array([value for values in EXAMPLES.values() for value in values]))
    distances = np.square(oklab(pixels)[:, None] - examples).sum(-1)  # (N, examples)
    counts = Counter(NAMES[index] for index in distances.argmin(-1))
    name, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return name if count and count >= LEAST_SHARE * len(pixels) else None


def typed_captions(sample: Sample, picture: np.ndarray) -> list[str]:
    """`LABEL_FORMS` forms of the label, then a caption per keyword with the style.

    For a red apple: "red apple, 3d", "red apple", "a red apple", "3d red apple", "3d emoji of a red apple",
    "red apple in 3d style", "fruit, 3d" and so on; the last form of "frog" is "a green frog, 3d".
    """
    label, style, colour = sample.label, sample.style, main_colour(picture)
    named = with_article(label)
    coloured = colour is not None and not COLOURS & set(re.findall(r"\w+", label.lower()))
    last = f"{with_article(f'{colour} {label}')}, {style}" if coloured else f"{label} in {style} style"
    forms = [captions(sample)[0], label, named, f"{style} {label}", f"{style} emoji of {named}", last]
    assert len(forms) == LABEL_FORMS
    return forms + [f"{word}, {style}" for word in sample.keywords]


def with_article(words: str) -> str:
    """The words with "a" or "an"; without, if they look like a plural."""
    if words.endswith("s") and not words.endswith(("ss", "us")):
        return words
    return f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"
