"""Contact sheets: many small pictures with captions in one PNG, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mobile_diffusion.staging import staged_file
from mobile_diffusion.training import workers

CAPTION_HEIGHT = 16
MARGIN = 4


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int) -> Image.Image:
    """Pictures uint8 (H, W, 3), all of one size, in rows of `columns`, each above its caption."""
    height, width = pictures[0].shape[:2]
    cell_width, cell_height = width + MARGIN, height + CAPTION_HEIGHT + MARGIN
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * cell_width, rows * cell_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(10)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = index % columns * cell_width, index // columns * cell_height
        sheet.paste(Image.fromarray(picture), (left, top))
        fitting = caption
        while fitting and font.getlength(fitting) > width:
            fitting = fitting[:-1]
        draw.text((left, top + height + 1), fitting, fill="black", font=font)
    return sheet


def write_png(sheet: Image.Image, path: Path) -> None:
    """Save atomically: a reader never sees half a picture.  Of several processes the first writes."""
    if not workers.is_first():
        return
    with staged_file(path) as scratch:
        sheet.save(scratch, format="PNG")
