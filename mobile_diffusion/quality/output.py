"""Writes an evaluation to files: metrics as JSON, and contact sheets of drawn pictures above real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import LEVEL, RESAMPLES
from mobile_diffusion.quality.evaluation import DrawnSet, Evaluation
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.training.sheets import contact_sheet, write_png

FIGURES = "evaluation.json"
COLUMNS = 8


def write_evaluation(
    evaluation: Evaluation, drawn: Sequence[DrawnSet], conditions: Mapping[str, Any], out: Path
) -> list[Path]:
    """Write a contact sheet per set, then the metrics with their conditions; return the paths, metrics first.

    Raises DataError when the folder `out` cannot be created or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        sheets = [_write_sheet(each, out / f"{each.name}.png") for each in drawn]
        text = json.dumps(to_json(evaluation, conditions), indent=2, allow_nan=False)
        write_bytes(f"{text}\n".encode(), out / FIGURES)
    except OSError as error:
        raise DataError(f"{out}: expected a folder to write to, got {error.strerror}; choose another --out") from error
    return [out / FIGURES, *sheets]


def to_json(evaluation: Evaluation, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an evaluation to plain values: conditions first, then the metrics without the resamples."""
    intervals = {"level": LEVEL, "resamples": RESAMPLES, "kind": "bootstrap percentiles"}
    figures = asdict(evaluation)
    for each in figures["sets"]:
        del each["quality"]["kid_resamples"]
    return {"conditions": {**conditions, "intervals": intervals}, **figures}


def _write_sheet(pictures: DrawnSet, path: Path) -> Path:
    write_png(sheet_of(pictures), path)
    return path


def sheet_of(pictures: DrawnSet) -> Image.Image:
    """Make a contact sheet: rows of drawn pictures with their prompts, each above a row of the real pictures."""
    size = pictures.drawn.shape[-2:]
    real = F.interpolate(pictures.real, size, mode="bilinear", antialias=True).clamp(0, 1)
    blank = torch.ones(1, 3, *size)
    columns = min(COLUMNS, len(pictures.captions))
    cells, words = [], []
    for start in range(0, len(pictures.captions), columns):
        row = slice(start, start + columns)
        ranks = [f"real; drawn: rank {rank}" for rank in pictures.ranks[row]]
        missing = columns - len(ranks)
        for images, texts in ((pictures.drawn[row], list(pictures.captions[row])), (real[row], ranks)):
            cells += [*images, *blank.expand(missing, -1, -1, -1)]
            words += texts + [""] * missing
    return contact_sheet([_to_uint8(cell) for cell in cells], words, columns)


def _to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 1] -> (H, W, 3)."""
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
