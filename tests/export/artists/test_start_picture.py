"""Pictures and masks from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artists.start_picture import open_start
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import PromptError


@pytest.fixture
def settings(tiny_model: Model) -> DrawSettings:
    wide = {"latent_shape": (1, 4, 16, 24), "image_shape": (1, 3, 32, 48)}
    return dataclasses.replace(DrawSettings.of(tiny_model.config), **wide)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_a_picture_of_any_kind_is_resized(mode: str, settings: DrawSettings, tmp_path: Path) -> None:
    file = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new("RGB", (100, 70), (255, 128, 0)).convert(mode).save(file)
    start = open_start(file, None, None, settings)
    assert start is not None and start.image.shape == (1, 3, 32, 48) and start.image.dtype == np.float32
    assert 0.9 < start.image[0, 0].mean() <= 1.0 or mode == "L"
    assert (start.strength, start.mask) == (0.8, None)


def test_a_mask_is_white_where_it_is_drawn_anew(settings: DrawSettings, tmp_path: Path) -> None:
    mask = Image.new("L", (48, 32), 0)
    mask.paste(255, (24, 0, 48, 32))
    mask.save(tmp_path / "mask.png")
    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    start = open_start(tmp_path / "a.png", None, tmp_path / "mask.png", settings)
    assert start is not None and start.mask is not None and start.strength == 1.0
    assert start.mask.shape == (1, 1, 16, 24)
    assert start.mask[..., :12].max() == 0 and start.mask[..., 12:].min() == 1


def test_what_is_no_picture_is_refused(settings: DrawSettings, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    for file in (tmp_path / "a.png", tmp_path / "absent.png", tmp_path):
        with pytest.raises(PromptError, match="expected a picture file"):
            open_start(file, None, None, settings)
    with pytest.raises(PromptError, match="--strength: expected --image"):
        open_start(None, 0.5, None, settings)
    with pytest.raises(PromptError, match="--mask: expected --image"):
        open_start(None, None, tmp_path / "a.png", settings)
    assert open_start(None, None, None, settings) is None
