"""Contact sheets: many small pictures with captions in one PNG, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.staging import staged_file
from mobile_diffusion.training import workers

CAPTION_HEIGHT = 16
"""Pixels below each picture."""
MARGIN = 4
"""Pixels between pictures."""
PROMPT_COLUMNS = 8
PROMPT_SEED = 7
"""The same for every sheet, so that sheets of different steps can be compared."""


def draw_sheet(model: Model, prompts: Sequence[str], path: Path) -> None:
    """Draw prompts with the model as it is now, and write a labelled PNG; without prompts nothing is written."""
    if prompts:
        pipeline = Pipeline.from_model(model)
        pictures = [pipeline.generate(prompt, seed=PROMPT_SEED) for prompt in prompts]
        write_png(contact_sheet(pictures, prompts, PROMPT_COLUMNS), path)


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int) -> Image.Image:
    """Pictures uint8 (H, W, 3), all of one size, in rows of `columns`, each with its caption below it."""
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
    """Save atomically, so that a reader never sees half a picture; of several processes only the first writes."""
    if not workers.is_first():
        return
    with staged_file(path) as scratch:
        sheet.save(scratch, format="PNG")
