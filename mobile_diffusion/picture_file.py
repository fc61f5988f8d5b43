"""Opens a picture file that a user made: upright, 8 bits per channel, RGB, without transparency.

Cameras, scanners and image editors write many kinds of picture.  What this module changes beyond the number format it
logs as a warning, and what it cannot read faithfully it refuses.  Resizing is not done here.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mobile_diffusion.errors import DataError

logger = logging.getLogger(__name__)

MAX_PIXELS = 2**26
"""About 67 megapixels.  A decoded picture takes up to 4 bytes per pixel, several times over while it is converted."""
SHOWN = 200
"""Characters of a decoder's own message."""
_WHITE = (255, 255, 255)
_SEQUENCES = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")
"""Formats whose further pictures are frames or pages; a phone's photo (MPO) has its preview there."""


def open_picture(path: Path) -> Image.Image:
    """Read the first picture of a file as RGB.

    The EXIF orientation is applied, transparent pixels are composited on white, 16-bit grey is scaled to 8 bits, and
    float pixels are taken as 0 to 1.  Raises DataError when the file is not a picture that can be read, has more than
    MAX_PIXELS pixels, or has values outside its range.
    """
    try:
        return _read(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, _one_line(error)) from error
    except DataError:
        raise
    except Exception as error:  # a decoder raises whatever its parsing of a damaged file runs into
        raise DataError(f"{path}: expected a picture file, got: {_one_line(error)}; save it as PNG or JPEG") from error


def on_white(picture: Image.Image) -> Image.Image:
    """Composite a picture over white and return it as RGB."""
    rgba = picture.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (*_WHITE, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _read(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # PIL's own limit is checked again for a picture inside another file, such as a PNG in an ICO.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as file:
            width, height = file.size  # from the header; nothing is decoded yet
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width} x {height}")
            several = file.format in _SEQUENCES and getattr(file, "is_animated", False)
            file.load()
            if file.mode == "I" and file.format != "PPM":  # PPM's values are scaled to 16 bits by PIL
                raise DataError(f"{path}: expected 8 or 16 bits per channel, got 32-bit integers; save it in 8 bits")
            picture = _in_8_bits(path, ImageOps.exif_transpose(file))
    if several:
        logger.warning("%s: has several pictures; the first one is used", path)
    return _without_transparency(path, picture)


def _in_8_bits(path: Path, picture: Image.Image) -> Image.Image:
    """The same picture in a mode of 8 bits per channel; PIL's own conversion would clip wider values at 255."""
    if picture.mode == "F":
        return _scaled(path, picture, 1.0)
    if picture.mode.startswith("I"):
        return _scaled(path, picture, 65535)
    return picture


def _scaled(path: Path, picture: Image.Image, white: float) -> Image.Image:
    """Grey values from 0 to `white` as 8 bits, rounded; a grey value that the file calls transparent stays so."""
    values = np.asarray(picture)  # (H, W)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):  # NaN fails, too
        raise DataError(f"{path}: expected grey values from 0 to {white:g}, got {low:g} to {high:g}; save it in 8 bits")
    grey = Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8))
    key = picture.info.get("transparency")
    if key is None:
        return grey
    grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _without_transparency(path: Path, picture: Image.Image) -> Image.Image:
    """RGB, over white where the picture is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    logger.warning("%s: has transparent pixels; they are put on white", path)
    return on_white(rgba)


def _too_large(path: Path, got: str) -> DataError:
    megapixels = MAX_PIXELS // 1_000_000
    return DataError(f"{path}: expected a picture of at most {megapixels} megapixels, got {got}; make it smaller")


def _one_line(error: Exception) -> str:
    return " ".join(f"{error or type(error).__name__}".split())[:SHOWN]
