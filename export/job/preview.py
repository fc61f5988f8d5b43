"""A cheap preview of latents after each step: an affine map from their channels to red, green and blue.

Decoding at every step would cost as much as a step on some phones.  The coarse colours of a decoder are almost linear
in its latents.  So a map is fitted by least squares to the reference's last latents and their pictures, and the apps
show one pixel per latent pixel: rgb = bias + sum over channels of weight * latent, in float64 in the order of the
channels, clamped to [0, 1] and rounded like a picture.  The bundle holds it as `preview.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.parity.trajectories import Case, Trajectory
from mobile_diffusion.errors import BundleError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

PREVIEW_FILE = "preview.json"
COLOURED_CASES = tuple(
    Case(prompt, 3)
    for prompt in ("a green leaf", "a blue bird", "a yellow star", "a violet flower", "a brown bear", "a black cat")
)
"""Drawn for the fit in addition to the golden cases, whose pictures have few colours."""


@dataclass(frozen=True)
class Preview:
    """The content of `preview.json`."""

    weights: tuple[tuple[float, ...], ...]
    """For red, green and blue, one number per latent channel."""
    bias: tuple[float, float, float]

    def __call__(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Latents (C, h, w) -> red, green and blue (h, w, 3)."""
        rgb = np.empty((3, *latents.shape[1:]))
        for colour, (weights, bias) in enumerate(zip(self.weights, self.bias, strict=True)):
            rgb[colour] = bias
            for weight, channel in zip(weights, latents.astype(np.float64), strict=True):
                rgb[colour] += weight * channel
        pixels = np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
        return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def shrink(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """A picture (3, H, W) -> the means (3, height, width) of the pixels that belong to each latent pixel."""
    rows, columns = image.shape[1] // height, image.shape[2] // width
    parts = image[:, : rows * height, : columns * width].astype(np.float64)
    return parts.reshape(3, height, rows, width, columns).mean(axis=(2, 4))  # 3 dimensions -> 5 -> 3


def fit_preview(trajectories: Sequence[Trajectory], channels: int) -> Preview:
    """The affine map that best fits the trajectories' last latents, of C `channels`, to their pictures."""
    inputs, targets = [], []
    for trajectory in trajectories:
        latents = trajectory.states[-1][:channels].astype(np.float64)  # (C, h, w)
        small = shrink(trajectory.image[0], *latents.shape[1:])
        inputs.append(latents.reshape(channels, -1).T)  # (h * w, C)
        targets.append(small.reshape(3, -1).T)
    known = np.concatenate(inputs)
    known = np.concatenate((known, np.ones((len(known), 1))), axis=1)  # (n, C + 1)
    solved = np.linalg.lstsq(known, np.concatenate(targets), rcond=None)[0]  # (C + 1, 3)
    red, green, blue = solved[-1].tolist()
    return Preview(tuple(map(tuple, solved[:-1].T.tolist())), (red, green, blue))


def write_preview(folder: Path, preview: Preview) -> None:
    """Write `preview.json` into the folder of a bundle."""
    text = json.dumps(asdict(preview), allow_nan=False)
    (folder / PREVIEW_FILE).write_text(text + "\n", encoding="utf-8")


def read_preview(folder: Path) -> Preview:
    """Read `preview.json` from the folder of a bundle; raises `BundleError` if it is not a map of finite numbers."""
    path = folder / PREVIEW_FILE
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        if set(values) != {"weights", "bias"}:
            raise ValueError(f"fields {', '.join(sorted(values))}")
        rows, (red, green, blue) = values["weights"], values["bias"]
        numbers = (red, green, blue, *(number for row in rows for number in row))
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("something else than a finite number")
        if len({len(row) for row in rows}) != 1:
            raise ValueError("rows of different lengths")
        preview = Preview(tuple(tuple(row) for row in rows), (red, green, blue))
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        got = shortened(f"{type(error).__name__}: {error}")
        raise BundleError(f"{path}: expected a preview, got {got}; export the bundle again") from None
    return preview
