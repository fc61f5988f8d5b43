"""Pictures: pixels are kept, files appear whole, grids hold every picture where it belongs."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.report.pictures import grid, png_uri, save_picture, to_picture
from mobile_diffusion.errors import ExportError


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, 16, 16)).astype(np.float32)


def test_address_holds_the_pixels() -> None:
    data = base64.b64decode(png_uri(image(0)).removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(pixels, np.rint(image(0)[0].transpose(1, 2, 0) * 255))


def test_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    save_picture(to_picture(image(1)), tmp_path / "a.png")
    with pytest.raises(ExportError, match="folder-that-is-not"):
        save_picture(to_picture(image(1)), tmp_path / "folder-that-is-not" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ExportError):
        save_picture(to_picture(image(1)), tmp_path / "b.png")
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_grid_shows_every_picture() -> None:
    pictures = [[np.asarray(to_picture(image(3 * row + column))) for column in range(3)] for row in range(2)]
    sheet = np.asarray(grid(["one", "two", "three"], [("first\nseed 1", pictures[0]), ("second", pictures[1])]))
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (16, 16, 3))[:, :, 0]
    for row in pictures:
        for picture in row:
            assert (windows == picture).all(axis=(2, 3, 4)).sum() == 1
