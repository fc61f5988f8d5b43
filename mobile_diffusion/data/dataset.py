"""The data set on disk: dataset.jsonl with one row per picture, and the pictures.

A row is read into a `Sample`; `captions` and `load_image` return what training needs.  preparation.py writes the rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mobile_diffusion.data.concept_families import Split
from mobile_diffusion.data.pictures import read_png
from mobile_diffusion.errors import DataError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.strict_json import parse_json

DATASET = "dataset.jsonl"


@dataclass(frozen=True)
class Sample:
    """One picture with its words."""

    id: str
    """`style/hexcode`, unique."""
    style: str
    hexcode: str
    """Code points in hexadecimal, joined by hyphens."""
    emoji: str
    label: str
    keywords: tuple[str, ...]
    group: str
    """Unicode's group under a short name, such as "food"."""
    family: str
    """Concepts of one family are near-duplicates and are on the same side of the split."""
    split: Split
    package: str
    version: str
    licence: str
    """SPDX name."""
    image: str
    """Path of the picture, relative to the data set's folder."""
    folder: Path
    """Folder of the data set; not stored in the row."""


_STORED = tuple(field.name for field in fields(Sample) if field.name != "folder")


def captions(sample: Sample) -> list[str]:
    """Every caption of a picture: the label with the style, each keyword with the style, then the label alone.

    For a red apple: "red apple, 3d", "fruit, 3d" and so on, and finally "red apple".
    """
    words = (sample.label, *sample.keywords)
    return [*(f"{word}, {sample.style}" for word in words), sample.label]


def load_image(sample: Sample) -> np.ndarray:
    """Load the picture as uint8 (H, W, 3); raise DataError when it cannot be read."""
    return read_png(sample.folder / sample.image)


def load_dataset(folder: Path | str) -> list[Sample]:
    """Load all samples of a data set in stored order; raise DataError when it is missing or malformed."""
    path = Path(folder) / DATASET
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"expected a data set at {path}, got {error}; make one with mobile-diffusion data fetch"
        ) from error
    return [_parse(line, number, path) for number, line in enumerate(lines, start=1)]


def _parse(line: str, number: int, path: Path) -> Sample:
    """Read one row; raise DataError with the line number when it is malformed."""
    try:
        row = parse_json(line)
        return _sample({name: row[name] for name in _STORED}, path.parent)
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"expected a data set row at {path}:{number}, got {quoted(error)}; run mobile-diffusion data fetch"
        ) from error


def _sample(row: dict[str, Any], folder: Path) -> Sample:
    if row["split"] not in ("train", "held-out"):
        raise ValueError(f"split {quoted(row['split'])}")
    return Sample(**{**row, "keywords": tuple(row["keywords"])}, folder=folder)


def write_dataset(samples: Iterable[Sample], folder: Path) -> Path:
    """Write dataset.jsonl atomically and return its path."""
    rows = [{name: value for name, value in asdict(sample).items() if name in _STORED} for sample in samples]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_bytes(text.encode(), folder / DATASET)
    return folder / DATASET
