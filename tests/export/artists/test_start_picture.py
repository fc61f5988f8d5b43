"""Pictures and masks from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import load_image
from PIL import Image

from export.artists.start_picture import open_start
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import DataError, PromptError
from mobile_diffusion.start import latent_mask


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
    assert (start.strength, start.mask) == (None, None)


def test_a_mask_is_white_where_it_is_drawn_anew(settings: DrawSettings, tmp_path: Path) -> None:
    mask = Image.new("L", (48, 32), 0)
    mask.paste(255, (24, 0, 48, 32))
    mask.save(tmp_path / "mask.png")
    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    start = open_start(tmp_path / "a.png", None, tmp_path / "mask.png", settings)
    assert start is not None and start.mask is not None and start.strength == 1.0
    assert start.mask.shape == (1, 1, 32, 48)
    assert start.mask[..., :24].max() == 0 and start.mask[..., 24:].min() == 1


@pytest.mark.parametrize("size", [(48, 32), (61, 47), (20, 200)])
def test_picture_and_mask_are_resized_as_in_diffusers(
    size: tuple[int, int], settings: DrawSettings, tmp_path: Path
) -> None:
    noise = np.random.default_rng(3).integers(256, size=(size[1], size[0], 6), dtype=np.uint8)
    for name, channels in (("a.png", noise[..., :3]), ("mask.png", noise[..., 3:])):
        Image.fromarray(channels).save(tmp_path / name)
    start = open_start(tmp_path / "a.png", None, tmp_path / "mask.png", settings)
    assert start is not None and start.mask is not None
    height, width = settings.image_shape[2:]
    image = VaeImageProcessor().preprocess(Image.open(tmp_path / "a.png"), height, width)
    assert np.abs(start.image * 2 - 1 - image.numpy()).max() < 1e-6
    processor = VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    whole = processor.preprocess(Image.open(tmp_path / "mask.png"), height, width)
    mask = torch.nn.functional.interpolate(whole, size=settings.latent_shape[2:])
    assert np.array_equal(start.mask, whole.numpy())
    assert np.array_equal(latent_mask(settings, start.mask), mask.numpy()) and 0.2 < start.mask.mean() < 0.8


def test_what_is_no_picture_is_refused(settings: DrawSettings, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    for file in (tmp_path / "a.png", tmp_path / "absent.png", tmp_path):
        with pytest.raises(DataError, match="expected a picture file"):
            open_start(file, None, None, settings)
    with pytest.raises(PromptError, match="--strength: expected --image"):
        open_start(None, 0.5, None, settings)
    with pytest.raises(PromptError, match="--mask: expected --image"):
        open_start(None, None, tmp_path / "a.png", settings)
    with pytest.raises(PromptError, match="--image-guidance: expected --image"):
        open_start(None, None, None, settings, 2.0)
    assert open_start(None, None, None, settings) is None


def test_a_photo_that_was_taken_sideways_is_that_of_diffusers(settings: DrawSettings, tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(60), np.arange(40))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.stack([4 * x, 6 * y, x + y], -1).astype(np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    expected = load_image(str(tmp_path / "a.jpg"))
    assert expected.size == (40, 60)
    start = open_start(tmp_path / "a.jpg", None, None, settings)
    resized = np.asarray(expected.resize((48, 32), Image.Resampling.LANCZOS))
    assert start is not None and np.abs(start.image[0].transpose(1, 2, 0) * 255 - resized).max() < 0.5


def test_a_mask_of_any_kind_says_the_same(settings: DrawSettings, tmp_path: Path) -> None:
    """Right half redrawn: as 16-bit grey, as transparency, and in a file that is turned by its EXIF orientation."""
    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    right = np.zeros((32, 48), np.uint16)
    right[:, 24:] = 40_000
    Image.fromarray(right).save(tmp_path / "grey.png")
    hole = Image.new("RGBA", (48, 32), (0, 0, 0, 255))
    hole.paste((0, 0, 0, 0), (24, 0, 48, 32))
    hole.save(tmp_path / "hole.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(((right[:, ::-1] > 0) * 255).astype(np.uint8)).save(tmp_path / "turned.png", exif=exif)
    for name in ("grey.png", "hole.png", "turned.png"):
        start = open_start(tmp_path / "a.png", None, tmp_path / name, settings)
        assert start is not None and start.mask is not None
        assert start.mask[..., :24].max() == 0 and start.mask[..., 24:].min() == 1, name
