"""Reads the files of a drawing: the picture that it starts from, the mask that keeps a part of it, and hints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mobile_diffusion.drawing import DrawSettings, Hint, Start
from mobile_diffusion.errors import PromptError
from mobile_diffusion.hint import check_hint_count
from mobile_diffusion.picture_file import open_picture


def open_start(
    picture: Path | None,
    strength: float | None,
    mask: Path | None,
    settings: DrawSettings,
    image_guidance: float | None = None,
) -> Start | None:
    """Read the start of a drawing and resize it to the model's size; None without a picture.

    The white part of the mask is redrawn, and so is a transparent one. Raises `PromptError` for a strength, a mask or
    a guidance without a picture, and `DataError` for a file that `open_picture` refuses.
    """
    if picture is None:
        for name, value in (("--strength", strength), ("--mask", mask), ("--image-guidance", image_guidance)):
            if value is not None:
                raise PromptError(f"{name}: expected --image with the picture to start from, got none")
        return None
    *_, height, width = settings.image_shape
    image = _open_image(picture, height, width)
    made = 1.0 if strength is None and mask is not None else strength
    return Start(image, made, None if mask is None else _open_mask(mask, settings), image_guidance)


def open_hints(pictures: Sequence[Path], scales: Sequence[float], settings: DrawSettings) -> list[Hint]:
    """Read the hints of ControlNets, each resized to the model's size as diffusers does; scales are 1 without any.

    Raises `PromptError` for another number of scales than of pictures, and `DataError` as `open_start`.
    """
    if scales and len(scales) != len(pictures):
        raise PromptError(f"--hint-scale: expected none, or one per --hint, got {len(scales)} for {len(pictures)}")
    check_hint_count(settings, len(pictures))
    *_, height, width = settings.image_shape
    return [
        Hint(_open_image(picture, height, width), scale)
        for picture, scale in zip(pictures, scales or [1.0] * len(pictures), strict=True)
    ]


def _open_image(path: Path, height: int, width: int) -> np.ndarray:
    """(1, 3, H, W) in [0, 1]."""
    pixels = np.asarray(open_picture(path).resize((width, height), Image.Resampling.LANCZOS))
    return (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)


def _open_mask(path: Path, settings: DrawSettings) -> np.ndarray:
    """(1, 1, H, W): 1 where the mask is lighter than middle grey, else 0."""
    *_, height, width = settings.image_shape
    grey = open_picture(path).resize((width, height), Image.Resampling.LANCZOS).convert("L")
    return (np.asarray(grey) >= 128).astype(np.float32)[None, None]
