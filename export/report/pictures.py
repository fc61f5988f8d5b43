"""Pictures for people: PNG files, and a labelled grid with one column per runtime."""

from __future__ import annotations

import base64
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mobile_diffusion.drawing import image_to_uint8
from mobile_diffusion.errors import ExportError
from mobile_diffusion.staging import staged_file

_LABEL_WIDTH, _HEADER, _GAP, _FONT_SIZE = 150, 40, 8, 13
_LABEL_CHARACTERS = 20
_HEADER_CHARACTERS = 18
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def to_picture(image: NDArray[np.float32]) -> Image.Image:
    """(1, 3, H, W) in [0, 1] -> a picture with 8 bits per channel."""
    return Image.fromarray(image_to_uint8(image))


def png_uri(image: NDArray[np.float32]) -> str:
    """The picture as a `data:` address, for use inside a page."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class Amplified:
    """How far the pixels of one picture are from another's, made visible."""

    picture: NDArray[np.float32]
    """(1, 3, H, W) in [0, 1]: the distance of every channel times `factor`."""
    largest: int
    """Largest distance in levels, 0 to 255."""
    factor: int
    """A power of two: the largest that keeps every distance below white."""


def amplified(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> Amplified:
    """The difference of two pictures (1, 3, H, W) as a screen shows them, in 8 bits; black is equal."""
    pair = (image_to_uint8(each).astype(int) for each in (reference, candidate))
    levels = np.abs(next(pair) - next(pair))  # (H, W, 3)
    largest = int(levels.max())
    factor = 2 ** int(math.log2(255 / largest)) if largest else 1
    picture = (levels * factor / 255).astype(np.float32).transpose(2, 0, 1)[None]  # (1, 3, H, W)
    return Amplified(picture, largest, factor)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all; raises `ExportError` if the file cannot be written."""
    try:
        with staged_file(path) as scratch:
            picture.save(scratch, "PNG")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{path}: expected a picture file that can be written, got {reason}") from error


def grid(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]) -> Image.Image:
    """A table of pictures (H, W, 3): a title above each column, a prompt left of each row."""
    side = rows[0][1][0].shape[1]
    width = _LABEL_WIDTH + len(columns) * (side + _GAP)
    sheet = Image.new("RGB", (width, _HEADER + len(rows) * (side + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    for number, title in enumerate(columns):
        place = (_LABEL_WIDTH + number * (side + _GAP), _GAP // 2)
        draw.multiline_text(place, _wrap(title, _HEADER_CHARACTERS), _INK, font)
    for number, (prompt, images) in enumerate(rows):
        top = _HEADER + number * (side + _GAP)
        draw.multiline_text((_GAP, top + side // 3), _wrap(prompt, _LABEL_CHARACTERS), _INK, font)
        for column, image in enumerate(images):
            sheet.paste(Image.fromarray(image), (_LABEL_WIDTH + column * (side + _GAP), top))
    return sheet


def _wrap(text: str, characters: int) -> str:
    """Break lines that are too long, and keep existing breaks."""
    return "\n".join(textwrap.fill(line, characters) for line in text.splitlines())
